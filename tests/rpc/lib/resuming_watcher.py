"""A client that watches and writes down what it has handled, to be killed at any time.

  resuming_watcher.py TARGET FILE

Each line of FILE is one handled message: its token, and its event in hexadecimal ("-" for a
snapshot). It goes on behind the last whole line, as a service does after a crash. The token comes
from VIGIL_TOKEN.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.api import Client, media_pb2  # noqa: E402


def handled(file):
    """The whole lines of the file; what was cut short was not handled."""
    text = file.read_text() if file.exists() else ""
    return [line.split(" ") for line in text.split("\n")[:-1]]


def main():
    target, file = sys.argv[1], Path(sys.argv[2])
    lines = handled(file)
    # At once: written anew, it would be empty for a moment, and somebody reads it meanwhile.
    if file.exists():
        os.truncate(file, sum(len(" ".join(line)) + 1 for line in lines))
    token = lines[-1][0] if lines else ""
    client = Client(target, os.environ.get("VIGIL_TOKEN", ""))
    call = client.method("WatchMedia")(media_pb2.WatchMediaRequest(resume_token=token),
                                       metadata=client.metadata)
    with file.open("a") as out:
        for message in call:
            kind = message.WhichOneof("kind")
            event = message.event.SerializeToString(deterministic=True).hex()
            if kind in ("snapshot", "event"):
                out.write(f"{message.resume_token} {event or '-'}\n")
                out.flush()


if __name__ == "__main__":
    main()
