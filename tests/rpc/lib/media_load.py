"""Rooms that send to physicians while something else happens, and what of it arrived."""

import os
import re
import subprocess

from .gateway import ROOT
from .until import PATIENCE


class MediaLoad:
    """A context manager. Binary: VIGIL_LOAD_MEDIA."""

    def __init__(self, gateway, rooms=2):
        self._process = subprocess.Popen(
            [os.environ["VIGIL_LOAD_MEDIA"], "--server", gateway.grpc, "--rooms", str(rooms),
             "--offers", str(ROOT / "tests" / "fixtures" / "sdp")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if line != "ready\n":
            raise RuntimeError(f"no media: {line}")

    def stop(self):
        """How many packets were sent, and how many arrived."""
        output, _ = self._process.communicate(timeout=PATIENCE)
        sent, received = re.fullmatch(r"sent (\d+), received (\d+)\n", output).groups()
        return int(sent), int(received)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
