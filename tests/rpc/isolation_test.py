"""Sites are tenants: nothing of one can be seen by another, however they call."""

import os
import random
import unittest

import grpc
from lib import offers
from lib.api import Client, Refused, request_id
from lib.gateway import Gateway
from lib.site_program import Site, listed, page_token, plan, tokens, watched
from lib.tokens import Issuer
from lib.until import until

NORTH, SOUTH = "north", "south"
STEPS = 120
ENV = {"VIGIL_NODE_WORKERS": "2", "VIGIL_LIMITS_PEERS_PER_PARTICIPANT": "4",
       "VIGIL_LIMITS_CALLS_PER_SECOND": "100000", "VIGIL_LIMITS_CALLS_AT_ONCE": "100000"}
# The first found an error that told the node's own numbers of peers. A seed from the environment
# repeats a run.
SEEDS = ([int(os.environ["VIGIL_TEST_SEED"])] if "VIGIL_TEST_SEED" in os.environ
         else [580037458, random.SystemRandom().randrange(10**9)])


class RandomCalls(unittest.TestCase):
    """The strongest check: north's calls bring the same with and without south beside it."""

    def test_a_site_beside_another_is_as_alone(self):
        for seed in SEEDS:
            with self.subTest(seed=seed, repeat=f"VIGIL_TEST_SEED={seed}"):
                issuer = Issuer()
                alone = self._run_alone(issuer, seed)
                beside = self._run_beside(issuer, seed)
                # Enough of it worked that there was something to see.
                self.assertGreater(sum("code" not in answer for _, _, answer in alone[0]), 20)
                for step, (one, other) in enumerate(zip(alone[0], beside[0])):
                    self.assertEqual(one, other, f"step {step}")
                self.assertEqual(alone[1], beside[1])

    def _run_alone(self, issuer, seed):
        with Gateway({**ENV, **issuer.env}) as gateway:
            north = Site(gateway, NORTH, tokens(issuer, NORTH))
            self.addCleanup(north.close)
            for call in plan(seed, STEPS, NORTH, SOUTH):
                north.step(call, [])
            north.drain_watch("zz-last")
            return north.transcript, north.events()

    def _run_beside(self, issuer, seed):
        order = random.Random(f"{seed} order")
        with Gateway({**ENV, **issuer.env}) as gateway:
            north = Site(gateway, NORTH, tokens(issuer, NORTH))
            south = Site(gateway, SOUTH, tokens(issuer, SOUTH))
            both = Client(gateway.grpc, issuer.controller(NORTH, SOUTH, sub="both"))
            for close in (north.close, south.close, both.close):
                self.addCleanup(close)
            everything = both.watch().until_snapshot()
            southern = iter(plan(seed, 2 * STEPS, SOUTH, NORTH))
            self._mark(south)
            for call in plan(seed, STEPS, NORTH, SOUTH):
                for _ in range(order.randrange(3)):
                    south.step(next(southern), north.peers)
                north.step(call, south.peers)
                self._lists_agree(both, north, south)
            self._events_agree(everything, north, south)
            self._no_trace(north, [SOUTH, "south-only", *south.peers])
            self._no_trace(south, [NORTH, *north.peers])
            return north.transcript, north.events()

    def _mark(self, south):
        """A name that nobody in the north says."""
        south.clients["desk"].call("Publish", participant="south-only", feed="south-only",
                                   sdp_offer=offers.PUBLISH)

    def _lists_agree(self, both, north, south):
        """Each site's own list is what the holder of both sees of it, and that is all there is."""
        feeds, people = listed(both)
        for site in (north, south):
            own_feeds, own_people = listed(site.clients["desk"])
            self.assertEqual(own_feeds, [f for f in feeds if f.site == site.site])
            self.assertEqual(own_people, [p for p in people if p.site == site.site])

    def _events_agree(self, everything, north, south):
        north.drain_watch("zz-last")
        south.drain_watch("zz-last")
        last = {north.peers[-1], south.peers[-1]}
        everything.until("the last events", lambda all_: last <= {
            m.event.peer_opened.peer.peer for m in all_ if m.HasField("event")})
        for site in (north, south):
            self.assertEqual(watched(site.watch.messages, site.site),
                             watched(everything.messages, site.site))
            self.assertEqual(len(site.watch.events),
                             len(watched(site.watch.messages, site.site)))
            # Sequences count this watch's own events, so they have no gaps.
            self.assertEqual([m.sequence for m in site.watch.messages if m.HasField("event")],
                             list(range(1, len(site.watch.events) + 1)))
        self.assertEqual(len(everything.events),
                         len(north.watch.events) + len(south.watch.events))

    def _no_trace(self, site, needles):
        """What was not said by the site itself is nowhere in what it was told."""
        for needle in needles:
            for request, answer in site.seen:
                if needle.encode() not in request:
                    self.assertNotIn(needle.encode(), answer)
            for message in site.watch.messages:
                self.assertNotIn(needle.encode(), message.SerializeToString())


class TwoSites(unittest.TestCase):
    """What random calls would meet too rarely."""

    def setUp(self):
        self.issuer = Issuer()
        self.gateway = Gateway({**self.issuer.env, "VIGIL_LIMITS_CALLS_PER_SECOND": "1",
                                "VIGIL_LIMITS_CALLS_AT_ONCE": "40",
                                "VIGIL_LIMITS_STREAMS_PER_CALLER": "3"})
        self.addCleanup(self.gateway.stop)

    def client(self, token):
        client = Client(self.gateway.grpc, token)
        self.addCleanup(client.close)
        return client

    def desks(self):
        """Controllers of both sites, of the same name."""
        return (self.client(self.issuer.controller(NORTH)),
                self.client(self.issuer.controller(SOUTH)))

    def refused(self, client, name, **fields):
        with self.assertRaises(Refused) as caught:
            client.call(name, **fields)
        return caught.exception

    def publish(self, client, participant, feed, **fields):
        return client.call("Publish", participant=participant, feed=feed,
                           sdp_offer=offers.PUBLISH, **fields)

    def test_a_feed_of_another_site_is_assigned_by_who_holds_both_and_hidden_from_others(self):
        north, south = self.desks()
        both = self.client(self.issuer.controller(NORTH, SOUTH, sub="both"))
        self.publish(south, "room-7", "patient")
        peer = north.call("Subscribe", participant="dr-1", sdp_offer=offers.PLAY).peer
        watches = [c.watch().until_snapshot() for c in (north, south, both)]
        both.call("AssignSlot", peer=peer, slot=1, feed="south/room-7/patient")
        told = [w.until_event("the assignment", lambda e: e.HasField("slot_assigned")).event
                for w in (watches[0], watches[2])]
        self.assertEqual([e.slot_assigned.slot.feed for e in told], ["-", "south/room-7/patient"])
        person, = north.call("ListParticipants").participants
        self.assertEqual([s.feed for s in person.peers[0].slots], ["", "-"])
        stats, = north.call("GetStats").peers
        self.assertEqual([s.slot.feed for s in stats.outbound], ["", "-"])
        snapshot = north.watch().until_snapshot().messages[0].snapshot
        self.assertEqual([s.feed for s in snapshot.participants[0].peers[0].slots], ["", "-"])
        # The south learns nothing of who receives its feed: neither a count nor an event.
        self.assertEqual([f.slots for f in south.call("ListFeeds").feeds], [0])
        self.assertEqual([f.slots for f in both.call("ListFeeds", site=SOUTH).feeds], [1])
        self.publish(south, "room-8", "patient")
        watches[1].until_event("the next event", lambda e: e.HasField("feed_published"))
        self.assertFalse([e for e in watches[1].events if e.HasField("slot_assigned")])

    def test_a_request_id_is_of_one_site(self):
        north, south = self.desks()
        repeated = request_id()
        one = self.publish(north, "room-1", "patient", request_id=repeated)
        other = self.publish(south, "room-1", "patient", request_id=repeated)
        self.assertNotEqual(one.peer, other.peer)
        self.assertEqual(self.publish(north, "room-1", "patient", request_id=repeated), one)
        self.publish(self.desks()[1], "room-2", "patient", request_id=request_id())
        self.assertEqual(len(north.call("ListFeeds").feeds), 1)
        self.assertEqual(len(south.call("ListFeeds").feeds), 2)

    def test_too_many_calls_of_one_site_are_not_those_of_another(self):
        north, south = self.desks()
        while True:
            try:
                north.call("ListFeeds")
            except Refused as error:
                self.assertEqual(error.reason, "RATE_LIMITED")
                break
        south.call("ListFeeds")

    def test_too_many_streams_of_one_site_are_not_those_of_another(self):
        north, south = self.desks()
        for _ in range(3):
            north.watch().until_snapshot()
        self.assertEqual(north.watch().until_end().reason, "QUOTA_EXCEEDED")
        south.watch().until_snapshot()

    def test_a_resume_token_of_another_site_is_as_one_of_another_run(self):
        north, south = self.desks()
        self.publish(south, "room-1", "patient")
        foreign = south.watch().until_snapshot().messages[-1].resume_token
        with Gateway(self.issuer.env) as before, Client(
                before.grpc, self.issuer.controller(NORTH)) as client:
            old = client.watch().until_snapshot().messages[-1].resume_token
        errors = [north.watch(resume_token=token).until_end() for token in (foreign, old)]
        self.assertEqual(errors[0].code, grpc.StatusCode.OUT_OF_RANGE)
        self.assertEqual(errors[0].reason, "RESUME_EXPIRED")
        self.assertEqual(str(errors[0]), str(errors[1]))

    def test_a_watch_of_every_site_goes_on_with_sites_that_came_since(self):
        operator = self.client(self.issuer.operator())
        north, south = self.desks()
        self.publish(north, "room-1", "patient")
        watch = operator.watch().until_snapshot()
        token = watch.messages[-1].resume_token
        watch.cancel()
        self.publish(south, "room-1", "patient")
        resumed = operator.watch(resume_token=token)
        told = resumed.until_event("the new site", lambda e: e.HasField("feed_published"))
        self.assertEqual((told.event.site, told.sequence), (SOUTH, 2))

    def test_a_peer_of_another_site_is_as_none(self):
        north, south = self.desks()
        there = self.publish(south, "room-1", "patient")
        for method, fields in (("ClosePeer", {}), ("AssignSlot", {"slot": 99}),
                               ("SelectLayer", {"layer": 99}),
                               ("RestartIce", {"etag": there.etag})):
            told = []
            for peer in (there.peer, "f" * 32):
                error = self.refused(north, method, peer=peer, **fields)
                told.append(str(error).replace(peer, "PEER"))
            self.assertIn("PEER_NOT_FOUND", told[0])
            self.assertEqual(told[0], told[1], method)
        self.assertEqual(len(south.call("ListFeeds").feeds), 1)

    def test_a_site_that_exists_is_as_one_that_does_not(self):
        north, south = self.desks()
        self.publish(south, "room-1", "patient")
        for method, fields in (
                ("ListFeeds", {}), ("ListParticipants", {}), ("GetStats", {}),
                ("RequestKeyframe", {"feed": "room-1/patient"}),
                ("Publish", {"participant": "room-1", "feed": "patient", "sdp_offer": "v=0"}),
                ("Subscribe", {"participant": "room-1", "sdp_offer": "v=0"})):
            told = [str(self.refused(north, method, site=site, **fields)).replace(site, "SITE")
                    for site in (SOUTH, "nowhere")]
            self.assertIn("NOT_GRANTED", told[0])
            self.assertEqual(told[0], told[1], method)
        told = [str(self.refused(north, "ListFeeds", page_token=page_token(f"f {site} a/b")))
                for site in (SOUTH, "nowhere")]
        self.assertIn("PAGE_TOKEN_INVALID", told[0])
        self.assertEqual(told[0], told[1])

    def test_a_viewer_of_one_site_cannot_look_at_the_node(self):
        for token in (self.issuer.controller(NORTH), self.issuer.viewer(NORTH)):
            for method in ("GetNode", "Drain", "Undrain"):
                self.assertEqual(self.refused(self.client(token), method).reason, "NOT_GRANTED")
        until("the node still serves", self.gateway.ready)


if __name__ == "__main__":
    unittest.main()
