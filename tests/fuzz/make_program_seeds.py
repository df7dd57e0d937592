#!/usr/bin/env python3
"""Writes the seed corpus of the program fuzz target: short lives of two workers.

Each operation is an actor, an operation and its arguments, as program_fuzz.cc reads them. Run it
again after changing it; its output is committed.
"""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus" / "program"
OPUS, H264, VP8 = 0, 1, 3  # Places in the target's table of payload types.


def blob(payload):
    payload += bytes(len(payload) % 2)
    return bytes([len(payload) // 2]) + payload


def wait(milliseconds):
    return bytes([0, 0]) + struct.pack("!H", milliseconds * 10)


def rtp(actor, payload_type, payload, flags=5, ssrc=0, step=1):
    units = struct.pack("!H", 3600) if flags & 1 else b""
    return bytes([actor, 1, flags, ssrc, step]) + units + bytes([payload_type]) + blob(payload)


def rtcp(actor, body, kind):
    return bytes([actor, 2]) + blob(body) + bytes([1, kind - 200])


def assign(actor, slot, feed):
    return bytes([actor, 7, 0, slot, feed - 10])


def select(actor, slot, layer):
    return bytes([actor, 7, 2, slot, layer])


def relay(actor, feed, origin, layers):
    return bytes([actor, 8, feed - 10, 0, origin, layers]) + bytes([actor, 8, feed - 10, 1])


def restore(fault):
    return bytes([0, 9, 1 if fault else 0]) + struct.pack("!H", 77)


def feedback(actor, slot, count, first):
    return (bytes([actor, 11, slot, count]) + struct.pack("!H", first) + b"\0" +
            struct.pack("!HH", 1, 9) + b"\0")


VP8_KEY = bytes.fromhex("90e08001010000") + bytes(40)
VP8_DELTA = bytes.fromhex("90e08002020001") + bytes(40)
H264_KEY = bytes.fromhex("180004674200000002680005") + bytes(0)
H264_SLICE = bytes.fromhex("6588") + bytes(40)

MEDIA = (assign(4, 1, 12) + b"".join(
    rtp(1, VP8, payload, flags=29) for payload in [VP8_KEY, VP8_DELTA, VP8_DELTA]) + wait(60))

SEEDS = {
    "empty": b"\0",
    "picture": MEDIA,
    "nack": MEDIA + feedback(4, 1, 30, 0) + wait(1100),
    "layers": MEDIA + select(4, 1, 0) + rtp(1, VP8, VP8_KEY, flags=13, ssrc=1) + select(4, 1, 255),
    "handed_over": MEDIA + restore(False) + rtp(1, VP8, VP8_DELTA, flags=29) + wait(2000),
    "after_a_fault": MEDIA + restore(True) + rtp(1, VP8, VP8_KEY, flags=29) + wait(500) +
    restore(True) + rtp(1, VP8, VP8_KEY, flags=29),
    "other_worker": relay(2, 11, 0, 1) + assign(2, 0, 11) + assign(2, 1, 11) +
    rtp(0, OPUS, b"\x78" * 40, ssrc=0) + rtp(0, H264, H264_KEY, ssrc=2) +
    rtp(0, H264, H264_SLICE, ssrc=2) + wait(300) + restore(False) +
    rtp(0, OPUS, b"\x78" * 40, ssrc=0),
    "gap": MEDIA + rtp(1, VP8, VP8_DELTA, flags=29, step=9) + wait(50) + wait(2000),
    "rtcp": rtcp(2, bytes(20), 205) + rtcp(3, bytes(8), 206) + rtcp(0, bytes(24), 200),
    "consent": wait(6500) * 3,
    "restart": bytes([2, 7, 4, 9]) + bytes([2, 3, 0]) + MEDIA,
}


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, seed in SEEDS.items():
        (CORPUS / name).write_bytes(seed)


if __name__ == "__main__":
    main()
