#!/usr/bin/env python3
"""Writes the seed corpora of the STUN, demux, TCP framing and DTLS fuzz targets.

The seeds are the vectors of RFC 5769, messages built here, and the recorded ClientHello in
tests/fixtures/dtls. Run it again after changing it; its output is committed.
"""

import hashlib
import hmac
import pathlib
import struct
import zlib

FUZZ = pathlib.Path(__file__).resolve().parent
FIXTURES = FUZZ.parent / "fixtures" / "dtls"
PASSWORD = b"a password of the gateway"
COOKIE = bytes.fromhex("2112a442")

RFC5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf")
RFC5769_RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96")
RFC5769_RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf1"
    "1784c97c8292c275bfe3ed4180280004c8fb0b4c")


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(kind, attributes, seal=True):
    body = b"".join(attributes)
    transaction = bytes(range(7, 19))

    def header(extra):
        return struct.pack("!HH", kind, len(body) + extra) + COOKIE + transaction

    if seal:
        mac = hmac.new(PASSWORD, header(24) + body, hashlib.sha1).digest()
        body += attribute(0x0008, mac)
        crc = zlib.crc32(header(8) + body) ^ 0x5354554E
        body += attribute(0x8028, struct.pack("!I", crc))
    return header(0) + body


USERNAME = attribute(0x0006, b"abcd:efgh")
CONTROLLING = attribute(0x802A, bytes(range(1, 9)))
CONTROLLED = attribute(0x8029, bytes(range(1, 9)))
PRIORITY = attribute(0x0024, bytes.fromhex("6e0001ff"))
USE_CANDIDATE = attribute(0x0025, b"")


def stun_seeds():
    checks = {
        "check": [USERNAME, CONTROLLING, PRIORITY],
        "nomination": [USERNAME, attribute(0xC057, bytes(4)), CONTROLLING, USE_CANDIDATE, PRIORITY],
        "role-conflict": [USERNAME, CONTROLLED, PRIORITY],
        "unknown-attribute": [USERNAME, attribute(0x7777, b"abc"), PRIORITY],
        "no-username": [PRIORITY],
    }
    for name, attributes in checks.items():
        yield name, b"\0" + message(0x0001, attributes)
        yield name + "-sealed", b"\1" + message(0x0001, attributes, seal=False)
    yield "indication", b"\0" + message(0x0011, [])
    yield "allocate", b"\1" + message(0x0003, [USERNAME], seal=False)
    yield "short-integrity", b"\0" + message(0x0001, [USERNAME, attribute(0x0008, b"")], seal=False)
    yield "rfc5769-request", b"\0" + RFC5769_REQUEST
    yield "rfc5769-response-v4", b"\0" + RFC5769_RESPONSE_V4
    yield "rfc5769-response-v6", b"\0" + RFC5769_RESPONSE_V6


def record(kind, epoch, sequence, body):
    return struct.pack("!BHHHIH", kind, 0xFEFD, epoch, 0, sequence, len(body)) + body


def handshake(kind, sequence, body, offset=0, total=None):
    total = len(body) if total is None else total
    def u24(n):
        return struct.pack("!I", n)[1:]
    return bytes([kind]) + u24(total) + struct.pack("!H", sequence) + u24(offset) + u24(
        len(body)) + body


def dtls_datagrams():
    yield "alert", record(21, 0, 0, b"\2\50")
    yield "encrypted-alert", record(21, 1, 1, bytes(26))
    yield "encrypted-finished", record(22, 1, 0, bytes(48))
    yield "change-cipher-spec", record(20, 0, 3, b"\1")
    yield "bad-hello", record(22, 0, 0, handshake(1, 0, bytes(60)))
    yield "hello-piece", record(22, 0, 0, handshake(1, 0, b"\xfe\xfd", 0, 400))
    yield "client-flight", (record(22, 0, 1, handshake(11, 1, bytes(3))) +
                            record(22, 0, 2, handshake(16, 2, bytes(33))) +
                            record(22, 0, 3, handshake(15, 3, bytes(74))) +
                            record(20, 0, 4, b"\1") + record(22, 1, 0, bytes(40)))
    for path in sorted(FIXTURES.glob("*.bin")):
        yield path.stem, path.read_bytes()


def rtp_datagrams():
    header = struct.pack("!BBHII", 0x90, 96, 1000, 90000, 0xCAFEBABE)
    extension = bytes.fromhex("bede0001") + bytes.fromhex("10aabbcc")
    yield "rtp", struct.pack("!BBHII", 0x80, 111, 7, 960, 1) + bytes(60)
    yield "rtp-extension", header + extension + bytes(80)
    yield "rtp-long-extension", header + bytes.fromhex("bedeffff") + bytes(80)
    yield "rtp-csrcs", struct.pack("!BBHII", 0x8F, 96, 1, 2, 3) + bytes(90)
    yield "srtcp", (struct.pack("!BBHI", 0x81, 201, 7, 1) + bytes(24 + 16) +
                    bytes.fromhex("80000001"))
    yield "srtcp-plain", struct.pack("!BBHI", 0x80, 201, 1, 1) + bytes(16) + bytes(4)
    yield "srtcp-short", struct.pack("!BBHI", 0x80, 201, 1, 1) + bytes(6)


def demux_seeds():
    yield "empty", b""
    yield "channel", bytes.fromhex("40000004deadbeef")
    yield "stun", message(0x0001, [USERNAME, PRIORITY])
    yield from dtls_datagrams()
    yield from rtp_datagrams()


def frame(body):
    return struct.pack("!H", len(body)) + body


def tcp_framing_seeds():
    check = message(0x0001, [USERNAME, PRIORITY])
    yield "frames", bytes([3]) + frame(check) + frame(b"") + frame(bytes(40)) + frame(b"x")
    yield "byte-by-byte", bytes([0]) + frame(b"abc") * 4
    yield "longest", bytes([254]) + frame(bytes(1500)) + frame(b"end")
    yield "oversized", bytes([9]) + frame(b"abc") + frame(bytes(1501))
    yield "http", bytes([99]) + b"GET / HTTP/1.1\r\n\r\n"
    yield "cut", bytes([1]) + frame(b"abcdef")[:-2]


def forged(datagram):
    return b"\0" + struct.pack("!H", len(datagram)) + datagram


def dtls_seeds():
    full = b"\4\10\4\4\4\4\10"
    every = [bytes_ for _, bytes_ in dtls_datagrams()]
    yield "handshake", full
    yield "handshake-and-close", full + b"\12\4\4"
    yield "loss-and-timers", b"\6\7\4\11\11\10\6\4\11\7\4\4\4\4\10"
    yield "forged-before", b"".join(map(forged, every)) + full
    yield "forged-between", b"\4" + b"".join(map(forged, every)) + b"\10\4\4\4\10"
    yield "forged-after", full + b"".join(map(forged, every))
    hellos = [bytes_ for name, bytes_ in dtls_datagrams() if "chromium" in name]
    yield "chromium", b"".join(map(forged, hellos)) + b"\10\11"
    yield "chromium-reversed", b"".join(map(forged, reversed(hellos))) + b"\10\11"


def main():
    corpora = {
        "stun": stun_seeds(),
        "demux": demux_seeds(),
        "tcp_framing": tcp_framing_seeds(),
        "dtls": dtls_seeds(),
    }
    for name, seeds in corpora.items():
        directory = FUZZ / "corpus" / name
        directory.mkdir(parents=True, exist_ok=True)
        for seed, content in seeds:
            (directory / seed).write_bytes(content)


if __name__ == "__main__":
    main()
