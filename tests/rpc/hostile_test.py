"""Clients of the gRPC port that play by no rules cost the node little and others nothing."""

import threading
import time
import unittest

import grpc
from lib import health, http2, offers
from lib.api import Client, media_pb2
from lib.gateway import Gateway
from lib.media_load import MediaLoad
from lib.until import PATIENCE, until

MEBIBYTE = 1024 * 1024
LIST_FEEDS = "/vigil.v1.MediaService/ListFeeds"
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
        # What no machine can be too slow for.
        self.assertGreater(time.monotonic() - began, (10_000 - 4_000) / 2_000 - 0.1)
        self.assertGreater(self.gateway.metric("vigil_grpc_reads_delayed_total"), 0)
        self.assertEqual(self.gateway.metric("vigil_grpc_connections_cut_total"), 0)

    def test_silent_connections_make_room(self):
        crowd = [http2.connect(self.gateway.grpc, greeting=n % 2 == 0) for n in range(600)]
        for silent in crowd:
            self.addCleanup(silent.close)
        with Client(self.gateway.grpc) as late:
            late.call("ListFeeds")
        self.client.call("ListFeeds")

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
            try:
                while client.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
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
