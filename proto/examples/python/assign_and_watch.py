#!/usr/bin/env python3
"""Lists who is there, puts a feed into a slot if asked to, and tells what happens from then on."""

import argparse
import sys
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from vigil.v1 import media_pb2, media_pb2_grpc

DEADLINE = 10  # Seconds for a call.


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT of gRPC")
    parser.add_argument("--token-file", help="a file with the token")
    parser.add_argument("--ca", help="PEM file of who signed the server's certificate; TLS")
    parser.add_argument("--assign", nargs=3, metavar=("PEER", "SLOT", "FEED"))
    parser.add_argument("--count", type=int, help="exit after so many events")
    return parser.parse_args()


def open_channel(args):
    # A connection that died without a word shows by pings that nobody answers.
    options = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 10_000)]
    if not args.ca:
        return grpc.insecure_channel(args.server, options)
    with open(args.ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(args.server, credentials, options)


def reason_of(error):
    """What programs decide by: google.rpc.ErrorInfo.reason. Empty where there is none."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info.reason
    return ""


class Client:
    def __init__(self, channel, token):
        self.stub = media_pb2_grpc.MediaServiceStub(channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else None

    def pages(self, method, request):
        """Every answer of a list, page by page."""
        while True:
            answer = method(request, timeout=DEADLINE, metadata=self.metadata)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def show(self):
        for page in self.pages(self.stub.ListParticipants, media_pb2.ListParticipantsRequest()):
            for participant in page.participants:
                for peer in participant.peers:
                    print(f"participant {participant.site}/{participant.participant} "
                          f"peer {peer.peer}")
        for page in self.pages(self.stub.ListFeeds, media_pb2.ListFeedsRequest()):
            for feed in page.feeds:
                print(f"feed {feed.site}/{feed.feed} slots {feed.slots}")

    def assign(self, peer, slot, feed):
        # One id for one intention: whoever repeats the call after a failure keeps it.
        request = media_pb2.AssignSlotRequest(request_id=str(uuid.uuid4()), peer=peer,
                                              slot=int(slot), feed=feed)
        self.stub.AssignSlot(request, timeout=DEADLINE, metadata=self.metadata)

    def watch(self, resume_token=""):
        # Whoever was connected before waits for the node to come back.
        return self.stub.WatchMedia(media_pb2.WatchMediaRequest(resume_token=resume_token),
                                    metadata=self.metadata, wait_for_ready=bool(resume_token))


def text_of(event):
    """One line about an event; kinds that this program does not know are named, no more."""
    kind = event.WhichOneof("kind")
    if kind is None:
        return "something new"
    what = getattr(event, kind)
    if kind.startswith("slot_"):
        return f"{kind} {what.participant} slot {what.slot.index}: {what.slot.feed or 'nothing'}"
    if kind == "feed_published":
        return f"{kind} {what.feed.feed}"
    return f"{kind} {getattr(what, 'feed', '') or what.participant}"


def follow(client, call, count):
    """Prints the events of a watch, and goes on behind the last one when the connection breaks."""
    token, seen = "", 0
    while count is None or seen < count:
        try:
            for message in call:
                token = message.resume_token or token
                if message.WhichOneof("kind") == "event":
                    print(message.sequence, text_of(message.event), flush=True)
                    seen += 1
                if message.WhichOneof("kind") == "lagged":
                    token = ""  # Events are lost: the next snapshot is the truth.
                if count is not None and seen >= count:
                    break
            else:
                call = client.watch(token)
                continue
            call.cancel()
        except grpc.RpcError as error:
            if reason_of(error) == "RESUME_EXPIRED":
                token = ""
            elif error.code() != grpc.StatusCode.UNAVAILABLE or not token:
                raise
            call = client.watch(token)


def main():
    args = read_arguments()
    token = ""
    if args.token_file:
        with open(args.token_file, encoding="ascii") as file:
            token = file.read().strip()
    with open_channel(args) as channel:
        client = Client(channel, token)
        try:
            # The watch begins before the assignment, so that it tells of it.
            call = client.watch()
            next(call)
            client.show()
            if args.assign:
                client.assign(*args.assign)
            follow(client, call, args.count)
        except grpc.RpcError as error:
            print(f"{error.code().name} {reason_of(error)}: {error.details()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
