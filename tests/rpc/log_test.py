"""The log as a collector reads it: with log.format json every line is an object, and what is said
again and again is counted."""

import json
import unittest

from lib.api import Client, request_id
from lib.gateway import Gateway


def said_while_draining(log_format):
    """Drains three times in a row, and says what the log has of it."""
    with Gateway({"VIGIL_LOG_FORMAT": log_format}) as gateway, Client(gateway.grpc) as client:
        for method in ("Drain", "Drain", "Drain", "Undrain"):
            client.call(method, request_id=request_id())
    return [line for line in gateway.log.splitlines() if not line.startswith("ready ")]


class Log(unittest.TestCase):
    def test_every_line_is_an_object(self):
        lines = [json.loads(line) for line in said_while_draining("json")]
        for line in lines:
            self.assertLessEqual({"time", "level", "event"}, line.keys(), line)
        said = [(line["event"], line.get("times")) for line in lines]
        at = said.index(("draining", None))
        self.assertEqual(said[at + 1:at + 3], [("line repeated", "2"), ("serving again", None)])

    def test_a_repeated_line_is_counted(self):
        lines = said_while_draining("text")
        self.assertEqual(sum(line.endswith(" draining") for line in lines), 1, lines)
        self.assertEqual(sum(line.endswith(" line repeated times=2") for line in lines), 1, lines)


if __name__ == "__main__":
    unittest.main()
