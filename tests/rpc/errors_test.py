"""Every wrong field, name, token, size and order has its documented reason and code."""

import time
import unittest
import uuid

import grpc
from lib import offers
from lib.api import Client, Refused, common_pb2, is_served, media_pb2, request_id
from lib.gateway import Gateway
from lib.site_program import page_token
from lib.tokens import Issuer, grants
from lib.until import until

# The code of each reason, as proto/vigil/v1/common.proto says.
CODES = {
    "FIELD_INVALID": "INVALID_ARGUMENT", "REQUEST_ID_REUSED": "INVALID_ARGUMENT",
    "SDP_INVALID": "INVALID_ARGUMENT", "SDP_UNANSWERABLE": "FAILED_PRECONDITION",
    "SDP_UNPROCESSABLE": "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID": "INVALID_ARGUMENT",
    "SITE_REQUIRED": "INVALID_ARGUMENT", "TOKEN_MISSING": "UNAUTHENTICATED",
    "TOKEN_INVALID": "UNAUTHENTICATED", "TOKEN_EXPIRED": "UNAUTHENTICATED",
    "TOKEN_REVOKED": "UNAUTHENTICATED", "NOT_GRANTED": "PERMISSION_DENIED",
    "PEER_NOT_FOUND": "NOT_FOUND", "FEED_NOT_FOUND": "NOT_FOUND", "SLOT_NOT_FOUND": "NOT_FOUND",
    "FEED_HELD": "ALREADY_EXISTS", "SLOT_UNFIT": "FAILED_PRECONDITION",
    "ETAG_STALE": "FAILED_PRECONDITION", "RATE_LIMITED": "RESOURCE_EXHAUSTED",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE": "RESOURCE_EXHAUSTED",
    "NOT_BUILT": "UNIMPLEMENTED"}

LONG = "a" * 64
WRONG_NAMES = (LONG, "Room", "room 1", "room_1", "ä", "room/1", "../room", "room\n")
PWD = "p" * 22


class ErrorsTest(unittest.TestCase):
    ENV = {}

    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.gateway = Gateway({**cls.issuer.env, **cls.ENV})
        cls.addClassCleanup(cls.gateway.stop)

    def client(self, token):
        client = Client(self.gateway.grpc, token)
        self.addCleanup(client.close)
        return client

    def controller(self, *sites):
        return self.client(self.issuer.controller(*(sites or ("north",))))

    def check(self, client, method, fields, reason, metadata=None):
        """The call is refused for this reason, whose metadata has at least these items."""
        shown = {k: v[:40] if isinstance(v, str) else v for k, v in fields.items()}
        with self.subTest(method=method, fields=shown):
            with self.assertRaises(Refused) as caught:
                client.call(method, **fields)
            self.check_error(caught.exception, reason, metadata)
            return caught.exception

    def check_error(self, error, reason, metadata=None):
        self.assertEqual((error.reason, error.domain), (reason, "vigil.v1"), error)
        self.assertEqual(error.code.name, CODES[reason])
        self.assertEqual(error.status_code, error.code.value[0])
        for key, value in (metadata or {}).items():
            self.assertEqual(error.metadata.get(key), value, error)
        self.assertTrue(error.message)


class Fields(ErrorsTest):
    def setUp(self):
        self.desk = self.controller()

    def field(self, method, fields, name):
        error = self.check(self.desk, method, fields, "FIELD_INVALID", {"field": name})
        self.assertIn(name, error.message)

    def test_names(self):
        publish = {"participant": "room-1", "feed": "patient", "sdp_offer": offers.PUBLISH}
        subscribe = {"participant": "dr-1", "sdp_offer": offers.PLAY}
        for wrong in (*WRONG_NAMES, ""):
            self.field("Publish", {**publish, "participant": wrong}, "participant")
            self.field("Publish", {**publish, "feed": wrong}, "feed")
            self.field("Subscribe", {**subscribe, "participant": wrong}, "participant")
        for wrong in WRONG_NAMES:
            for method, fields in (("Publish", publish), ("Subscribe", subscribe),
                                   ("ListFeeds", {}), ("ListParticipants", {}), ("GetStats", {}),
                                   ("RequestKeyframe", {"feed": "room-1/patient"})):
                self.field(method, {**fields, "site": wrong}, "site")
            self.field("GetStats", {"participant": wrong}, "participant")
        for wrong in ("a" * 65, "cam era", "cam/1", "ä"):
            self.field("Publish", {**publish, "device": wrong}, "device")
            self.field("Subscribe", {**subscribe, "device": wrong}, "device")
        self.assertFalse(self.desk.call("ListParticipants").participants)

    def test_feeds(self):
        peer = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        for wrong in ("patient", "a/b/c/d", "/", "room-1/", "/patient", "Room/patient",
                      "north//patient", f"room-1/{LONG}"):
            self.field("AssignSlot", {"peer": peer, "feed": wrong}, "feed")
            self.field("RequestKeyframe", {"feed": wrong}, "feed")
            self.field("Subscribe", {"participant": "dr-2", "sdp_offer": offers.PLAY,
                                     "feeds": [wrong]}, "feeds")
        self.field("RequestKeyframe", {}, "feed")
        self.field("Subscribe", {"participant": "dr-2", "sdp_offer": offers.PLAY,
                                 "feeds": ["room-1/patient"] * 65}, "feeds")
        self.desk.call("ClosePeer", peer=peer)

    def test_offers(self):
        publish = {"participant": "room-1", "feed": "patient"}
        subscribe = {"participant": "dr-1"}
        for method, fields in (("Publish", publish), ("Subscribe", subscribe)):
            self.field(method, fields, "sdp_offer")
            good = offers.PUBLISH if method == "Publish" else offers.PLAY
            for wrong in ("v=0", "hello", "\0", good.replace("a=fingerprint", "a=finger"),
                          good.replace("a=ice-pwd", "a=ice"), good.replace("v=0", "v=1")):
                self.check(self.desk, method, {**fields, "sdp_offer": wrong}, "SDP_INVALID",
                           {"field": "sdp_offer"})
        nobody = offers.only_codec(offers.PUBLISH, "none").replace(" opus/", " nobody/")
        for wrong in (nobody, offers.PLAY, offers.PUBLISH[:200]):
            self.check(self.desk, "Publish", {**publish, "sdp_offer": wrong}, "SDP_UNANSWERABLE")
        self.check(self.desk, "Subscribe", {**subscribe, "sdp_offer": offers.PUBLISH},
                   "SDP_UNANSWERABLE")
        two = offers.PLAY_TWO.replace("a=recvonly", "a=sendonly")
        self.check(self.desk, "Publish", {**publish, "sdp_offer": two}, "SDP_UNPROCESSABLE")
        self.assertFalse(self.desk.call("ListParticipants").participants)

    def test_ice_and_layers(self):
        peer = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        for wrong in ("", "abc", "a" * 257, "ab cd", "abcd\r\n"):
            self.field("RestartIce", {"peer": peer, "etag": "*", "ice_ufrag": wrong,
                                      "ice_pwd": PWD}, "ice_ufrag")
        for wrong in ("", "p" * 21, "p" * 257, PWD + "\n"):
            self.field("RestartIce", {"peer": peer, "etag": "*", "ice_ufrag": "abcd",
                                      "ice_pwd": wrong}, "ice_pwd")
        for wrong in (4, 255, 2**32 - 1):
            self.field("SelectLayer", {"peer": peer, "slot": 1, "layer": wrong}, "layer")
        self.desk.call("ClosePeer", peer=peer)

    def test_request_ids(self):
        for wrong in ("1", "x" * 36, str(uuid.uuid4())[:-1], str(uuid.uuid4()) + "0", "\0" * 36):
            for method in ("Publish", "Subscribe", "RestartIce", "ClosePeer", "AssignSlot",
                           "SelectLayer", "RequestKeyframe", "CreateMix", "StartIngest"):
                self.field(method, {"request_id": wrong}, "request_id")

    def test_page_tokens(self):
        feed_token = page_token("f north room-1/patient")
        for method in ("ListFeeds", "ListParticipants", "GetStats"):
            for wrong in ("!", "x", "a" * 600, page_token("nospace"), page_token(" "),
                          page_token("north Room/1"), page_token("f"), page_token("No room-1"),
                          feed_token + "!"):
                self.check(self.desk, method, {"page_token": wrong}, "PAGE_TOKEN_INVALID",
                           {"field": "page_token"})

    def test_a_page_token_is_of_one_list(self):
        peers = [self.desk.call("Publish", participant=f"room-{n}", feed="patient",
                                sdp_offer=offers.PUBLISH).peer for n in range(3)]
        tokens = {method: self.desk.call(method, page_size=1).next_page_token
                  for method in ("ListFeeds", "ListParticipants", "GetStats")}
        for method in tokens:
            for other, token in tokens.items():
                if other != method:
                    self.check(self.desk, method, {"page_token": token}, "PAGE_TOKEN_INVALID")
            self.assertTrue(self.desk.call(method, page_token=tokens[method]))
        for peer in peers:
            self.desk.call("ClosePeer", peer=peer)

    def test_a_site_has_to_be_named_by_who_holds_several(self):
        both = self.controller("north", "south")
        for method, fields in (("Publish", {"participant": "a", "feed": "b", "sdp_offer": "c"}),
                               ("Subscribe", {"participant": "a", "sdp_offer": "c"}),
                               ("RequestKeyframe", {"feed": "a/b"})):
            self.check(both, method, fields, "SITE_REQUIRED", {"field": "site"})
        self.assertFalse(both.call("ListFeeds").feeds)

    def test_a_message_that_is_too_large(self):
        for size in (513 * 1024, 900 * 1024):
            self.check(self.desk, "Publish", {"sdp_offer": "a" * size}, "MESSAGE_TOO_LARGE",
                       {"limit": "message_bytes"})
        # Larger still, the library ends it before anybody looks.
        with self.assertRaises(Refused) as caught:
            self.desk.call("Publish", sdp_offer="a" * 2_000_000)
        self.assertEqual(caught.exception.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.desk.call("ListFeeds")

    def test_what_is_not_built(self):
        for method in ("CreateMix", "UpdateMix", "DeleteMix", "StartIngest", "StopIngest"):
            self.check(self.desk, method, {"request_id": request_id()}, "NOT_BUILT")


class Things(ErrorsTest):
    """Names that are well formed, of what is not there or not fit."""

    def setUp(self):
        self.desk = self.controller()

    def test_peers(self):
        gone = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        self.desk.call("ClosePeer", peer=gone)
        for peer in ("", "nobody", "0" * 32, gone, "a" * 10_000, "\0"):
            for method, fields in (("ClosePeer", {}), ("AssignSlot", {"slot": 0}),
                                   ("SelectLayer", {"slot": 0}),
                                   ("RestartIce", {"etag": "*", "ice_ufrag": "abcd",
                                                   "ice_pwd": PWD})):
                error = self.check(self.desk, method, {"peer": peer, **fields}, "PEER_NOT_FOUND",
                                   {"field": "peer"})
                self.assertLess(len(error.message), 200)

    def test_feeds_and_slots(self):
        publisher = self.desk.call("Publish", participant="room-1", feed="patient",
                                   sdp_offer=offers.only_sound(offers.PUBLISH)).peer
        peer = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        for method, fields in (("AssignSlot", {"peer": peer, "feed": "room-9/patient"}),
                               ("AssignSlot", {"peer": peer, "feed": "north/room-9/patient"}),
                               ("RequestKeyframe", {"feed": "room-9/patient"})):
            self.check(self.desk, method, fields, "FEED_NOT_FOUND", {"feed": "room-9/patient"})
        for slot in (2, 255, 256, 2**32 - 1):
            for method in ("AssignSlot", "SelectLayer"):
                self.check(self.desk, method, {"peer": peer, "slot": slot}, "SLOT_NOT_FOUND",
                           {"field": "slot"})
                self.check(self.desk, method, {"peer": publisher, "slot": slot},
                           "SLOT_NOT_FOUND", {"field": "slot"})
        self.check(self.desk, "AssignSlot", {"peer": peer, "slot": 1, "feed": "room-1/patient"},
                   "SLOT_UNFIT", {"feed": "room-1/patient", "slot": "1"})
        # What was refused changed nothing.
        person, = (p for p in self.desk.call("ListParticipants").participants
                   if p.participant == "dr-1")
        self.assertEqual([s.feed for s in person.peers[0].slots], ["", ""])
        for one in (publisher, peer):
            self.desk.call("ClosePeer", peer=one)

    def test_codecs_that_do_not_fit(self):
        publisher = self.desk.call("Publish", participant="room-1", feed="patient",
                                   sdp_offer=offers.PUBLISH_H264).peer
        peer = self.desk.call("Subscribe", participant="dr-1",
                              sdp_offer=offers.only_codec(offers.PLAY, "VP8")).peer
        self.check(self.desk, "AssignSlot", {"peer": peer, "slot": 1, "feed": "room-1/patient"},
                   "SLOT_UNFIT", {"slot": "1"})
        for one in (publisher, peer):
            self.desk.call("ClosePeer", peer=one)

    def test_a_feed_that_another_device_holds(self):
        fields = {"participant": "room-1", "feed": "patient", "sdp_offer": offers.PUBLISH}
        first = self.desk.call("Publish", device="one", **fields).peer
        self.check(self.desk, "Publish", {**fields, "device": "two"}, "FEED_HELD",
                   {"feed": "room-1/patient"})
        self.desk.call("ClosePeer", peer=first)
        second = self.desk.call("Publish", device="two", **fields).peer
        self.desk.call("ClosePeer", peer=second)

    def test_an_ice_generation_that_has_passed(self):
        made = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
        fields = {"peer": made.peer, "ice_ufrag": "abcd", "ice_pwd": PWD}
        now = self.desk.call("RestartIce", etag=made.etag, **fields)
        for etag in (made.etag, "", "nothing"):
            self.check(self.desk, "RestartIce", {**fields, "etag": etag}, "ETAG_STALE",
                       {"field": "etag"})
        self.desk.call("RestartIce", etag=now.etag, **fields)
        self.desk.call("ClosePeer", peer=made.peer)

    def test_of_two_restarts_at_once_one_is_late(self):
        made = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY)
        calls = [self.desk.method("RestartIce").future(
            media_pb2.RestartIceRequest(peer=made.peer, etag=made.etag, ice_ufrag="abcd",
                                        ice_pwd=PWD),
            metadata=self.desk.metadata, timeout=20) for _ in range(8)]
        errors = [Refused(call) for call in calls if call.exception() is not None]
        self.assertEqual(len(errors), 7)
        for error in errors:
            self.check_error(error, "ETAG_STALE")
        self.desk.call("ClosePeer", peer=made.peer)

    def test_of_two_closings_at_once_one_is_late(self):
        peer = self.desk.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        calls = [self.desk.method("ClosePeer").future(
            media_pb2.ClosePeerRequest(peer=peer), metadata=self.desk.metadata, timeout=20)
            for _ in range(8)]
        errors = [Refused(call) for call in calls if call.exception() is not None]
        self.assertEqual(len(errors), 7)
        for error in errors:
            self.check_error(error, "PEER_NOT_FOUND")

    def test_every_reason_of_this_table_is_in_the_contract(self):
        for reason in CODES:
            self.assertIn(f"ERROR_REASON_{reason}", common_pb2.ErrorReason.keys())


class Tokens(ErrorsTest):
    def check_token(self, token, reason):
        self.check(self.client(token), "ListFeeds", {}, reason)
        error = self.client(token).watch().until_end()
        self.check_error(error, reason)

    def test_none(self):
        self.check_token("", "TOKEN_MISSING")

    def test_wrong_ones(self):
        self.issuer.forge_key("forged")
        viewer = grants("viewer")
        good = self.issuer.token(viewer)
        head, body, signature = good.split(".")
        for token in ("x", "a.b.c", good[:-8], f"{head}.{body}.", f"{head}.{signature}.{body}",
                      "a" * 9_000, self.issuer.token(viewer, kid="unknown", key="first"),
                      self.issuer.token(viewer, kid="first", key="forged"),
                      self.issuer.token(viewer, aud="another"), self.issuer.token(viewer, aud=None),
                      self.issuer.token(viewer, sub="Dr Who"), self.issuer.token(viewer, sub=None),
                      self.issuer.token(viewer, jti=None), self.issuer.token(viewer, exp=None),
                      self.issuer.token(None), self.issuer.token("viewer"),
                      self.issuer.token({"sites": "north", "roles": ["viewer"]}),
                      self.issuer.token(grants("viewer", sites=["No"])),
                      self.issuer.token(grants("viewer", publish=["a"])),
                      self.issuer.token(viewer, nbf=int(time.time()) + 600)):
            with self.subTest(token=token[:60]):
                self.check_token(token, "TOKEN_INVALID")

    def test_an_old_one(self):
        self.check_token(self.issuer.token(grants("viewer"), exp=int(time.time()) - 31),
                         "TOKEN_EXPIRED")

    def test_a_withdrawn_one_and_its_streams(self):
        jti = str(uuid.uuid4())
        token = self.issuer.token(grants("viewer"), jti=jti)
        client = self.client(token)
        watch = client.watch().until_snapshot()
        self.issuer.revoke(jti)

        def refused():
            try:
                client.call("ListFeeds")
            except Refused as error:
                return error
            return None
        self.check_error(until("it is withdrawn", refused), "TOKEN_REVOKED")
        self.check_error(watch.until_end(), "TOKEN_REVOKED")


class Grants(ErrorsTest):
    PUBLISH = {"participant": "room-1", "feed": "patient", "sdp_offer": offers.PUBLISH}
    SUBSCRIBE = {"participant": "dr-1", "sdp_offer": offers.PLAY}

    def not_granted(self, client, method, fields, grant):
        self.check(client, method, fields, "NOT_GRANTED", {"grant": grant})

    def test_roles(self):
        viewer = self.client(self.issuer.viewer("north"))
        nobody = self.client(self.issuer.token(grants()))
        operator = self.client(self.issuer.operator())
        participant = self.client(self.issuer.participant("north", "room-1"))
        for client in (nobody, participant):
            for method in ("ListFeeds", "ListParticipants", "GetStats"):
                self.not_granted(client, method, {}, "roles")
            self.check_error(client.watch().until_end(), "NOT_GRANTED", {"grant": "roles"})
        for client in (nobody, viewer):
            self.not_granted(client, "Publish", self.PUBLISH, "roles")
            self.not_granted(client, "Subscribe", self.SUBSCRIBE, "roles")
            for method in ("GetNode", "Drain", "Undrain"):
                self.not_granted(client, method, {}, "roles")
        operator.call("GetNode")
        operator.call("ListFeeds")

    def test_a_participant_acts_for_itself(self):
        room = self.client(self.issuer.participant("north", "room-1", publish=["room-1/patient"],
                                                   subscribe=["dr-1/face"]))
        peer = room.call("Publish", **self.PUBLISH).peer
        self.not_granted(room, "Publish", {**self.PUBLISH, "participant": "room-2"}, "sub")
        self.not_granted(room, "Publish", {**self.PUBLISH, "feed": "injector"}, "publish")
        self.not_granted(room, "Subscribe", self.SUBSCRIBE, "sub")
        own = {**self.SUBSCRIBE, "participant": "room-1"}
        self.not_granted(room, "Subscribe", {**own, "feeds": ["dr-2/face"]}, "subscribe")
        receiver = room.call("Subscribe", **own, feeds=["dr-1/face"]).peer
        self.not_granted(room, "AssignSlot", {"peer": receiver, "feed": "dr-2/face"}, "subscribe")
        self.not_granted(room, "RequestKeyframe", {"feed": "dr-2/face"}, "subscribe")
        room.call("RequestKeyframe", feed="room-1/patient")
        # What is another's is as if it were not there.
        other = self.client(self.issuer.participant("north", "room-2"))
        for method in ("ClosePeer", "AssignSlot", "SelectLayer", "RestartIce"):
            self.check(other, method, {"peer": peer}, "PEER_NOT_FOUND")
        for one in (peer, receiver):
            room.call("ClosePeer", peer=one)

    def test_sites(self):
        desk = self.controller()
        for site in ("south", "nowhere"):
            for method, fields in (("ListFeeds", {}), ("ListParticipants", {}), ("GetStats", {}),
                                   ("Publish", self.PUBLISH), ("Subscribe", self.SUBSCRIBE),
                                   ("RequestKeyframe", {"feed": "room-1/patient"})):
                self.not_granted(desk, method, {**fields, "site": site}, "sites")
            self.not_granted(desk, "RequestKeyframe", {"feed": f"{site}/room-1/patient"}, "sites")
            self.check_error(desk.watch(site=site).until_end(), "NOT_GRANTED", {"grant": "sites"})


class Limits(ErrorsTest):
    ENV = {"VIGIL_LIMITS_CALLS_PER_SECOND": "1", "VIGIL_LIMITS_CALLS_AT_ONCE": "30",
           "VIGIL_LIMITS_PEERS_PER_PARTICIPANT": "2", "VIGIL_LIMITS_STREAMS_PER_CALLER": "2"}

    def test_connections_of_one_participant(self):
        desk = self.client(self.issuer.controller("north", sub="peers"))
        fields = {"participant": "dr-1", "sdp_offer": offers.PLAY}
        for _ in range(2):
            desk.call("Subscribe", **fields)
        self.check(desk, "Subscribe", fields, "QUOTA_EXCEEDED", {"limit": "peers_per_participant"})
        desk.call("Subscribe", **{**fields, "participant": "dr-2"})

    def test_streams_of_one_caller(self):
        client = self.client(self.issuer.controller("north", sub="streams"))
        watches = [client.watch().until_snapshot() for _ in range(2)]
        self.check_error(client.watch().until_end(), "QUOTA_EXCEEDED", {"limit": "streams"})
        watches[0].cancel()
        until("the place is free", lambda: self._opens(client))

    @staticmethod
    def _opens(client):
        try:
            client.watch().until_snapshot()
            return True
        except TimeoutError:
            return False

    def test_calls_of_one_caller(self):
        client = self.client(self.issuer.controller("north", sub="calls"))
        error = self._until_refused(client)
        self.check_error(error, "RATE_LIMITED")
        self.assertGreaterEqual(error.retry_seconds, 1)
        self.controller().call("ListFeeds")
        until("it may call again", lambda: is_served(client))

    def test_guesses_of_one_address(self):
        stranger = self.client("a.b.c")
        error = self._until_refused(stranger, "RATE_LIMITED")
        self.assertGreaterEqual(error.retry_seconds, 1)
        # Whoever can prove who they are is not held up by it.
        self.controller().call("ListFeeds")

    def _until_refused(self, client, reason=None):
        for _ in range(200):
            try:
                client.call("ListFeeds")
            except Refused as error:
                if reason in (None, error.reason):
                    return error
        return self.fail("it was never refused")


if __name__ == "__main__":
    unittest.main()
