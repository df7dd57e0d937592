"""A Python client calls every method, and what gRPC itself promises holds: health, reflection,
deadlines, cancellation, errors with details."""

import socket
import unittest

import grpc
from lib import health, offers
from lib.api import Client, Refused, common_pb2, media_pb2, node_pb2, request_id
from lib.gateway import Gateway
from lib.until import PATIENCE, until

class EveryMethod(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway({"VIGIL_GRPC_REFLECTION": "true"})
        cls.addClassCleanup(cls.gateway.stop)
        cls.client = Client(cls.gateway.grpc)
        cls.addClassCleanup(cls.client.close)
        cls.called = set()

    def call(self, name, **fields):
        self.called.add(name)
        return self.client.call(name, **fields)

    def refused(self, name, **fields):
        self.called.add(name)
        with self.assertRaises(Refused) as caught:
            self.client.call(name, **fields)
        return caught.exception

    def test_a_visit_from_publishing_to_the_end(self):
        watch = self.client.watch().until_snapshot()
        published = self.call("Publish", request_id=request_id(), participant="room-1",
                              feed="patient", sdp_offer=offers.PUBLISH, device="camera-1")
        self.assertIn("a=recvonly", published.sdp_answer)
        subscribed = self.call("Subscribe", request_id=request_id(), participant="dr-1",
                               sdp_offer=offers.PLAY, feeds=["room-1/patient"])
        self.assertIn("a=sendonly", subscribed.sdp_answer)
        self.assertEqual([(s.index, s.kind, s.feed) for s in subscribed.slots], [
            (0, common_pb2.MEDIA_KIND_AUDIO, "room-1/patient"),
            (1, common_pb2.MEDIA_KIND_VIDEO, "room-1/patient")])
        self._look(published.peer, subscribed.peer)
        self._steer(subscribed.peer)
        restarted = self.call("RestartIce", request_id=request_id(), peer=published.peer,
                              etag=published.etag, ice_ufrag="abcd", ice_pwd="p" * 22)
        self.assertNotEqual(restarted.etag, published.etag)
        self.assertTrue(restarted.ice_ufrag and restarted.ice_pwd)
        for peer in (subscribed.peer, published.peer):
            self.call("ClosePeer", request_id=request_id(), peer=peer)
        watch.until_event("the publisher's end", lambda e: e.peer_closed.peer == published.peer)
        self.called.add("WatchMedia")
        self.assertEqual([e.WhichOneof("kind") for e in watch.events], [
            "peer_opened", "feed_published", "peer_opened", "slot_assigned", "slot_assigned",
            "peer_closed", "feed_ended", "peer_closed"])
        watch.cancel()
        self.assertFalse(self.call("ListParticipants").participants)
        self.assertFalse(self.call("ListFeeds").feeds)
        self._mix_and_ingest()
        self._node()
        self._nothing_was_forgotten()

    def _look(self, publisher, subscriber):
        participants = self.call("ListParticipants").participants
        self.assertEqual([(p.site, p.participant, [peer.peer for peer in p.peers])
                          for p in participants],
                         [("default", "dr-1", [subscriber]), ("default", "room-1", [publisher])])
        room = participants[1].peers[0]
        self.assertEqual((room.publishes, room.device, room.phase),
                         ("room-1/patient", "camera-1", media_pb2.PEER_PHASE_CONNECTING))
        feed, = self.call("ListFeeds").feeds
        self.assertEqual((feed.feed, feed.slots, feed.layers), ("room-1/patient", 2, 1))
        self.assertIn("opus", [c.name for c in feed.audio_codecs])
        self.assertIn("VP8", [c.name for c in feed.video_codecs])
        stats = self.call("GetStats").peers
        self.assertEqual([p.peer for p in stats], [subscriber, publisher])
        self.assertEqual([s.slot.feed for s in stats[0].outbound], ["room-1/patient"] * 2)

    def _steer(self, subscriber):
        self.call("SelectLayer", request_id=request_id(), peer=subscriber, slot=1, layer=0)
        self.call("RequestKeyframe", request_id=request_id(), feed="room-1/patient")
        self.call("AssignSlot", request_id=request_id(), peer=subscriber, slot=1)
        self.assertEqual(self.call("ListFeeds").feeds[0].slots, 1)
        self.call("AssignSlot", request_id=request_id(), peer=subscriber, slot=1,
                  feed="room-1/patient")
        self.assertEqual(self.call("ListFeeds").feeds[0].slots, 2)

    def _mix_and_ingest(self):
        mix = media_pb2.Mix(feed="wall/all", sounds=["room-1/patient"])
        for name, fields in (("CreateMix", {"mix": mix}), ("UpdateMix", {"mix": mix}),
                             ("DeleteMix", {"feed": "wall/all"}),
                             ("StartIngest", {"feed": "room-1/camera"}),
                             ("StopIngest", {"feed": "room-1/camera"})):
            error = self.refused(name, request_id=request_id(), **fields)
            self.assertEqual((error.code, error.reason),
                             (grpc.StatusCode.UNIMPLEMENTED, "NOT_BUILT"), name)

    def _node(self):
        node = self.call("GetNode").node
        self.assertEqual((node.state, node.peers, node.feeds, len(node.workers)),
                         (node_pb2.NODE_STATE_SERVING, 0, 0, 1))
        self.assertEqual(list(node.media_addresses), [self.gateway.media])
        self.assertEqual(self.call("GetVersion").version, node.version)
        self.assertFalse(node.HasField("certificate_expire_time"))
        drained = self.call("Drain", request_id=request_id()).node
        self.assertEqual(drained.state, node_pb2.NODE_STATE_DRAINING)
        self.assertEqual(self.call("Undrain", request_id=request_id()).node.state,
                         node_pb2.NODE_STATE_SERVING)

    def _nothing_was_forgotten(self):
        declared = {method.name for module in (media_pb2, node_pb2)
                    for service in module.DESCRIPTOR.services_by_name.values()
                    for method in service.methods}
        self.assertEqual(self.called, declared)

    def test_health_answers_for_the_server_and_for_each_service(self):
        for service in ("", "vigil.v1.MediaService", "vigil.v1.NodeService"):
            self.assertEqual(health.check(self.client.channel, service), health.SERVING,
                             service)
        with self.assertRaises(grpc.RpcError) as caught:
            health.check(self.client.channel, "vigil.v1.Nobody")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_reflection_lists_the_services(self):
        listed = health.reflected_services(self.client.channel)
        self.assertIn(b"vigil.v1.MediaService", listed)
        self.assertIn(b"vigil.v1.NodeService", listed)

    def test_an_error_tells_reason_domain_and_subject(self):
        with self.assertRaises(Refused) as caught:
            self.client.call("RequestKeyframe", feed="room-9/patient")
        error = caught.exception
        self.assertEqual(error.code, grpc.StatusCode.NOT_FOUND)
        # The code within the details is the one of the status line.
        self.assertEqual(error.status_code, grpc.StatusCode.NOT_FOUND.value[0])
        self.assertEqual((error.reason, error.domain, error.metadata),
                         ("FEED_NOT_FOUND", "vigil.v1", {"feed": "room-9/patient"}))
        self.assertIn("ERROR_REASON_" + error.reason, common_pb2.ErrorReason.keys())

    def test_a_deadline_ends_a_stream(self):
        before = self._streams()
        call = self.client.method("WatchMedia")(media_pb2.WatchMediaRequest(), timeout=0.5)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in call:
                pass
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        until("the stream is let go", lambda: self._streams() == before)

    def test_a_deadline_that_has_passed_ends_a_call(self):
        with self.assertRaises(Refused) as caught:
            # Before now: an answer may be quicker than a deadline that is just now.
            self.client.send("ListFeeds", media_pb2.ListFeedsRequest(), timeout=-1)
        self.assertEqual(caught.exception.code, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.client.call("ListFeeds")

    def test_a_cancelled_stream_is_let_go(self):
        before = self._streams()
        watches = [self.client.watch().until_snapshot() for _ in range(20)]
        self.assertEqual(self._streams(), before + 20)
        for watch in watches:
            watch.cancel()
        until("the streams are let go", lambda: self._streams() == before)

    def test_a_cancelled_call_leaves_the_connection_in_order(self):
        for _ in range(50):
            call = self.client.method("GetStats").future(media_pb2.GetStatsRequest(), timeout=20)
            call.cancel()
        self.client.call("GetStats")

    def test_what_is_no_method_is_unimplemented(self):
        for path in ("/vigil.v1.MediaService/Nothing", "/vigil.v1.NoService/ListFeeds"):
            with self.assertRaises(grpc.RpcError) as caught:
                self.client.channel.unary_unary(path)(b"", timeout=20)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_bytes_that_are_no_message_are_refused(self):
        for junk in (b"\xff" * 40, b"\x0a\x05ab", b"\x0a\x02\xff\xfe"):
            with self.assertRaises(grpc.RpcError) as caught:
                self.client.channel.unary_unary("/vigil.v1.MediaService/ListFeeds")(
                    junk, timeout=20)
            # Of the library, before any code of ours: it takes it for a method of another version.
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED, junk)
        self.client.call("ListFeeds")

    def _streams(self):
        return self.gateway.metric("vigil_api_streams")



class ReflectionOff(unittest.TestCase):
    def test_it_is_off_unless_asked_for(self):
        with Gateway() as gateway, Client(gateway.grpc) as client:
            with self.assertRaises(grpc.RpcError) as caught:
                health.reflected_services(client.channel)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


class Sizes(unittest.TestCase):
    def test_a_message_that_inflates_is_not_inflated(self):
        with Gateway({"ASAN_OPTIONS": "quarantine_size_mb=8"}) as gateway, \
             Client(gateway.grpc) as client:
            client.call("ListFeeds")
            before = gateway.peak_bytes()
            request = media_pb2.PublishRequest(participant="room-1", feed="patient",
                                               sdp_offer="0" * (200 << 20))
            with self.assertRaises(grpc.RpcError) as caught:
                client.method("Publish")(request, timeout=PATIENCE,
                                         compression=grpc.Compression.Gzip)
            self.assertIn(caught.exception.code(), (grpc.StatusCode.UNIMPLEMENTED,
                                                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                                                    grpc.StatusCode.INTERNAL))
            self.assertLess(gateway.peak_bytes() - before, 60 << 20)
            client.call("ListFeeds")

    def test_offers_at_once_do_not_pass_the_bound(self):
        with Gateway({"VIGIL_LIMITS_PEERS_PER_PARTICIPANT": "8"}) as gateway, \
             Client(gateway.grpc) as client:
            request = media_pb2.SubscribeRequest(participant="dr-1", sdp_offer=offers.PLAY)
            calls = [client.method("Subscribe").future(request, timeout=PATIENCE)
                     for _ in range(100)]
            codes = [call.code() for call in calls]
            self.assertEqual(codes.count(grpc.StatusCode.OK), 8)
            self.assertEqual(codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED), 92)
            # What was refused, or has ended, leaves its place.
            participants = client.call("ListParticipants").participants
            for peer in participants[0].peers:
                client.call("ClosePeer", peer=peer.peer)
            client.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)

    def test_of_devices_that_come_at_once_one_gets_the_feed(self):
        with Gateway() as gateway, Client(gateway.grpc) as client:
            calls = [client.method("Publish").future(media_pb2.PublishRequest(
                participant="room-1", feed="patient", device=f"camera-{n}",
                sdp_offer=offers.PUBLISH), timeout=PATIENCE) for n in range(10)]
            codes = [call.code() for call in calls]
            self.assertEqual(codes.count(grpc.StatusCode.OK), 1, codes)


class Statistics(unittest.TestCase):
    def test_who_asks_for_many_delays_no_command_of_others(self):
        with Gateway({"VIGIL_NODE_WORKERS": "1"}) as gateway, \
             Client(gateway.grpc) as greedy, Client(gateway.grpc) as other:
            for n in range(20):
                other.call("Subscribe", participant=f"dr-{n}", sdp_offer=offers.PLAY)
            peer = other.call("Subscribe", participant="dr", sdp_offer=offers.PLAY).peer
            request = media_pb2.GetStatsRequest(page_size=100)
            pages = [greedy.method("GetStats").future(request, timeout=PATIENCE)
                     for _ in range(400)]
            for _ in range(50):
                other.call("AssignSlot", request_id=request_id(), peer=peer, slot=0)
            codes = {page.code() for page in pages}
            self.assertIn(grpc.StatusCode.OK, codes)
            self.assertLessEqual(codes, {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED})


class Pages(unittest.TestCase):
    # Of names of which one begins like the other: '-' comes before '/', but room before room-1.
    PARTICIPANTS = ("room", "room-1", "room-1a", "room-2", "a")

    def test_every_thing_is_on_one_page_whatever_its_size(self):
        with Gateway() as gateway, Client(gateway.grpc) as client:
            for participant in self.PARTICIPANTS:
                for feed in ("patient", "pat"):
                    client.call("Publish", request_id=request_id(), participant=participant,
                                feed=feed, sdp_offer=offers.PUBLISH)
            feeds = sorted(f"{participant}/{feed}" for participant in self.PARTICIPANTS
                           for feed in ("patient", "pat"))
            for size in range(1, len(feeds) + 2):
                self.assertEqual(sorted(self.walk(client, "ListFeeds", size)), feeds)
                self.assertEqual(sorted(self.walk(client, "ListParticipants", size)),
                                 sorted(self.PARTICIPANTS))

    @staticmethod
    def walk(client, method, size):
        names, token = [], ""
        while True:
            page = client.call(method, page_size=size, page_token=token)
            things = page.feeds if method == "ListFeeds" else page.participants
            assert len(things) <= size
            names += [thing.feed if method == "ListFeeds" else thing.participant
                      for thing in things]
            token = page.next_page_token
            if not token:
                return names


class Addresses(unittest.TestCase):
    def test_without_ice_tcp_nobody_listens(self):
        for tcp in ("true", "false"):
            with self.subTest(tcp=tcp), Gateway({"VIGIL_MEDIA_TCP": tcp}) as gateway:
                host, _, port = gateway.media.rpartition(":")
                with socket.socket() as client:
                    refused = client.connect_ex((host, int(port))) != 0
                self.assertEqual(refused, tcp == "false")

    def test_addresses_are_bracketed_and_complete(self):
        env = {"VIGIL_MEDIA_ADDRESSES": "::1,127.0.0.1", "VIGIL_NODE_WORKERS": "2",
               "VIGIL_HTTP_ADDRESS": "::1"}
        with Gateway(env) as gateway, Client(gateway.grpc) as client:
            addresses = list(client.call("GetNode").node.media_addresses)
            ports = [address.rpartition(":")[2] for address in addresses]
            self.assertEqual([address.rpartition(":")[0] for address in addresses],
                             ["[::1]", "127.0.0.1"] * 2)
            self.assertTrue(ports[0] == ports[1] != ports[2] == ports[3], addresses)
            self.assertEqual(gateway.media.split(","), addresses)
            self.assertRegex(gateway.http, r"^\[::1\]:\d+$")


if __name__ == "__main__":
    unittest.main()
