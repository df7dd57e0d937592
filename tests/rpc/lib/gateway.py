"""Starts the built gateway and insists that it ends well."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from .until import PATIENCE, until

ROOT = Path(__file__).resolve().parents[3]
READY = re.compile(r"^ready http=(\S+) grpc=(\S+) media=(\S+)(?: metrics=(\S+))?$", re.MULTILINE)
# What a sanitizer, a failed check or a crash leaves in the log.
DISASTER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                      r"VIGIL_CHECK failed|Assertion|assertion failed")
# Any free port of the loopback interface, and an end that waits for nobody.
FREE = {"VIGIL_HTTP_PORT": "0", "VIGIL_GRPC_PORT": "0", "VIGIL_METRICS_PORT": "0",
        "VIGIL_MEDIA_PORT": "0", "VIGIL_SHUTDOWN_DRAIN_SECONDS": "0"}


def binary():
    """The gateway that is tested, named by VIGIL_GATEWAY."""
    path = os.environ.get("VIGIL_GATEWAY")
    if not path:
        raise RuntimeError("VIGIL_GATEWAY must name the vigil-gateway binary")
    return path


def environment(env):
    """This process's environment without settings of a gateway, and with those of `env`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VIGIL_")}
    return {**kept, "VIGIL_CONSOLE_DIR": str(ROOT / "gateway" / "console"), **env}


def temporary_folder():
    """An empty folder that is removed at the end of this process."""
    folder = tempfile.mkdtemp(prefix="vigil-rpc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Gateway:
    """One running gateway. A context manager: stop() at the end."""

    def __init__(self, env=None, args=()):
        self.log = ""
        self._ended = False
        self._process = subprocess.Popen(
            [binary(), *args], env=environment({**FREE, **(env or {})}), cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            match = until("the ready line", self._find_ready)
        except Exception as error:
            self._process.kill()
            self._process.wait(PATIENCE)
            raise RuntimeError(f"{error}\n{self.log}") from error
        self.http, self.grpc, self.media, self.metrics = match.groups()

    def _read(self):
        with self._process.stdout as lines:
            for line in lines:
                self.log += line.decode(errors="replace")

    def _find_ready(self):
        if self._process.poll() is not None and not READY.search(self.log):
            raise RuntimeError(f"ended with {self._process.returncode} before it was ready")
        return READY.search(self.log)

    @property
    def pid(self):
        return self._process.pid

    def metric(self, name):
        """The value of a metric without labels."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=PATIENCE) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise KeyError(name)

    def ready(self):
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/readyz", timeout=PATIENCE):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def resident_bytes(self):
        """What the process holds in memory now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def peak_bytes(self):
        """The most that it ever held."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE).group(1)) * 1024

    def terminate(self):
        """SIGTERM, without waiting for the end."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self):
        """Waits for the end. Fails unless it is exit 0 without a report of a sanitizer."""
        self._ended = True
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            raise RuntimeError(f"the gateway does not end\n{self.log}") from error
        self._reader.join(PATIENCE)
        if code != 0 or DISASTER.search(self.log):
            raise RuntimeError(f"the gateway ended with {code}\n{self.log[-6000:]}")

    def stop(self):
        self.terminate()
        self.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not self._ended:
            self.stop()


class Ended:
    """A gateway that ran to its end by itself, as with a mistake in its configuration."""

    def __init__(self, env=None, args=()):
        process = subprocess.Popen(
            [binary(), *args], env=environment({**FREE, **(env or {})}), cwd=ROOT,
            bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = process.stdout.readline()
        if first.startswith(b"ready "):
            process.terminate()  # It took what it was to refuse; the test sees that by the code.
        try:
            rest, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        self.code = process.returncode
        self.stdout = (first + rest).decode(errors="replace")
        self.stderr = stderr.decode(errors="replace")
