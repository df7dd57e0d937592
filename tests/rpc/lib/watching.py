"""What tests of watches share: a picture made of what a watch tells, and changes to be told of."""

import unittest

from . import offers
from .api import Client, media_pb2
from .gateway import Gateway
from .until import PATIENCE


class Picture:
    """What a watcher knows: the snapshot, with each event applied to it."""

    def __init__(self):
        self.peers = {}  # (site, participant, id): (publishes, [feed of each slot])
        self.feeds = set()

    def apply(self, message):
        kind = message.WhichOneof("kind")
        if kind == "snapshot":
            for person in message.snapshot.participants:
                for peer in person.peers:
                    self._add(person.site, person.participant, peer)
            self.feeds |= {(feed.site, feed.feed) for feed in message.snapshot.feeds}
        elif kind == "event":
            self._apply_event(message.event)
        return self

    def _add(self, site, participant, peer):
        self.peers[site, participant, peer.peer] = (peer.publishes, [s.feed for s in peer.slots])

    def _apply_event(self, event):
        kind = event.WhichOneof("kind")
        what = getattr(event, kind)
        if kind == "peer_opened":
            self._add(event.site, what.participant, what.peer)
        elif kind == "peer_closed":
            del self.peers[event.site, what.participant, what.peer]
        elif kind == "feed_published":
            self.feeds.add((event.site, what.feed.feed))
        elif kind == "feed_ended":
            self.feeds.remove((event.site, what.feed))
        elif kind == "slot_assigned":
            slots = self.peers[event.site, what.participant, what.peer][1]
            slots[what.slot.index] = what.slot.feed

    def listed(self, client):
        """What the lists say now."""
        for person in client.call("ListParticipants", page_size=1000).participants:
            for peer in person.peers:
                self._add(person.site, person.participant, peer)
        self.feeds |= {(f.site, f.feed) for f in client.call("ListFeeds", page_size=1000).feeds}
        return self

    def __eq__(self, other):
        return (self.peers, self.feeds) == (other.peers, other.feeds)

    def __repr__(self):
        return f"{self.peers} {self.feeds}"


class WatchTest(unittest.TestCase):
    # What is tested is not how often one may call.
    ENV = {"VIGIL_LIMITS_PEERS_PER_PARTICIPANT": "1000",
           "VIGIL_LIMITS_CALLS_PER_SECOND": "100000", "VIGIL_LIMITS_CALLS_AT_ONCE": "100000"}

    def setUp(self):
        self.gateway = Gateway(self.ENV)
        self.addCleanup(self.gateway.stop)
        self.client = self.new_client()

    def new_client(self, **options):
        client = Client(self.gateway.grpc, **options)
        self.addCleanup(client.close)
        return client

    def publish(self, participant, feed="patient"):
        return self.client.call("Publish", participant=participant, feed=feed,
                                sdp_offer=offers.PUBLISH).peer

    def subscribe(self, participant, feeds=()):
        return self.client.call("Subscribe", participant=participant, sdp_offer=offers.PLAY,
                                feeds=feeds).peer

    def assign_back_and_forth(self, peer, times):
        """Two events each: to a feed that is there, and to none. Many calls are under way."""
        method = self.client.method("AssignSlot")
        for begin in range(0, times, 50):
            calls = [method.future(media_pb2.AssignSlotRequest(peer=peer, slot=1, feed=feed),
                                   timeout=PATIENCE)
                     for _ in range(min(50, times - begin)) for feed in ("room-1/patient", "")]
            for call in calls:
                call.result()

    def a_busy_minute(self):
        """Changes of each kind; ends with something of everything there."""
        room, other = self.publish("room-1"), self.publish("room-2")
        doctor = self.subscribe("dr-1", ["room-1/patient"])
        early = self.subscribe("dr-2", ["room-3/patient"])
        self.publish("room-3")
        self.client.call("AssignSlot", peer=doctor, slot=1, feed="room-2/patient")
        self.publish("room-1")  # Takes the name over from the first, which goes on until connected.
        for peer in (room, other, early):
            self.client.call("ClosePeer", peer=peer)
        self.client.call("AssignSlot", peer=doctor, slot=0)
