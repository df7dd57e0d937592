"""gRPC with TLS: certificates come from files, and are rotated while streams and calls run."""

import socket
import ssl
import threading
import unittest

import grpc
from lib import health, offers
from lib.api import Client, Refused, is_served, media_pb2
from lib.certificates import Authority
from lib.gateway import Gateway
from lib.until import PATIENCE, until


def served_certificate(address, client=None):
    """The certificate that a new connection is shown, in DER. `client`: its own two files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if client is not None:
        context.load_cert_chain(*client)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as plain:
        with context.wrap_socket(plain) as secure:
            return secure.getpeercert(binary_form=True)


class Steady(threading.Thread):
    """One connection that calls without a pause, and notes what failed."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.answers = 0
        self.errors = []
        self._client = client
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.is_set():
            try:
                self._client.call("ListFeeds")
                self.answers += 1
            except Refused as error:
                self.errors.append(error)

    def stop(self):
        self._stopping.set()
        self.join(PATIENCE)


class TlsTest(unittest.TestCase):
    own = (None, None)  # The client's certificate and key.

    def setUp(self):
        self.authority = Authority()
        self.first = self.authority.issue()
        self.authority.install(*self.first)

    def start(self, **env):
        self.gateway = Gateway({"VIGIL_LIMITS_CALLS_PER_SECOND": "100000",
                                "VIGIL_LIMITS_CALLS_AT_ONCE": "100000", **env})
        self.addCleanup(self.gateway.stop)

    def credentials(self, authority=None, pair=(None, None)):
        certificate, key = (text and text.encode() for text in pair)
        return grpc.ssl_channel_credentials((authority or self.authority).ca.read_bytes(), key,
                                            certificate)

    def client(self, credentials):
        client = Client(self.gateway.grpc, credentials=credentials)
        self.addCleanup(client.close)
        return client

    def steady(self):
        """Calls that go on until the end of the test, on a connection that is there by now."""
        steady = Steady(self.client(self.credentials(pair=self.own)))
        self.addCleanup(steady.stop)
        steady.start()
        until("calls are under way", lambda: steady.answers > 0)
        return steady

    def unreachable(self, credentials):
        with self.assertRaises(Refused) as caught:
            client = self.client(credentials)
            client.send("ListFeeds", media_pb2.ListFeedsRequest(), timeout=10)
        self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)


class Tls(TlsTest):
    def setUp(self):
        super().setUp()
        self.start(**self.authority.env())

    def served(self):
        return served_certificate(self.gateway.grpc)

    def test_whoever_trusts_the_authority_gets_in(self):
        client = self.client(self.credentials())
        self.assertEqual(health.check(client.channel), health.SERVING)
        self.assertTrue(client.call("GetNode").node.HasField("certificate_expire_time"))
        self.unreachable(self.credentials(Authority("Somebody else")))
        self.unreachable(None)

    def test_a_rotation_drops_nothing(self):
        watcher = self.client(self.credentials())
        watch = watcher.watch().until_snapshot()
        steady = self.steady()
        for rotation in range(3):
            before = steady.answers
            new = self.authority.issue()
            self.authority.install(*new)
            want = ssl.PEM_cert_to_DER_cert(new[0])
            until("new connections see the new certificate", lambda w=want: self.served() == w)
            fresh = self.client(self.credentials())
            peer = fresh.call("Subscribe", participant=f"dr-{rotation}",
                              sdp_offer=offers.PLAY).peer
            watch.until_event("the stream goes on",
                              lambda e, p=peer: e.peer_opened.peer.peer == p)
            until("calls go on", lambda n=before: steady.answers > n + 10)
        steady.stop()
        self.assertEqual(steady.errors, [])
        self.assertFalse(watch.ended)
        # One stream all along: its events are numbered without a gap.
        self.assertEqual([m.sequence for m in watch.messages if m.HasField("event")], [1, 2, 3])

    def test_files_that_do_not_fit_leave_the_old_ones_in_use(self):
        old = ssl.PEM_cert_to_DER_cert(self.first[0])
        other = self.authority.issue()
        # In this order no line is the same as the one before, which would not be logged.
        for what, certificate, key, wrong in (
                ("another's key", self.first[0], other[1], "tls.key"),
                ("no certificate", "junk", self.first[1], "tls.certificate"),
                ("no key", other[0], "", "tls.key"),
                ("half a certificate", other[0][:300], other[1], "tls.certificate")):
            with self.subTest(what):
                # Only what is logged from here on is about this pair.
                before = len(self.gateway.log)
                self.authority.install(certificate, key)
                for _ in range(10):
                    self.assertEqual(self.served(), old)
                    self.client(self.credentials()).call("ListFeeds")
                told = f"gRPC: certificate not read; the old one stands why={wrong}: "
                until("the log tells it", lambda at=before, t=told: t in self.gateway.log[at:])
        self.authority.install(*other)
        until("what fits is taken",
              lambda: self.served() == ssl.PEM_cert_to_DER_cert(other[0]))


class MutualTls(TlsTest):
    def setUp(self):
        super().setUp()
        self.clients = Authority("Vigil test client CA")
        self.start(**self.authority.env(client_ca=self.clients.ca))

    def test_only_clients_of_the_authority_get_in(self):
        own = self.clients.issue("service-1")
        client = self.client(self.credentials(pair=own))
        client.watch().until_snapshot()
        client.call("ListFeeds")
        self.unreachable(self.credentials())
        self.unreachable(self.credentials(pair=self.authority.issue("stranger")))
        client.call("ListFeeds")

    def test_a_rotation_drops_nothing(self):
        own = self.own = self.clients.issue("service-1")
        files = self.clients.folder / "client.pem", self.clients.folder / "client.key"
        for file, text in zip(files, own):
            file.write_text(text)
        watch = self.client(self.credentials(pair=own)).watch().until_snapshot()
        steady = self.steady()
        new = self.authority.issue()
        self.authority.install(*new)
        want = ssl.PEM_cert_to_DER_cert(new[0])
        until("new connections see it",
              lambda: served_certificate(self.gateway.grpc, files) == want)
        self.client(self.credentials(pair=own)).call("Subscribe", participant="dr-1",
                                                     sdp_offer=offers.PLAY)
        watch.until_event("the stream goes on", lambda e: e.HasField("peer_opened"))
        steady.stop()
        self.assertEqual(steady.errors, [])

    def test_the_authority_of_clients_is_rotated(self):
        old, new = self.clients.issue("service-1"), Authority("Next client CA")
        running = self.client(self.credentials(pair=old))
        watch = running.watch().until_snapshot()
        text = new.ca.read_text()
        replacement = self.clients.folder / "ca.new"
        replacement.write_text(text)
        replacement.replace(self.clients.ca)
        client = self.client(self.credentials(pair=new.issue("service-2")))
        until("the new authority is taken", lambda: is_served(client))
        self.unreachable(self.credentials(pair=old))
        running.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
        watch.until_event("the stream goes on", lambda e: e.HasField("peer_opened"))


if __name__ == "__main__":
    unittest.main()
