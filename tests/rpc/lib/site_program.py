"""Random calls of one site, the same for the same seed, and what they brought as a transcript that
can be compared: random ids and times are replaced by what they stand for."""

import base64
import random
import re
import uuid

from google.protobuf import json_format

from . import offers
from .api import Client, Refused, media_pb2

PARTICIPANTS = ("room-1", "room-2", "dr-1")
FEEDS = ("room-1/patient", "room-1/injector", "room-2/patient", "dr-1/face")
WRONG_FEEDS = ("room-9/patient", "Room 1/patient", "patient", "a/b/c/d", "")
TIMES = re.compile(r"_time$|^time$|^waited$|^jitter$")
IDS = re.compile(r"\b[0-9a-f]{32}\b")
# Several callers of a site, with every role: (name, weight).
CALLERS = (("desk", 12), ("wall", 2), ("room-1", 2), ("dr-1", 2), ("nobody", 1))


def tokens(issuer, site):
    """Those of CALLERS. Both sites have the same names for theirs."""
    return {"desk": issuer.controller(site, sub="desk"), "wall": issuer.viewer(site, sub="wall"),
            "room-1": issuer.participant(site, "room-1"), "dr-1": issuer.participant(site, "dr-1"),
            "nobody": issuer.participant(site, "nobody", publish=(), subscribe=())}


def plan(seed, count, site, other):
    """`count` calls, drawn before any is made, so that no answer can change what follows."""
    return [_Draw(random.Random(f"{seed} {site} {n}"), seed, n, site, other).call()
            for n in range(count)]


class _Draw:
    """One random call: (caller, method, fields). ("own", n) and ("other", n) stand for peers."""

    def __init__(self, rng, seed, number, site, other):
        self.rng, self.site, self.other = rng, site, other
        # Both sites draw the same ids.
        self.request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {number}"))

    def call(self):
        names, weights = zip(*CALLERS)
        caller = self.rng.choices(names, weights)[0]
        draw = self.rng.choices(
            (self.publish, self.subscribe, self.assign, self.layer, self.restart, self.close,
             self.keyframe, self.list, self.stats, self.watch, self.node),
            (5, 7, 8, 2, 2, 2, 2, 4, 2, 1, 1))[0]
        method, fields = draw()
        if "request_id" in media_fields(method) and self.rng.random() < 0.5:
            fields["request_id"] = self.request_id
        return caller, method, fields

    def pick(self, *choices):
        return self.rng.choice(choices)

    def a_site(self):
        return self.rng.choices(("", self.site, self.other, "site-x", "No Site"),
                                (8, 8, 1, 1, 1))[0]

    def a_feed(self):
        own = self.rng.choice(FEEDS)
        return self.rng.choices((own, f"{self.site}/{own}", f"{self.other}/{own}",
                                 f"site-x/{own}", self.rng.choice(WRONG_FEEDS)),
                                (12, 2, 1, 1, 1))[0]

    def a_peer(self, whose="own"):
        number = self.rng.randrange(100)
        return self.rng.choices(((whose, number), ("ended", number), ("other", number), "",
                                 "0" * 32), (16, 1, 3, 1, 1))[0]

    def publish(self):
        participant, _, feed = self.rng.choice(FEEDS).partition("/")
        return "Publish", {
            "site": self.a_site(), "participant": participant, "feed": feed, "device": "camera",
            "sdp_offer": self.rng.choices(
                (offers.PUBLISH, offers.only_sound(offers.PUBLISH), offers.PUBLISH_H264, "v=0"),
                (5, 2, 2, 1))[0]}

    def subscribe(self):
        return "Subscribe", {
            "site": self.a_site(), "participant": self.rng.choice(PARTICIPANTS),
            "sdp_offer": self.pick(offers.PLAY, offers.PLAY, offers.PLAY_TWO, "v=1"),
            "feeds": [self.a_feed() for _ in range(self.rng.randrange(3))]}

    def assign(self):
        return "AssignSlot", {"peer": self.a_peer("receiver"), "slot": self.pick(0, 1, 1, 1, 2),
                              "feed": self.a_feed()}

    def layer(self):
        return "SelectLayer", {"peer": self.a_peer("receiver"), "slot": self.pick(0, 1, 1, 2),
                               "layer": self.rng.randrange(5)}

    def restart(self):
        return "RestartIce", {"peer": self.a_peer(), "etag": self.pick("*", "*", "stale"),
                              "ice_ufrag": self.pick("abcd", "abcd", "a"), "ice_pwd": "p" * 22}

    def close(self):
        return "ClosePeer", {"peer": self.a_peer()}

    def keyframe(self):
        return "RequestKeyframe", {"site": self.a_site(), "feed": self.a_feed()}

    def list(self):
        token = self.pick(*[""] * 8, "x", *(page_token(f"{start} {site} {name}")
                                             for start, name in (("p", "room-1"), ("f", FEEDS[0]))
                                             for site in (self.site, self.other)))
        return self.pick("ListFeeds", "ListParticipants"), {
            "site": self.a_site(), "page_size": self.rng.randrange(3), "page_token": token,
            "name_prefix": self.pick("", "", "room-")}

    def stats(self):
        return "GetStats", {"site": self.a_site(), "participant": self.pick("", *PARTICIPANTS),
                            "page_size": self.rng.randrange(3)}

    def watch(self):
        return "WatchMedia", {"site": self.a_site(), "resume_token": self.pick("", "", "x", "!")}

    def node(self):
        return self.pick("GetNode", "Drain", "Undrain"), {}


def media_fields(method):
    return Client.request(method).DESCRIPTOR.fields_by_name


def page_token(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


class Site:
    """A site's callers at one gateway. `peers` grows with each that is made."""

    def __init__(self, gateway, site, tokens_of_site):
        self.site = site
        self.clients = {name: Client(gateway.grpc, token)
                        for name, token in tokens_of_site.items()}
        self.peers = []
        self._peers_of = {"own": [], "receiver": [], "ended": []}
        self.transcript = []
        self.seen = []  # (request, answer), as bytes.
        self._names = {}
        self.watch = self.clients["wall"].watch().until_snapshot()

    def close(self):
        self.watch.cancel()
        for client in self.clients.values():
            client.close()

    def step(self, call, other_peers):
        """Makes one call of a plan and notes what it brought."""
        caller, method, fields = call
        fields = dict(fields)
        if isinstance(fields.get("peer"), tuple):
            fields["peer"] = self._peer(*fields["peer"], other_peers)
        request = Client.request(method, **fields)
        try:
            answer, raw = self._send(self.clients[caller], method, request)
        except Refused as error:
            raw = error.details + (error.message or "").encode()
            answer = {"code": error.code.name, "reason": error.reason, "message": error.message,
                      "metadata": error.metadata, "retry": error.retry_seconds}
        self.seen.append((request.SerializeToString(), raw))
        self.transcript.append((caller, method, self._plain(answer)))

    def _send(self, client, method, request):
        if method == "WatchMedia":
            watch = client.watch(site=request.site, resume_token=request.resume_token)
            try:
                watch.until("the snapshot", lambda messages: messages)
            except TimeoutError:
                raise watch.until_end() from None
            finally:
                watch.cancel()
            response = watch.messages[0]
        else:
            response = client.send(method, request)
        if hasattr(response, "peer"):
            self._add(method, response.peer)
        if method == "ClosePeer":
            self._remove(request.peer)
        raw = response.SerializeToString()
        return json_format.MessageToDict(response, preserving_proto_field_name=True), raw

    def _add(self, method, peer):
        if peer in self.peers:
            return  # A repetition was answered again.
        self.peers.append(peer)
        self._names[peer] = f"own-{len(self.peers)}"
        self._peers_of["own"].append(peer)
        if method == "Subscribe":
            self._peers_of["receiver"].append(peer)

    def _remove(self, peer):
        for peers in self._peers_of.values():
            if peer in peers:
                peers.remove(peer)
        self._peers_of["ended"].append(peer)

    def _peer(self, whose, number, other_peers):
        candidates = other_peers if whose == "other" else self._peers_of[whose]
        peer = candidates[number % len(candidates)] if candidates else uuid.uuid4().hex
        self._names.setdefault(peer, "not-own")
        return peer

    def events(self):
        """What the watch brought so far, ready to be compared."""
        return [self._plain(json_format.MessageToDict(m, preserving_proto_field_name=True))
                for m in self.watch.messages if not m.HasField("heartbeat")]

    def drain_watch(self, name):
        """Waits until the watch has everything: until it has what is made now."""
        made = self.clients["desk"].call("Subscribe", site=self.site, participant=name,
                                         sdp_offer=offers.PLAY)
        self._add("Subscribe", made.peer)
        self.watch.until_event("the last event", lambda e: e.peer_opened.peer.peer == made.peer)

    def _plain(self, value, key=""):
        if isinstance(value, dict):
            return {k: self._plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(v, key) for v in value]
        if TIMES.search(key):
            return "time"
        if key in ("ssrc", "etag", "ice_ufrag", "ice_pwd"):
            return "random"
        if key == "sdp_answer":
            return offers.without_random(value)
        if key == "resume_token":
            # The run and a digest of it are random; the counts behind them are not.
            return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).split(b".")[2:]
        if isinstance(value, str):
            return IDS.sub(lambda m: self._names.get(m.group(), m.group()), value)
        return value


def watched(messages, site):
    """The events of one site, as comparable bytes."""
    return [m.event.SerializeToString(deterministic=True) for m in messages
            if m.HasField("event") and m.event.site == site]


def listed(client, site=""):
    """Everything that a caller sees of a site, page by page."""
    feeds, people = [], []
    token = ""
    while True:
        page = client.call("ListFeeds", site=site, page_size=2, page_token=token)
        feeds += page.feeds
        token = page.next_page_token
        if not token:
            break
    while True:
        page = client.call("ListParticipants", site=site, page_size=2, page_token=token)
        people += page.participants
        token = page.next_page_token
        if not token:
            return feeds, people


__all__ = ["Site", "listed", "media_pb2", "page_token", "plan", "tokens", "watched"]
