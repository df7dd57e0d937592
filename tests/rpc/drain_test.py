"""A node that drains takes nothing new and lets run what runs; SIGTERM ends it well, whatever is
under way."""

import json
import socket
import threading
import unittest

import grpc
from lib import health, offers
from lib.api import Client, Refused, media_pb2, node_pb2
from lib.gateway import Gateway
from lib.until import PATIENCE, until


class Draining(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway()
        self.addCleanup(self.gateway.stop)
        self.client = Client(self.gateway.grpc)
        self.addCleanup(self.client.close)

    def subscribe(self, participant="dr-1"):
        return self.client.call("Subscribe", participant=participant, sdp_offer=offers.PLAY)

    def publish(self):
        return self.client.call("Publish", participant="room-1", feed="patient",
                                sdp_offer=offers.PUBLISH)

    def refused(self, call):
        with self.assertRaises(Refused) as caught:
            call()
        error = caught.exception
        self.assertEqual((error.code, error.reason), (grpc.StatusCode.UNAVAILABLE, "DRAINING"))
        self.assertGreaterEqual(error.retry_seconds, 1)

    def test_nothing_new_is_taken_and_what_runs_goes_on(self):
        self.publish()
        doctor = self.subscribe()
        watch = self.client.watch().until_snapshot()
        changes = health.watch(self.client.channel)
        self.assertEqual(next(changes), health.SERVING)
        self.assertTrue(self.gateway.ready())

        for _ in range(2):  # To drain twice is to drain.
            node = self.client.call("Drain").node
            self.assertEqual((node.state, node.peers), (node_pb2.NODE_STATE_DRAINING, 2))
        self.assertEqual(next(changes), health.NOT_SERVING)
        for service in ("", "vigil.v1.MediaService", "vigil.v1.NodeService"):
            self.assertEqual(health.check(self.client.channel, service), health.NOT_SERVING)
        self.assertFalse(self.gateway.ready())
        self.refused(self.publish)
        self.refused(self.subscribe)

        self.client.call("AssignSlot", peer=doctor.peer, slot=1, feed="room-1/patient")
        watch.until_event("a change", lambda e: e.HasField("slot_assigned"))
        self.client.watch().until_snapshot()
        self.assertEqual(len(self.client.call("ListFeeds").feeds), 1)
        self.client.call("RestartIce", peer=doctor.peer, etag=doctor.etag, ice_ufrag="abcd",
                         ice_pwd="p" * 22)

        for _ in range(2):
            node = self.client.call("Undrain").node
            self.assertEqual(node.state, node_pb2.NODE_STATE_SERVING)
        self.assertEqual(next(changes), health.SERVING)
        self.assertEqual(health.check(self.client.channel), health.SERVING)
        self.assertTrue(self.gateway.ready())
        opened = self.subscribe("dr-2").peer
        watch.until_event("the new one", lambda e: e.peer_opened.peer.peer == opened)
        self.assertFalse(watch.ended)
        changes.cancel()


class Caller(threading.Thread):
    """Calls without a pause until the gateway is gone."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.answers = 0
        self.errors = []
        self._target = target
        self._stopping = threading.Event()

    def run(self):
        with Client(self._target) as client:
            while not self._stopping.is_set():
                try:
                    client.call("GetStats")
                    client.call("ListFeeds")
                    self.answers += 2
                except Refused as error:
                    self.errors.append(error)
                    return

    def stop(self):
        self._stopping.set()
        self.join(PATIENCE)


class Ending(unittest.TestCase):
    """Each of them insists on exit 0 and a log without a report of a sanitizer."""

    def gateway(self, seconds):
        return Gateway({"VIGIL_SHUTDOWN_DRAIN_SECONDS": str(seconds)})

    def test_sigterm_with_streams_and_calls_under_way(self):
        gateway = self.gateway(0)
        callers = [Caller(gateway.grpc) for _ in range(4)]
        with Client(gateway.grpc) as client:
            for caller in callers:
                caller.start()
            watches = [client.watch().until_snapshot() for _ in range(50)]
            client.call("Publish", participant="room-1", feed="patient",
                        sdp_offer=offers.PUBLISH)
            until("calls are under way", lambda: all(c.answers > 10 for c in callers))
            gateway.stop()
            for watch in watches:
                self.assertIn(watch.until_end().code,
                              (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
        for caller in callers:
            caller.join(PATIENCE)
            self.assertFalse(caller.is_alive())
            self.assertIn(caller.errors[0].code,
                          (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))

    def test_sigterm_waits_for_connections_that_are_there(self):
        gateway = self.gateway(600)
        with Client(gateway.grpc) as client:
            peer = client.call("Publish", participant="room-1", feed="patient",
                               sdp_offer=offers.PUBLISH).peer
            watch = client.watch().until_snapshot()
            gateway.terminate()
            until("it drains", lambda: not gateway.ready())
            with self.assertRaises(Refused) as caught:
                client.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
            self.assertEqual(caught.exception.reason, "DRAINING")
            self.assertEqual(health.check(client.channel), health.NOT_SERVING)
            client.call("ClosePeer", peer=peer)
            watch.until_event("the last end", lambda e: e.peer_closed.peer == peer)
            gateway.wait()

    def test_undrain_does_not_call_off_the_end(self):
        gateway = self.gateway(600)
        with Client(gateway.grpc) as client:
            client.call("Publish", participant="room-1", feed="patient", sdp_offer=offers.PUBLISH)
            gateway.terminate()
            until("it drains", lambda: not gateway.ready())
            with self.assertRaises(Refused) as caught:
                client.call("Undrain")
            self.assertEqual(caught.exception.reason, "DRAINING")
            self.assertFalse(gateway.ready())
            gateway.stop()

    def test_sigterm_with_streams_of_the_http_port(self):
        gateway = self.gateway(0)
        host, _, port = gateway.http.rpartition(":")
        connect = json.dumps({}).encode()
        requests = (
            b"GET /v1/events/media HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /vigil.v1.MediaService/WatchMedia HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/connect+json\r\nContent-Length: %d\r\n\r\n\0%s%s"
            % (5 + len(connect), len(connect).to_bytes(4, "big"), connect))
        streams = []
        for n in range(400):
            stream = socket.create_connection((host, int(port)), PATIENCE)
            self.addCleanup(stream.close)
            stream.sendall(requests[n % 2])
            streams.append(stream)
        until("they are there", lambda: gateway.metric("vigil_api_streams") == len(streams))
        # And some whose request is on its way.
        for stream in [socket.create_connection((host, int(port)), PATIENCE) for _ in range(100)]:
            self.addCleanup(stream.close)
            stream.sendall(requests[0])
        gateway.stop()
        for stream in streams:
            self.assertTrue(stream.recv(1 << 16).startswith(b"HTTP/1.1 200"))

    def test_a_second_sigterm_does_not_wait(self):
        gateway = self.gateway(600)
        with Client(gateway.grpc) as client:
            client.call("Publish", participant="room-1", feed="patient", sdp_offer=offers.PUBLISH)
            gateway.terminate()
            until("it drains", lambda: not gateway.ready())
            gateway.stop()

    def test_sigterm_while_a_client_does_not_read(self):
        gateway = self.gateway(0)
        with Client(gateway.grpc) as client:
            calls = [client.method("WatchMedia")(media_pb2.WatchMediaRequest()) for _ in range(20)]
            until("they are there", lambda: gateway.metric("vigil_api_streams") == 20)
            gateway.stop()
            for call in calls:
                call.cancel()

    def test_sigterm_at_once(self):
        for _ in range(3):
            self.gateway(0).stop()


if __name__ == "__main__":
    unittest.main()
