#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets to corpus/<target>/.

    make_seeds.py            writes every seed
    make_seeds.py --check    fails if a committed seed differs from what would be written

One function per corpus, listed in CORPORA, returns {file name: bytes}. Inputs that a fuzzer found
lie beside the seeds under other names (found_*) and are never touched.
"""

import pathlib
import struct
import sys

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def rtp_packet(payload=b"\xaa\xbb", block=None, profile=0xBEDE, first=0x80, csrcs=b"", marker=0):
    """An RTP packet; `block` is the content of its extension block, padded to 32 bits here."""
    header = struct.pack(
        "!BBHII", first | (0x10 if block is not None else 0), marker | 96, 1000, 90000, 0x01020304
    )
    packet = header + csrcs
    if block is not None:
        block += bytes(-len(block) % 4)
        packet += struct.pack("!HH", profile, len(block) // 4) + block
    return packet + payload


def one_byte(*elements):
    return b"".join(bytes([id << 4 | len(value) - 1]) + value for id, value in elements)


def two_byte(*elements):
    return b"".join(bytes([id, len(value)]) + value for id, value in elements)


# In the order of ExtensionType: mid, rid, repaired rid, abs-send-time, transport sequence, audio
# level, playout delay, abs-capture-time, orientation, dependency descriptor.
EXTENSION_VALUES = [
    b"0",
    b"hi",
    b"lo",
    b"\x12\x34\x56",
    b"\x00\x2a",
    b"\xff",
    b"\x00\x00\x0a",
    struct.pack("!Qq", 0xE8000000_80000000, -(1 << 30)),
    b"\x01",
    b"\xc0\x00\x01\x80\x02",
]


def rtp():
    """Ten extension ids, a buffer size, a datagram (rtp_fuzz.cc)."""
    ids = bytes(range(1, 11))
    high_ids = bytes(range(20, 30))
    buffer_size = struct.pack("!H", 100)
    head = ids + buffer_size
    every = list(enumerate(EXTENSION_VALUES, start=1))
    every_high = list(enumerate(EXTENSION_VALUES, start=20))
    large = two_byte((1, b"0"), (10, bytes(range(200))))
    return {
        "plain": head + rtp_packet(),
        "marker_no_payload": head + rtp_packet(payload=b"", marker=0x80),
        "csrcs": head + rtp_packet(first=0x82, csrcs=bytes(8)),
        "padding": head + rtp_packet(first=0xA0, payload=b"\x01\x00\x00\x03"),
        "padding_only": head + rtp_packet(first=0xA0, payload=b"\x00\x02"),
        "one_byte_all": head + rtp_packet(block=one_byte(*every)),
        "one_byte_id_15": head + rtp_packet(block=one_byte((1, b"0")) + b"\xf0\x00"),
        "one_byte_id_0_with_length": head + rtp_packet(block=b"\x03" + one_byte((1, b"0"))),
        "one_byte_padding": head + rtp_packet(block=b"\x00\x00" + one_byte(every[4])),
        "capture_time_short": head + rtp_packet(block=one_byte((8, bytes(8)))),
        "two_byte_all": high_ids + buffer_size
        + rtp_packet(block=two_byte(*every_high), profile=0x1000),
        "two_byte_large": head + rtp_packet(block=large, profile=0x100F),
        "two_byte_empty": head + rtp_packet(block=two_byte((1, b""), every[4]), profile=0x1000),
        "unknown_profile": head + rtp_packet(block=b"\x01\x02\x03\x04", profile=0x1234),
        "mixed_ids_force_two_byte": bytes([1, 2, 3, 4, 99]) + bytes(range(6, 11)) + buffer_size
        + rtp_packet(block=two_byte((1, b"0"), (99, b"\x00\x01")), profile=0x1000),
    }


OPUS, VP8, VP9, AV1, H264 = range(5)


def payload():
    """Codec, counters, dependency descriptor, payload (payload_fuzz.cc)."""

    def case(codec, data, descriptor=b""):
        counters = struct.pack("!HBB", 0x1234, 7, 5)
        return bytes([codec]) + counters + bytes([len(descriptor)]) + descriptor + data

    key_descriptor = b"\x80\x00\x01\x80\x01\x1e"
    sps_pps = b"\x78\x00\x04\x67\x42\xe0\x1f\x00\x02\x68\xce"
    return {
        "opus": case(OPUS, b"\x78\x01\x02"),
        "vp8_key": case(VP8, b"\x10\x50\x01\x00\x9d\x01\x2a"),
        "vp8_id_7_bits": case(VP8, b"\x90\x80\x11\x00\x00"),
        "vp8_all_fields": case(VP8, b"\xb0\xf0\x81\x02\x03\x45\x01\x00"),
        "vp9_key": case(VP9, b"\x8c\x05\x82\x49"),
        "vp9_layers": case(VP9, b"\xac\x81\x02\x40\x09\x86\x00"),
        "vp9_flexible": case(VP9, b"\xfc\x05\x42\x03\x05\x06\x86"),
        "vp9_structure": case(
            VP9, b"\x8a\x05\x38\x01\x40\x00\xb4\x02\x80\x01\x68\x02\x04\x01\x4c\x01\x02\x03\x82"
        ),
        "av1_new_sequence": case(AV1, b"\x18\x0a\x0b\x00", key_descriptor),
        "av1_continued": case(AV1, b"\xd0\x01\x02", b"\x00\x00\x02"),
        "av1_three_elements": case(AV1, b"\x30\x01\xaa\x82\x00\x01\x02\x03"),
        "av1_uncounted": case(AV1, b"\x00\x01\xaa\x02\x01\x02"),
        "h264_idr": case(H264, b"\x65\x88\x84"),
        "h264_stap_a": case(H264, sps_pps),
        "h264_fu_a_start": case(H264, b"\x7c\x85\x88\x84"),
        "h264_fu_a_end": case(H264, b"\x7c\x45\x01"),
        "h264_slice": case(H264, b"\x41\x9a\x00"),
    }


DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 3, 4, 5
PING, GOAWAY, CONTINUATION = 6, 7, 9
END_STREAM, END_HEADERS = 1, 4


def http2_frames():
    """Length of the pieces less one, length of the client's bytes, those, the server's
    (http2_frames_fuzz.cc)."""
    def frame(kind, flags, stream, body=b"", length=None):
        length = len(body) if length is None else length
        return struct.pack("!I", length)[1:] + struct.pack("!BBI", kind, flags, stream) + body

    def case(piece, client, server=b""):
        return bytes([piece - 1]) + struct.pack("!H", len(client)) + client + server

    settings = frame(SETTINGS, 0, 0)
    head = frame(HEADERS, END_HEADERS, 1, bytes(30))
    call = head + frame(DATA, END_STREAM, 1, bytes(5))
    answer = (
        frame(HEADERS, END_HEADERS, 1, bytes(9))
        + frame(DATA, 0, 1, bytes(7))
        + frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes(3))
    )
    reopened = b"".join(
        frame(HEADERS, END_STREAM | END_HEADERS, id, b"x") + frame(RST_STREAM, 0, id, bytes(4))
        for id in range(1, 21, 2)
    )
    split = frame(HEADERS, END_STREAM, 1, b"ab") + frame(CONTINUATION, END_HEADERS, 1, b"cd")
    trailers = head + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"t")
    return {
        "call": case(256, settings + call, settings + answer),
        "call_byte_by_byte": case(1, settings + call, settings + answer),
        "call_in_headers_of_frames": case(9, settings + call, settings + answer),
        "resets_at_once": case(7, reopened),
        "reset_by_server": case(64, head, frame(RST_STREAM, 0, 1, bytes(4))),
        "reset_of_none": case(64, frame(RST_STREAM, 0, 9, bytes(4))),
        "continuation": case(3, split),
        "trailers": case(64, trailers, answer),
        "id_falls": case(64, frame(HEADERS, 5, 9) + frame(HEADERS, 5, 3)),
        "id_with_reserved_bit": case(64, frame(HEADERS, 5, 0x80000001), frame(DATA, 1, 1)),
        "data_of_the_longest": case(255, frame(DATA, 0, 1, bytes(20), length=0xFFFFFF) + head),
        "goaway_and_ping": case(5, frame(PING, 0, 0, bytes(8)) + frame(GOAWAY, 0, 0, bytes(8))),
        "continuation_of_another": case(20, frame(HEADERS, 0, 1) + frame(CONTINUATION, 4, 3)),
        "continuation_without_end": case(99, frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 4),
        "continuation_of_nothing": case(20, frame(CONTINUATION, END_HEADERS, 1)),
        "block_interrupted": case(20, frame(HEADERS, 0, 1) + frame(PING, 0, 0, bytes(8))),
        "block_too_large": case(64, frame(HEADERS, END_HEADERS, 1, bytes(9), length=32_769)),
        "even_id": case(64, frame(HEADERS, 5, 0x7FFFFFFE) + head),
        "no_id": case(64, frame(HEADERS, 5, 0)),
        "data_before_headers": case(64, frame(DATA, 1, 1, b"x")),
        "push_promise": case(64, frame(PUSH_PROMISE, 4, 1, bytes(8))),
        "header_cut": case(2, call[:-1], answer[:-4]),
        "http1": case(50, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 \r\n"),
        "tls": case(50, bytes.fromhex("160301007c010000780303") + bytes(60)),
    }


CORPORA = {
    "http2_frames": http2_frames,
    "payload": payload,
    "rtp": rtp,
}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for target, seeds in CORPORA.items():
        directory = CORPUS / target
        for name, data in seeds().items():
            file = directory / name
            if not check:
                directory.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            elif not file.is_file() or file.read_bytes() != data:
                stale.append(f"{target}/{name}")
    if stale:
        sys.exit("not as make_seeds.py writes it: " + ", ".join(stale))


if __name__ == "__main__":
    main()
