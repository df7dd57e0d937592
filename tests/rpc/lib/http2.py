"""Bytes of HTTP/2 (RFC 9113), as a client sends them that plays by no rules."""

import socket
import struct

from .until import PATIENCE

DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_HEADERS, END_STREAM = 4, 1
CANCEL = 8
LIST_FEEDS = "/vigil.v1.MediaService/ListFeeds"
# A message of gRPC without content: not compressed, no bytes.
EMPTY = bytes(5)


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


def header_block(path):
    """That of a call (RFC 7541, 6.2.2: literals that are not indexed)."""
    block = b""
    for name, value in ((":method", "POST"), (":scheme", "http"), (":path", path),
                        (":authority", "localhost"), ("content-type", "application/grpc"),
                        ("te", "trailers")):
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


def calls(path, count, before=0, reset=False):
    """So many calls of a connection that has made `before`, each taken back at once if so asked."""
    block = header_block(path)
    return b"".join(
        frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, EMPTY)
        + (frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) if reset else b"")
        for stream in range(2 * before + 1, 2 * (before + count) + 1, 2))


def connect(address, greeting=True, half_a_call=False, source=""):
    host, _, port = address.rpartition(":")
    client = socket.create_connection((host, int(port)), PATIENCE, (source, 0))
    if greeting:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    if half_a_call:
        client.sendall(frame(HEADERS, END_HEADERS, 1, header_block(LIST_FEEDS)))
    return client


def connect_to_be_cut(address, **what):
    """The same, of one that may be ended before it has said all."""
    try:
        return connect(address, **what)
    except (BrokenPipeError, ConnectionResetError):
        return socket.socket()


def read_ends(client, count):
    """Reads until so many streams have ended."""
    with client.makefile("rb") as stream:
        while count > 0:
            header = stream.read(9)
            if len(header) < 9:
                raise EOFError(f"the connection ended with {count} streams open")
            stream.read(int.from_bytes(header[:3], "big"))
            if header[3] in (HEADERS, DATA) and header[4] & END_STREAM:
                count -= 1
