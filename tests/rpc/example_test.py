"""The example for Python does what its page says."""

import subprocess
import sys
import unittest

from lib import offers
from lib.api import Client, STUBS
from lib.certificates import Authority
from lib.gateway import ROOT, Gateway, environment, temporary_folder
from lib.tokens import Issuer
from lib.until import PATIENCE

EXAMPLE = ROOT / "proto/examples/python/assign_and_watch.py"


def run_example(server, *args):
    return subprocess.run([sys.executable, "-B", EXAMPLE, "--server", server, *args], text=True,
                          env=environment({"PYTHONPATH": STUBS}), capture_output=True,
                          timeout=PATIENCE, check=False)


class Example(unittest.TestCase):
    def test_assigns_and_watches(self):
        with Gateway() as gateway:
            client = Client(gateway.grpc)
            self.addCleanup(client.close)
            client.call("Publish", participant="room-1", feed="patient",
                        sdp_offer=offers.PUBLISH)
            peer = client.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
            done = run_example(gateway.grpc, "--assign", peer, "1", "room-1/patient", "--count",
                               "1")
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            self.assertIn(f"participant default/dr-1 peer {peer}", done.stdout)
            self.assertIn("feed default/room-1/patient slots 0", done.stdout)
            self.assertEqual("1 slot_assigned dr-1 slot 1: room-1/patient",
                             done.stdout.splitlines()[-1])
            feed, = client.call("ListFeeds").feeds
            self.assertEqual(feed.slots, 1)

    def test_a_refusal_is_told_by_its_reason(self):
        with Gateway() as gateway:
            done = run_example(gateway.grpc, "--assign", "none", "0", "a/b", "--count", "1")
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"^NOT_FOUND PEER_NOT_FOUND: .*\n$")

    def test_token_and_certificate(self):
        issuer, authority = Issuer(), Authority()
        authority.install(*authority.issue())
        token = temporary_folder() / "wall.jwt"
        token.write_text(issuer.viewer("north") + "\n")
        with Gateway({**issuer.env, **authority.env()}) as gateway:
            with_ca = [gateway.grpc, "--ca", authority.ca, "--count", "0"]
            done = run_example(*with_ca, "--token-file", token)
            self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
            done = run_example(*with_ca)
            self.assertEqual(1, done.returncode)
            self.assertRegex(done.stderr, r"^UNAUTHENTICATED TOKEN_MISSING: ")
            done = run_example(gateway.grpc, "--count", "0")
            self.assertRegex(done.stderr, r"^UNAVAILABLE : ")


if __name__ == "__main__":
    unittest.main()
