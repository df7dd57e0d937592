"""A mutation with a request id has one effect, however often and by whatever way it is repeated."""

import unittest
import uuid

import grpc
from lib import offers
from lib.api import Client, Refused, media_pb2, request_id
from lib.gateway import Gateway
from lib.tokens import Issuer


class RequestIds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.gateway = Gateway({**cls.issuer.env, "VIGIL_LIMITS_PEERS_PER_PARTICIPANT": "200"})
        cls.addClassCleanup(cls.gateway.stop)

    def setUp(self):
        # A site of its own for each test.
        self.site = f"site-{uuid.uuid4().hex[:8]}"
        self.desk = self.client()

    def client(self, sub="desk"):
        client = Client(self.gateway.grpc, self.issuer.controller(self.site, sub=sub))
        self.addCleanup(client.close)
        return client

    def publish(self, client, repeated, feed="patient"):
        return client.call("Publish", request_id=repeated, participant="room-1", feed=feed,
                           sdp_offer=offers.PUBLISH)

    def subscribe(self, client, repeated=""):
        return client.call("Subscribe", request_id=repeated, participant="dr-1",
                           sdp_offer=offers.PLAY)

    def reused(self, client, method, **fields):
        with self.assertRaises(Refused) as caught:
            client.call(method, **fields)
        error = caught.exception
        self.assertEqual((error.code, error.reason, error.metadata),
                         (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED",
                          {"field": "request_id"}))

    def peers(self):
        return [peer.peer for person in self.desk.call("ListParticipants").participants
                for peer in person.peers]

    def test_a_repetition_gets_the_same_answer_and_has_no_effect(self):
        watch = self.desk.watch().until_snapshot()
        repeated = request_id()
        first = self.publish(self.desk, repeated)
        for _ in range(3):
            self.assertEqual(self.publish(self.desk, repeated), first)
        self.assertEqual(self.peers(), [first.peer])
        last = self.subscribe(self.desk).peer
        watch.until_event("the last", lambda e: e.peer_opened.peer.peer == last)
        self.assertEqual([e.WhichOneof("kind") for e in watch.events],
                         ["peer_opened", "feed_published", "peer_opened"])

    def test_it_holds_for_every_mutation(self):
        room, doctor = self.publish(self.desk, ""), self.subscribe(self.desk)
        watch = self.desk.watch().until_snapshot()
        calls = (("AssignSlot", {"peer": doctor.peer, "slot": 1, "feed": "room-1/patient"}, 1),
                 ("SelectLayer", {"peer": doctor.peer, "slot": 1, "layer": 0}, 0),
                 ("RequestKeyframe", {"feed": "room-1/patient"}, 0),
                 ("RestartIce", {"peer": room.peer, "etag": room.etag, "ice_ufrag": "abcd",
                                 "ice_pwd": "p" * 22}, 0),
                 ("ClosePeer", {"peer": doctor.peer}, 1))
        for method, fields, _ in calls:
            with self.subTest(method=method):
                repeated = request_id()
                first = self.desk.call(method, request_id=repeated, **fields)
                # Also where doing it again would fail: a closed peer, a stale etag.
                self.assertEqual(self.desk.call(method, request_id=repeated, **fields), first)
        watch.until_event("the end", lambda e: e.HasField("peer_closed"))
        last = self.subscribe(self.desk).peer
        watch.until_event("the last", lambda e: e.peer_opened.peer.peer == last)
        self.assertEqual(len(watch.events), sum(events for _, _, events in calls) + 1)

    def test_operators_have_them_too(self):
        operator = Client(self.gateway.grpc, self.issuer.operator())
        self.addCleanup(operator.close)
        drain, undrain = request_id(), request_id()
        self.addCleanup(operator.call, "Undrain")
        first = operator.call("Drain", request_id=drain)
        operator.call("Undrain", request_id=undrain)
        # The repetition of a drain that was taken back does not drain again.
        self.assertEqual(operator.call("Drain", request_id=drain), first)
        self.publish(self.desk, request_id())

    def test_another_body_under_the_same_id_is_refused(self):
        repeated = request_id()
        self.publish(self.desk, repeated)
        fields = {"request_id": repeated, "participant": "room-1", "feed": "patient",
                  "sdp_offer": offers.PUBLISH}
        for changed in ({"feed": "injector"}, {"device": "two"}, {"site": self.site},
                        {"sdp_offer": offers.PUBLISH_H264}, {"sdp_offer": ""}):
            with self.subTest(changed=list(changed)):
                self.reused(self.desk, "Publish", **{**fields, **changed})
        self.assertEqual(len(self.peers()), 1)

    def test_an_id_is_of_one_method(self):
        repeated = request_id()
        peer = self.subscribe(self.desk, repeated).peer
        self.desk.call("AssignSlot", request_id=repeated, peer=peer, slot=1)
        self.desk.call("ClosePeer", request_id=repeated, peer=peer)
        self.assertEqual(self.peers(), [])

    def test_an_id_is_of_one_caller(self):
        repeated = request_id()
        first = self.subscribe(self.desk, repeated)
        second = self.subscribe(self.client(sub="other-desk"), repeated)
        self.assertNotEqual(first.peer, second.peer)
        # A new token or connection of the same caller is the same caller.
        self.assertEqual(self.subscribe(self.client(), repeated), first)
        self.assertEqual(len(self.peers()), 2)

    def test_repetitions_at_the_same_time_get_one_answer(self):
        clients = [self.client() for _ in range(4)]
        for _ in range(5):
            before = len(self.peers())
            request = media_pb2.SubscribeRequest(
                request_id=request_id(), participant="dr-1", sdp_offer=offers.PLAY)
            calls = [client.method("Subscribe").future(request, timeout=20,
                                                       metadata=client.metadata)
                     for client in clients for _ in range(5)]
            answers = {call.result().SerializeToString(deterministic=True) for call in calls}
            self.assertEqual(len(answers), 1)
            self.assertEqual(len(self.peers()), before + 1)

    def test_different_bodies_at_the_same_time_have_one_winner(self):
        repeated = request_id()
        calls = [self.desk.method("Publish").future(
            media_pb2.PublishRequest(request_id=repeated, participant="room-1", feed=f"feed-{n}",
                                     sdp_offer=offers.PUBLISH),
            timeout=20, metadata=self.desk.metadata) for n in range(10)]
        errors = [Refused(call) for call in calls if call.exception() is not None]
        self.assertEqual([e.reason for e in errors], ["REQUEST_ID_REUSED"] * 9)
        self.assertEqual(len(self.peers()), 1)

    def test_what_failed_may_be_tried_again(self):
        repeated = request_id()
        peer = self.subscribe(self.desk).peer
        fields = {"request_id": repeated, "peer": peer, "slot": 1, "feed": "room-1/patient"}
        with self.assertRaises(Refused) as caught:
            self.desk.call("AssignSlot", **fields)
        self.assertEqual(caught.exception.reason, "FEED_NOT_FOUND")
        self.publish(self.desk, "")
        self.desk.call("AssignSlot", **fields)

    def test_a_client_that_gave_up_finds_the_answer(self):
        repeated = request_id()
        request = media_pb2.SubscribeRequest(request_id=repeated, participant="dr-1",
                                             sdp_offer=offers.PLAY)
        calls = [self.desk.method("Subscribe").future(request, timeout=20,
                                                      metadata=self.desk.metadata)
                 for _ in range(10)]
        for call in calls:
            call.cancel()
        peer = self.subscribe(self.desk, repeated).peer
        self.assertEqual(self.peers(), [peer])

    def test_an_id_in_capitals_is_the_same(self):
        """RFC 4122, 3: hexadecimal digits are read in either case."""
        repeated = request_id()
        first = self.desk.call("Subscribe", request_id=repeated, participant="dr-1",
                               sdp_offer=offers.PLAY)
        self.assertEqual(self.subscribe(self.desk, repeated.upper()), first)
        self.assertEqual(self.peers(), [first.peer])


if __name__ == "__main__":
    unittest.main()
