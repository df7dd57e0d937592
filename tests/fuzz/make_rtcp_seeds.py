#!/usr/bin/env python3
"""Writes the seeds of rtcp_fuzz: well-formed RTCP of every type that the gateway reads, and some
that is nearly so. Run it after adding a type; the files are committed."""

import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "corpus" / "rtcp"
SENDER = 0x11223344
MEDIA = 0xAABBCCDD


def packet(kind, count, body, padding=0):
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    assert len(body) % 4 == 0, (kind, len(body))
    first = 0x80 | (0x20 if padding else 0) | count
    return struct.pack("!BBH", first, kind, len(body) // 4) + body


def u32(*values):
    return struct.pack("!%dI" % len(values), *values)


def block(lost):
    return u32(MEDIA, 0x40 << 24 | lost & 0xFFFFFF, 0x1FFFF, 200, 0x7E804000, 0x8000)


def transport_feedback(count, chunks, deltas, base=65530, reference=0x00009C, pad_bit=False):
    body = u32(SENDER, MEDIA) + struct.pack("!HH", base, count)
    body += struct.pack("!I", reference << 8 | 5)
    body += struct.pack("!%dH" % len(chunks), *chunks) + deltas
    missing = -len(body) % 4
    if pad_bit and missing:
        return packet(205, 15, body, missing)
    return packet(205, 15, body + bytes(missing))


def seeds():
    sr = packet(200, 1, u32(SENDER, 0x83AA7E80, 0x40000000, 123456, 100, 10000) + block(-2))
    rr = packet(201, 2, u32(SENDER) + block(7) + block(-0x800000))
    sdes = packet(202, 1, u32(SENDER) + b"\x01\x05abcde\x00")
    sdes_two = packet(
        202, 2, u32(SENDER) + b"\x01\x01a\x00" + u32(MEDIA) + b"\x07\x02bc" + bytes(4))
    bye = packet(203, 2, u32(SENDER, MEDIA) + b"\x03bye")
    nack = packet(205, 1, u32(SENDER, MEDIA, 0xFFFE8003, 0x000F0000))
    pli = packet(206, 1, u32(SENDER, MEDIA))
    fir = packet(206, 4, u32(SENDER, 0, MEDIA, 7 << 24, SENDER, 255 << 24))
    remb = packet(206, 15, u32(SENDER, 0) + b"REMB" + u32(0x010BD090, MEDIA))
    remb_most = packet(206, 15, u32(SENDER, 0) + b"REMB" + u32(0x00B7FFFF))
    remb_too_much = packet(206, 15, u32(SENDER, 0) + b"REMB" + u32(0x00FFFFFF))
    rrtr = packet(207, 0, u32(SENDER, 0x04000002, 0x83AA7E80, 0x40000000))
    xr = packet(207, 0, u32(SENDER, 0x06000001, 0, 0x63000000, 0x05000006,
                            MEDIA, 0x7E804000, 0x8000, SENDER, 0, 1,
                            0x04000002, 0x83AA7E80, 0x40000000))
    app = packet(204, 0, u32(SENDER) + b"name")
    run = transport_feedback(3, [0x2003], b"\xa0\x04\xff")
    one_bit = transport_feedback(13, [0xAAAA], b"\x00" + b"\x01" * 6)
    two_bit = transport_feedback(4, [0xD880], b"\x40\xff\xfc\x01\x90")
    return {
        "sr": sr,
        "rr": rr,
        "rr_padded": packet(201, 0, u32(SENDER), 4),
        "sdes": sdes,
        "sdes_two_chunks": sdes_two,
        "bye": bye,
        "nack": nack,
        "pli": pli,
        "fir": fir,
        "remb": remb,
        "remb_most": remb_most,
        "remb_too_much": remb_too_much,
        "xr_rrtr": rrtr,
        "xr_all": xr,
        "app": app,
        "compound_sender": sr + sdes + rrtr + remb,
        "compound_receiver": rr + sdes + xr + nack + pli + fir + bye,
        "twcc_run": run,
        "twcc_one_bit": one_bit,
        "twcc_two_bit": two_bit,
        "twcc_padded_twice": transport_feedback(3, [0x2003], b"\xa0\x04\xff", pad_bit=True) * 2,
        "twcc_mixed": transport_feedback(
            20 + 30 + 14 + 7, [0x2014, 0x001E, 0xAAAA, 0xD880],
            bytes(20) + bytes(7) + b"\x40\xff\xfc\x01\x90", reference=0xFFFFFF),
        "twcc_all_lost": transport_feedback(65535, [0x1FFF] * 8 + [0x0007], b""),
        "twcc_last_of_65535": transport_feedback(65535, [0x1FFF] * 8 + [0x0006, 0x2001], b"\x05"),
        "twcc_zero_runs": transport_feedback(2, [0, 0x6000, 0x5FFF], b"\x80\x00\x7f\xff"),
        "twcc_reserved": transport_feedback(2, [0xF400], b"\x00\x00"),
        "twcc_no_deltas": transport_feedback(65535, [0x3FFF] * 8 + [0x2007], b""),
        "length_too_long": b"\x80\xc9\xff\xff" + u32(SENDER),
        "truncated": sr[:-2],
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (OUT / name).write_bytes(data)


if __name__ == "__main__":
    main()
