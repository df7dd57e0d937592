"""SDP offers, as captured of real clients. A feed is there as soon as its offer is answered."""

import re

from .gateway import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "sdp"


def _read(name):
    return (FOLDER / f"{name}.sdp").read_bytes().decode()


PUBLISH = _read("chromium-publish")  # Sound and picture.
PUBLISH_H264 = _read("chromium-publish-h264")
PLAY = _read("chromium-play")  # A sound slot, then a picture slot.
PLAY_TWO = _read("chromium-play-two-pictures")  # Sound, picture, picture.

# What is drawn at random for each answer.
_RANDOM = re.compile(r"^(o=|a=(ice-ufrag|ice-pwd|fingerprint|candidate|ssrc|msid)).*$",
                     re.MULTILINE)


def only_sound(offer):
    """The offer with its picture sections refused by the client: port 0 (RFC 3264, 5.1)."""
    head, *sections = re.split(r"(?m)^(?=m=)", offer)
    kept = [s for s in sections if s.startswith("m=audio")]
    mids = [re.search(r"^a=mid:(\S+)", s, re.MULTILINE).group(1) for s in kept]
    head = re.sub(r"^a=group:BUNDLE .*?(\r?)$", "a=group:BUNDLE " + " ".join(mids) + r"\1", head,
                  flags=re.MULTILINE)
    return "".join([head, *kept])


def only_codec(offer, name):
    """The offer with the picture's other codecs renamed to one that nobody has."""
    pattern = r"^(a=rtpmap:\d+ )(?!rtx|red|ulpfec|" + name + r")([A-Za-z0-9-]+)(/90000)"
    return re.sub(pattern, r"\1nobody\3", offer, flags=re.MULTILINE)


def without_random(answer):
    """What two answers to the same offer have in common."""
    return _RANDOM.sub(r"\1", answer)
