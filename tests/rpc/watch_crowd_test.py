"""Whoever does not read, or opens streams without end, harms nobody."""

import unittest

import grpc
from lib.api import Client, media_pb2
from lib.media_load import MediaLoad
from lib.until import until
from lib.watching import WatchTest

MEBIBYTE = 1024 * 1024


class WhoDoesNotRead(WatchTest):
    """gRPC's flow control holds back what is not read, so the gateway's place in the log waits."""

    def test_it_is_told_that_it_lagged_and_the_stream_ends(self):
        self.publish("room-1")
        # The window that the client grants does not grow.
        slow = self.new_client(options=[("grpc.http2.bdp_probe", 0)])
        call = slow.method("WatchMedia")(media_pb2.WatchMediaRequest())
        reads = iter(call)
        next(reads)
        quick = self.client.watch().until_snapshot()
        # More than fits on the way and in the log together.
        for n in range(6):
            self.assign_back_and_forth(self.subscribe(f"dr-{n}"), 200)
            quick.until("all", lambda all_, n=n: sum(
                m.HasField("event") for m in all_) >= (n + 1) * 401)
        self.assertIsNone(quick.error)
        messages = list(reads)
        self.assertEqual(call.code(), grpc.StatusCode.OK)
        self.assertTrue(messages[-1].HasField("lagged"))
        self.assertGreater(messages[-1].lagged.count, 0)
        sequences = [m.sequence for m in messages[:-1]]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))


class TooManyStreams(WatchTest):
    LIMIT = 1_100
    ASKED = 10_000
    # Where AddressSanitizer is, it keeps what was freed; little of that is to be measured.
    ENV = {**WatchTest.ENV, "ASAN_OPTIONS": "quarantine_size_mb=8"}

    def test_ten_thousand_streams_of_one_client_cannot_hurt(self):
        with MediaLoad(self.gateway) as media:
            sizes = [self.gateway.resident_bytes()]
            for flood in range(2):
                self.flood()
                sizes.append(self.gateway.resident_bytes())
                self.publish(f"operating-room-{flood}")
                self.client.watch().until_snapshot().cancel()
            sent, received = media.stop()
        self.assertEqual(received, sent)
        self.assertGreater(sent, 1_000)
        # About a tenth of what ten thousand would take that were let in, and under no sanitizer a
        # third of this.
        self.assertLess(max(sizes) - sizes[0], 400 * MEBIBYTE)

    def flood(self):
        calls = []
        crowd = [Client(self.gateway.grpc) for _ in range(10)]
        for client in crowd:
            method = client.method("WatchMedia")
            calls += [method(media_pb2.WatchMediaRequest()) for _ in range(self.ASKED // 10)]
        refused = [call for call in calls if not self._is_let_in(call)]
        self.assertEqual(len(refused), self.ASKED - self.LIMIT)
        self.assertEqual({call.code() for call in refused}, {grpc.StatusCode.RESOURCE_EXHAUSTED})
        self.assertEqual(self.gateway.metric("vigil_api_streams"), self.LIMIT)
        self.client.call("ListFeeds")
        for call in calls:
            call.cancel()
        until("all are let go", lambda: self.gateway.metric("vigil_api_streams") == 0)
        for client in crowd:
            client.close()

    @staticmethod
    def _is_let_in(call):
        try:
            return next(call).HasField("snapshot")
        except grpc.RpcError:
            return False


if __name__ == "__main__":
    unittest.main()
