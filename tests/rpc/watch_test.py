"""Watches: what is told is what is there, nothing is missed or doubled over a client's death."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

import grpc
from lib.api import Client
from lib.gateway import Gateway, temporary_folder
from lib.resuming_watcher import handled
from lib.until import PATIENCE, until
from lib.watching import Picture, WatchTest

WATCHER = Path(__file__).resolve().parent / "lib" / "resuming_watcher.py"


class SnapshotsAndEvents(WatchTest):
    def test_a_snapshot_and_its_events_are_what_the_lists_say(self):
        early = self.client.watch().until_snapshot()
        self.a_busy_minute()
        middle = self.client.watch().until_snapshot()
        self.a_busy_minute()
        late = self.client.watch().until_snapshot()
        truth = Picture().listed(self.client)
        self.assertGreater(len(truth.peers), 3)
        for watch in (early, middle, late):
            last = self.subscribe(f"last-{id(watch)}")
            watch.until_event("the last", lambda e, last=last: e.peer_opened.peer.peer == last)
            picture = Picture()
            for message in watch.messages:
                picture.apply(message)
            self.client.call("ClosePeer", peer=last)
            gone = watch.until_event("its end", lambda e, last=last: e.peer_closed.peer == last)
            picture.apply(gone)
            self.assertEqual(picture, truth)

    def test_sequences_count_events_and_go_on_over_a_resumption(self):
        watch = self.client.watch().until_snapshot()
        self.assertEqual(watch.messages[0].sequence, 0)
        self.publish("room-1")
        second = watch.until_event("the feed", lambda e: e.HasField("feed_published"))
        self.assertEqual([m.sequence for m in watch.messages], [0, 1, 2])
        watch.cancel()
        self.publish("room-2")
        resumed = self.client.watch(resume_token=second.resume_token)
        resumed.until_event("the feed", lambda e: e.HasField("feed_published"))
        self.assertEqual([(m.sequence, m.WhichOneof("kind")) for m in resumed.messages],
                         [(3, "event"), (4, "event")])

    def test_every_token_is_a_place_to_go_on_from(self):
        watch = self.client.watch().until_snapshot()
        self.a_busy_minute()
        last = self.subscribe("zz-last")
        watch.until_event("the last", lambda e: e.peer_opened.peer.peer == last)
        whole = [m.event for m in watch.messages if m.HasField("event")]
        for n, message in enumerate(watch.messages):
            resumed = self.client.watch(resume_token=message.resume_token)
            if n < len(whole):
                resumed.until_event("the last", lambda e: e.peer_opened.peer.peer == last)
            self.assertEqual([m.event for m in resumed.messages], whole[n:])
            resumed.cancel()

    def test_a_large_snapshot_comes_in_parts(self):
        for n in range(120):
            self.publish(f"room-{n:03}")
        watch = self.client.watch().until_snapshot()
        parts = [m.snapshot for m in watch.messages]
        self.assertEqual([p.partial for p in parts], [True, False])
        # A part is no place to go on from.
        self.assertEqual([bool(m.resume_token) for m in watch.messages], [False, True])
        picture = Picture()
        for message in watch.messages:
            picture.apply(message)
        self.assertEqual(picture, Picture().listed(self.client))

    def test_a_heartbeat_comes_while_nothing_happens(self):
        watch = self.client.watch().until_snapshot()
        self.publish("room-1")
        beat = watch.until("a heartbeat", lambda all_: next(
            (m for m in all_ if m.HasField("heartbeat")), None))
        self.assertEqual(beat.sequence, 2)
        resumed = self.client.watch(resume_token=beat.resume_token)
        self.publish("room-2")
        resumed.until_event("the next", lambda e: e.HasField("feed_published"))
        self.assertEqual([m.sequence for m in resumed.messages], [3, 4])

    def test_what_is_no_token_is_refused(self):
        for token in ("!", "x", "abcd", "a" * 20_000):
            error = self.client.watch(resume_token=token).until_end()
            self.assertEqual(error.reason, "RESUME_EXPIRED", token)

    def test_a_token_of_an_earlier_run_has_expired(self):
        token = self.client.watch().until_snapshot().messages[-1].resume_token
        with Gateway() as next_run, Client(next_run.grpc) as client:
            error = client.watch(resume_token=token).until_end()
        self.assertEqual((error.code, error.reason),
                         (grpc.StatusCode.OUT_OF_RANGE, "RESUME_EXPIRED"))

    def test_a_token_that_is_too_old_has_expired(self):
        self.publish("room-1")
        peer = self.subscribe("dr-1")
        token = self.client.watch().until_snapshot().messages[-1].resume_token
        self.assign_back_and_forth(peer, 513)
        error = self.client.watch(resume_token=token).until_end()
        self.assertEqual((error.code, error.reason),
                         (grpc.StatusCode.OUT_OF_RANGE, "RESUME_EXPIRED"))
        self.client.watch().until_snapshot()


class DeadClients(WatchTest):
    KILLS = 4

    def start(self, file):
        child = subprocess.Popen([sys.executable, str(WATCHER), self.gateway.grpc, str(file)],
                                 env=os.environ, stdin=subprocess.DEVNULL)
        self.addCleanup(child.wait, PATIENCE)
        self.addCleanup(child.kill)
        return child

    def test_a_killed_client_goes_on_without_a_missed_or_doubled_event(self):
        file = temporary_folder() / "handled"
        reference = self.client.watch().until_snapshot()
        self.publish("room-1")
        doctor = self.subscribe("dr-1")
        child = self.start(file)
        until("the first snapshot", lambda: handled(file))
        for kill in range(self.KILLS):
            before = len(handled(file))
            # Killed in the middle of changes, which go on while it is dead and when it is back.
            self.assign_back_and_forth(doctor, 10)
            until("some are handled", lambda n=before: len(handled(file)) > n)
            child.kill()
            child.wait(PATIENCE)
            self.assign_back_and_forth(doctor, 10)
            child = self.start(file)
            self.subscribe(f"dr-{10 + kill}")
        last = self.subscribe("zz-last")
        whole = reference.until_event("the last", lambda e: e.peer_opened.peer.peer == last)
        last_line = whole.event.SerializeToString(deterministic=True).hex()
        until("the last is handled", lambda: handled(file)[-1][1] == last_line)
        lines = [event for _, event in handled(file)]
        self.assertEqual(lines[0], "-")
        self.assertEqual(lines.count("-"), 1, "it had to start anew")
        events = [e.SerializeToString(deterministic=True).hex() for e in reference.events]
        # The client came when three events had been; each from then on came once.
        self.assertEqual(lines[1:], events[-(len(lines) - 1):])
        self.assertGreaterEqual(len(lines) - 1, self.KILLS * 40)


if __name__ == "__main__":
    unittest.main()
