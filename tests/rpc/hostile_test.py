"""Clients of the gRPC port that play by no rules cost the node little and others nothing."""

import threading
import time
import unittest

import grpc
from lib import health, http2, offers
from lib.api import Client, is_served, media_pb2
from lib.gateway import Gateway
from lib.http2 import LIST_FEEDS
from lib.media_load import MediaLoad
from lib.until import PATIENCE, until

MEBIBYTE = 1024 * 1024
# Where AddressSanitizer is, it keeps what was freed; little of that is to be measured.
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=8"}


def reset_calls(address, count):
    """Makes calls and resets each at once; how many it could send before it was cut."""
    client = http2.connect(address)
    threading.Thread(target=read_all, args=(client,), daemon=True).start()
    sent = 0
    try:
        while sent < count:
            client.sendall(http2.calls(LIST_FEEDS, 100, before=sent, reset=True))
            sent += 100
    except OSError:
        pass
    client.close()
    return sent


def send_all(client, parts):
    try:
        for part in parts:
            client.sendall(part)
    except OSError:
        pass


def read_all(client):
    try:
        while client.recv(1 << 16):
            pass
    except OSError:
        pass


class Hostile(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway(ENV)
        self.addCleanup(self.gateway.stop)
        self.client = Client(self.gateway.grpc)
        self.addCleanup(self.client.close)
        self.client.call("ListFeeds")

    def test_who_resets_what_it_asks_for_is_cut(self):
        before = self.gateway.peak_bytes()
        with MediaLoad(self.gateway) as media:
            sent = [reset_calls(self.gateway.grpc, 30_000) for _ in range(10)]
            self.assertLess(sum(sent), 10 * 30_000)
            self.assertGreater(self.gateway.metric("vigil_grpc_connections_cut_total"), 0)
            # Others from there are served.
            for _ in range(10):
                self.client.call("ListFeeds")
            self.assertEqual(*media.stop())
        # A tenth of what 300,000 calls take that are let in.
        self.assertLess(self.gateway.peak_bytes() - before, 500 * MEBIBYTE)

    def test_who_asks_too_much_waits_and_others_do_not(self):
        # An address may begin 4,000 calls at once and 2,000 a second; a connection has 1,200.
        flood = [http2.connect(self.gateway.grpc, source="127.0.0.2") for _ in range(10)]
        began = time.monotonic()
        for connection in flood:
            self.addCleanup(connection.close)
            connection.sendall(http2.calls(LIST_FEEDS, 1_000))
        # Another address; this call is not counted as the flood's caller's.
        self.assertEqual(health.check(self.client.channel), health.SERVING)
        for connection in flood:
            http2.read_ends(connection, 1_000)
        # What no machine can be too slow for; some calls are each connection's own.
        own = len(flood) * (20 + 10 * 5)
        self.assertGreater(time.monotonic() - began, (10_000 - 4_000 - own) / 2_000 - 0.1)
        self.assertGreater(self.gateway.metric("vigil_grpc_reads_delayed_total"), 0)
        self.assertEqual(self.gateway.metric("vigil_grpc_connections_cut_total"), 0)

    def test_connections_that_ask_for_nothing_make_room(self):
        self.crowd_makes_room(600, sources=1, greeting=False)
        self.crowd_makes_room(600, sources=1)

    def test_connections_with_half_a_call_make_room(self):
        self.crowd_makes_room(1_100, sources=5, half_a_call=True)

    def crowd_makes_room(self, size, sources, **what):
        crowd = [http2.connect_to_be_cut(self.gateway.grpc, source=f"127.0.1.{1 + n % sources}",
                                         **what) for n in range(size)]
        with Client(self.gateway.grpc) as late:
            late.call("ListFeeds")
        self.client.call("ListFeeds")
        for connection in crowd:
            connection.close()

    def cut(self, *parts):
        """Sends them on one connection, which is cut before all of it is taken."""
        before = self.gateway.metric("vigil_grpc_connections_cut_total")
        attacker = http2.connect(self.gateway.grpc, source="127.0.0.2")
        self.addCleanup(attacker.close)
        threading.Thread(target=send_all, args=(attacker, parts), daemon=True).start()
        attacker.settimeout(PATIENCE)
        read_all(attacker)
        self.assertEqual(self.gateway.metric("vigil_grpc_connections_cut_total"), before + 1)

    def test_header_fields_without_end_hurt_nobody(self):
        watch = self.client.watch()
        watch.until_snapshot()
        block = http2.header_block(LIST_FEEDS)
        call = http2.frame(http2.HEADERS, 0, 1, block)
        # One byte each, once the table has an entry (RFC 7541, 6.1).
        entry = http2.frame(http2.CONTINUATION, 0, 1, b"\x40\x01a\x01b")
        more = http2.frame(http2.CONTINUATION, 0, 1, b"\xbe" * 450)
        before = self.gateway.peak_bytes()
        for _ in range(3):
            self.cut(call, entry, *[more * 100] * 70)
            # A string of 100 MB.
            self.cut(http2.frame(http2.HEADERS, 0, 1, b"\0\x01a\x7f\x81\xc1\xd7\x2f"),
                     *[http2.frame(http2.CONTINUATION, 0, 1, bytes(16_384))] * 100)
        # As large as one frame may be, in a client that never says that it knows the limits.
        self.bomb(block)
        self.assertLess(self.gateway.peak_bytes() - before, 100 * MEBIBYTE)
        self.client.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
        watch.until_event("a change", lambda event: event.HasField("peer_opened"))
        watch.cancel()

    def bomb(self, block):
        attacker = http2.connect(self.gateway.grpc, source="127.0.0.2")
        self.addCleanup(attacker.close)
        large = block + b"\x40\x01a\x01b" + b"\xbe" * 15_000
        for stream in range(1, 201, 2):
            attacker.sendall(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, large)
                             + http2.frame(http2.DATA, http2.END_STREAM, stream, http2.EMPTY))
        try:
            http2.read_ends(attacker, 100)
        except EOFError:
            pass  # gRPC refuses the calls, or the whole connection.

    def test_streams_that_are_none_do_not_hide_others(self):
        block = http2.header_block(LIST_FEEDS)
        self.cut(http2.frame(http2.HEADERS, http2.END_HEADERS, 0x7ffffffe, block),
                 http2.calls(LIST_FEEDS, 9_000))
        self.cut(http2.frame(http2.RST_STREAM, 0, 1, bytes(4)))

    def test_half_a_call_ends(self):
        half = http2.connect(self.gateway.grpc, half_a_call=True)
        self.addCleanup(half.close)
        half.settimeout(60)
        read_all(half)
        self.assertEqual(self.gateway.metric("vigil_grpc_connections_cut_total"), 1)

    def test_a_flood_of_resets_does_not_cut_its_neighbours(self):
        over = threading.Event()

        def flood():
            while not over.is_set():
                reset_calls(self.gateway.grpc, 30_000)

        # From the neighbour's address.
        attackers = [threading.Thread(target=flood) for _ in range(3)]
        with Client(self.gateway.grpc) as neighbour:
            watch = neighbour.watch().until_snapshot()
            for attacker in attackers:
                attacker.start()
            until("they are cut",
                  lambda: self.gateway.metric("vigil_grpc_connections_cut_total") > 5)
            for _ in range(20):
                health_watch = health.watch(neighbour.channel)
                next(health_watch)
                health_watch.cancel()
            over.set()
            for attacker in attackers:
                attacker.join()
            with Client(self.gateway.grpc) as other:
                until("the caller's limit has room", lambda: is_served(other))
                other.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
            watch.until_event("a change", lambda event: event.HasField("peer_opened"))
            watch.cancel()

    def test_a_connection_that_says_nothing_ends(self):
        silent = http2.connect(self.gateway.grpc, greeting=False)
        self.addCleanup(silent.close)
        silent.settimeout(PATIENCE)
        while silent.recv(1 << 16):
            pass

    def test_what_is_no_http2_is_refused(self):
        for nonsense in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3, bytes(1000),
                         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10):
            client = http2.connect(self.gateway.grpc, greeting=False)
            client.sendall(nonsense)
            client.settimeout(PATIENCE)
            said = b""
            while piece := client.recv(1 << 16):
                said += piece
            self.assertRegex(said, rb"^HTTP/1.1 505 [^\0]*This port speaks gRPC")
            client.close()
        self.client.call("ListFeeds")

    def test_who_talks_on_after_goodbye_is_cut(self):
        client = http2.connect(self.gateway.grpc, greeting=False)
        self.addCleanup(client.close)
        client.sendall(b"no preface")
        client.settimeout(PATIENCE)
        while client.recv(1 << 16):
            pass

        def is_cut():
            try:
                client.sendall(bytes(100))
                return False
            except OSError:
                return True
        until("it is cut", is_cut)

    def test_a_watch_that_is_not_read_ends(self):
        # More than fits on the way, so that the gateway waits for the client.
        for n in range(60):
            self.client.call("Subscribe", participant=f"dr-{n}", sdp_offer=offers.PLAY,
                             feeds=["room-1/patient"] * 2)
        with Client(self.gateway.grpc, options=[("grpc.http2.bdp_probe", 0),
                                                ("grpc.http2.lookahead_bytes", 1024)]) as slow:
            watches = [slow.method("WatchMedia")(media_pb2.WatchMediaRequest())
                       for _ in range(30)]
            until("all are there", lambda: self.gateway.metric("vigil_api_streams") == 30)
            until("they are ended", lambda: self.gateway.metric("vigil_api_streams") < 30,
                  patience=60)
            for watch in watches:
                watch.cancel()
        self.client.watch().until_snapshot()


if __name__ == "__main__":
    unittest.main()
