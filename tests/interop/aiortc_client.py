#!/usr/bin/python3
"""A WebRTC client of another make (Debian's aiortc) which publishes by WHIP or plays by WHEP.

  aiortc_client.py publish URL [--codec VP8|H264]
  aiortc_client.py play URL

Prints one JSON object a line: {"event": "connected"}, {"event": "received", ...}. Ends when its
standard input ends, or after --seconds.
"""

import argparse
import asyncio
import fractions
import json
import math
import sys
import urllib.parse
import urllib.request

import av
import numpy
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from aiortc.rtcrtpsender import RTCRtpSender

WIDTH, HEIGHT = 640, 360

# aiortc 1.4 gives one id to two extensions of bundled m-sections (audio level and abs-send-time),
# which RFC 8843, 9.1 forbids, and then fails to parse its own packets. Pictures go without.
HEADER_EXTENSIONS["video"] = [e for e in HEADER_EXTENSIONS["video"] if "abs-send" not in e.uri]


class Bars(VideoStreamTrack):
    """Blue, with a bright bar that wanders: 30 frames a second."""

    count = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        picture = numpy.zeros((HEIGHT, WIDTH, 3), dtype=numpy.uint8)
        picture[:, :, 2] = 220
        left = self.count * 8 % (WIDTH - 32)
        picture[: HEIGHT // 4, left : left + 32, :] = 255
        self.count += 1
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """440 Hz: the silence of the base class, paced by it, with a sine put in."""

    phase = 0

    async def recv(self):
        silence = await super().recv()
        count = silence.samples
        rate = silence.sample_rate
        angles = 2 * math.pi * 440 / rate * (numpy.arange(count) + self.phase)
        self.phase += count
        samples = (numpy.sin(angles) * 8000).astype(numpy.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.pts, frame.sample_rate = silence.pts, rate
        frame.time_base = fractions.Fraction(1, rate)
        return frame


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Received:
    """Counts what was decoded, and how loud and how bright it was."""

    def __init__(self):
        self.frames = {"video": 0, "audio": 0}
        self.size = None
        self.loudest = 0
        self.colour = None

    async def consume(self, track):
        try:
            while True:
                frame = await track.recv()
                self.frames[track.kind] += 1
                if track.kind == "video":
                    self._look(frame)
                else:
                    self.loudest = max(self.loudest, int(numpy.abs(frame.to_ndarray()).max()))
                if self.frames[track.kind] % 30 == 0:
                    tell("received", video=self.frames["video"], audio=self.frames["audio"],
                         size=self.size, loudest=self.loudest, colour=self.colour)
        except MediaStreamError:
            tell("ended", kind=track.kind)

    def _look(self, frame):
        self.size = [frame.width, frame.height]
        if self.frames["video"] % 30 == 29:
            picture = frame.to_ndarray(format="rgb24")
            middle = picture[frame.height // 2, frame.width // 2]
            self.colour = dict(zip(("red", "green", "blue"), map(int, middle)))


async def exchange(peer, url):
    """Offer out, answer in; returns the resource to delete."""

    def post():
        request = urllib.request.Request(
            url, data=peer.localDescription.sdp.encode(), method="POST",
            headers={"Content-Type": "application/sdp"})
        with urllib.request.urlopen(request, timeout=20) as response:
            location = urllib.parse.urljoin(url, response.headers["Location"])
            return location, response.status, response.read().decode()

    await peer.setLocalDescription(await peer.createOffer())
    location, status, answer = await asyncio.to_thread(post)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    tell("answered", status=status, id=location.rsplit("/", 1)[1])
    return location


def delete(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=20) as reply:
        return reply.status


def add_tracks(peer, arguments):
    if arguments.what == "play":
        peer.addTransceiver("video", direction="recvonly")
        peer.addTransceiver("audio", direction="recvonly")
        return
    picture = peer.addTransceiver(Bars(), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    wanted = (f"video/{arguments.codec}", "video/rtx")
    picture.setCodecPreferences([c for c in codecs if c.mimeType in wanted])
    peer.addTransceiver(Tone(), direction="sendonly")


async def standard_input_ends():
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def run(arguments):
    peer = RTCPeerConnection()
    received = Received()
    tasks = []

    @peer.on("track")
    def on_track(track):
        tasks.append(asyncio.ensure_future(received.consume(track)))

    @peer.on("connectionstatechange")
    def on_state():
        tell(peer.connectionState)

    add_tracks(peer, arguments)
    resource = await exchange(peer, arguments.url)
    try:
        await asyncio.wait_for(standard_input_ends(), arguments.seconds)
    except asyncio.TimeoutError:
        tell("timeout")
    tell("deleted", status=await asyncio.to_thread(delete, resource))
    await peer.close()
    for task in tasks:
        task.cancel()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("publish", "play"))
    parser.add_argument("url")
    parser.add_argument("--codec", default="VP8", choices=("VP8", "H264"))
    parser.add_argument("--seconds", type=float, default=120)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
