"""Bytes of HTTP/2 (RFC 9113), as a client sends them that plays by no rules."""

import socket
import struct

from .until import PATIENCE

HEADERS, DATA, RST_STREAM, SETTINGS = 1, 0, 3, 4
END_HEADERS, END_STREAM = 4, 1
CANCEL = 8
# A message of gRPC without content: not compressed, no bytes.
EMPTY = bytes(5)


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


def call(path):
    """The header block of a call (RFC 7541, 6.2.2: literals that are not indexed)."""
    block = b""
    for name, value in ((":method", "POST"), (":scheme", "http"), (":path", path),
                        (":authority", "localhost"), ("content-type", "application/grpc"),
                        ("te", "trailers")):
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


def connect(address, greeting=True):
    host, _, port = address.rpartition(":")
    client = socket.create_connection((host, int(port)), PATIENCE)
    if greeting:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    return client
