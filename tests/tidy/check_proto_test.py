#!/usr/bin/python3
"""Each rule of check_proto.py is shown to fail on what it forbids and to pass what it allows."""

import contextlib
import io
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import check_proto

HEAD = '// Things.\nsyntax = "proto3";\npackage vigil.v1;\n'
SERVICE = """\
// What can be done to things.
service ThingService {
  // Makes one.
  rpc MakeThing(MakeThingRequest) returns (MakeThingResponse);
  // All of them.
  rpc ListThings(ListThingsRequest) returns (ListThingsResponse);
  // Every change of them.
  rpc WatchThings(WatchThingsRequest) returns (stream WatchThingsResponse);
}
"""
MESSAGES = """\
message MakeThingRequest {
  // UUID of the attempt.
  string request_id = 1;
}
message MakeThingResponse {}
message ListThingsRequest {
  // At most so many.
  uint32 page_size = 1;
  // From the page before.
  string page_token = 2;
}
message ListThingsResponse {
  // By name.
  repeated Thing things = 1;
  // For the page after.
  string next_page_token = 2;
}
message WatchThingsRequest {
  // Where to go on.
  string resume_token = 1;
}
message WatchThingsResponse {
  // Counts the changes so far.
  uint64 sequence = 1;
  // Where to go on later.
  string resume_token = 2;
}
"""
THING = """\
// One of them.
message Thing {
  // What it is called.
  string name = 1;
  // Since when it is there.
  google.protobuf.Timestamp create_time = 2;
  // What it looks like.
  oneof look {
    // Round, with this diameter in pixels.
    double round = 3;
    // As described.
    string other = 4;
  }
  // How big it is.
  Size size = 5;
  // How often each colour was seen.
  map<string, uint64> colours = 6;
  // The most corners it may have; absent: any number.
  optional uint32 corners = 7;
}
// How big something is.
enum Size {
  // Not said.
  SIZE_UNSPECIFIED = 0;
  // Not small.
  SIZE_LARGE = 1;
}
"""
IMPORT = 'import "google/protobuf/timestamp.proto";\n'
CLEAN = HEAD + IMPORT + SERVICE + MESSAGES + THING
PATH = "vigil/v1/thing.proto"


def swap(old, new, text=CLEAN):
    assert old in text, old
    return {PATH: text.replace(old, new, 1)}


def field(text):
    """The clean file with one more field in Thing."""
    return swap("  // What it is called.\n", text + "\n  // What it is called.\n")


def rpc(text, messages=""):
    """The clean file with one more rpc."""
    return {PATH: CLEAN.replace("  // Makes one.\n", text + "\n  // Makes one.\n", 1) + messages}


GET = "  // One of them.\n  rpc GetThing(GetThingRequest) returns (GetThingResponse);"
PAIR = "message {0}Request {{{1}}}\nmessage {0}Response {{{2}}}\n"
REASONS = """\
// Why it failed.
enum ErrorReason {
  // Not said.
  ERROR_REASON_UNSPECIFIED = 0;
  // It went away.
  ERROR_REASON_GONE = 1;
  // It is odd.
  ERROR_REASON_ODD = 2;
}
"""
ID = "\n  // UUID of the attempt.\n  string request_id = 1;\n"

# rule -> cases, each a tree of protos that must be reported under that rule and no other.
BAD = {
    "syntax": [{PATH: '// Things.\nsyntax = "proto2";\npackage vigil.v1;\n'}],
    "package": [{PATH: HEAD.replace("vigil.v1", "vigil.v2")},
                {"vigil/thing.proto": HEAD}],
    "package-version": [{"vigil/thing.proto": HEAD.replace("vigil.v1", "vigil")}],
    "file-name": [{"vigil/v1/theThing.proto": HEAD}],
    "message-name": [{PATH: HEAD + "// A thing.\nmessage a_thing {}\n"}],
    "field-name": [field("  // What it weighs, as text.\n  string theWeight = 9;"),
                   swap("oneof look", "oneof theLook")],
    "json-name": [field('  // As text.\n  string the_weight = 9 [json_name = "w"];'),
                  field('  // What it weighs.\n  string weight_2 = 9 [json_name = "weight_2"];')],
    "enum-alias": [swap("  // Not small.\n", "  option allow_alias = true;\n"
                        "  // Not small either.\n  SIZE_BIG = 1;\n  // Not small.\n")],
    "enum-name": [{PATH: HEAD + "// Sizes.\nenum size {\n  // Not said.\n"
                                "  SIZE_UNSPECIFIED = 0;\n}\n"}],
    "enum-value": [swap("SIZE_LARGE", "LARGE"), swap("SIZE_LARGE", "SIZE_large")],
    "enum-zero": [swap("SIZE_UNSPECIFIED", "SIZE_NONE")],
    "service-name": [swap("ThingService", "Things"), swap("ThingService", "thing_Service")],
    "rpc-name": [rpc("  // One.\n  rpc make(makeRequest) returns (makeResponse);",
                     "message makeRequest {" + ID + "}\nmessage makeResponse {}\n")],
    "rpc-types": [rpc("  // One.\n  rpc DropThing(MakeThingRequest) returns (DropThingResponse);",
                      "message DropThingResponse {}\n"),
                  rpc("  // One.\n  rpc DropThing(DropThingRequest) returns (Thing);",
                      "message DropThingRequest {" + ID + "}\n"),
                  {PATH: CLEAN + "// More.\nservice MoreService {\n  // The same again.\n  rpc "
                                 "MakeThing(MakeThingRequest) returns (MakeThingResponse);\n}\n"}],
    "streaming": [swap("(MakeThingRequest)", "(stream MakeThingRequest)"),
                  swap("(MakeThingResponse)", "(stream MakeThingResponse)"),
                  swap("(stream WatchThingsResponse)", "(WatchThingsResponse)")],
    "comment": [swap("// Things.\n", ""), swap("// What can be done to things.\n", ""),
                swap("  // Makes one.\n", ""), swap("// One of them.\n", ""),
                swap("  // What it is called.\n", ""), swap("  // What it looks like.\n", ""),
                swap("    // As described.\n", ""), swap("// How big something is.\n", ""),
                swap("  // Not said.\n", ""),
                field("  // Within.\n  Inner inner = 9;\n  message Inner {}")],
    "comment-says": [field("  // The weight.\n  string weight = 9;"),
                     field("  // Grams.\n  uint32 weight = 9;")],
    "unit": [field("  // What the thing weighs.\n  double weight = 9;")],
    "time-type": [field("  // How old it is, in milliseconds.\n  uint64 age_ms = 9;"),
                  field("  // How long it may last.\n  uint32 timeout = 9;"),
                  field("  // When it was seen last.\n  string seen_time = 9;"),
                  field("  // When it was seen.\n  google.protobuf.Timestamp seen = 9;"),
                  {PATH: swap("  // What it is called.\n", "  // How old it is.\n  google.protobuf."
                              "Duration age_time = 9;\n  // What it is called.\n")[PATH].replace(
                                  IMPORT, IMPORT + IMPORT.replace("timestamp", "duration"))}],
    "request-id": [swap("string request_id = 1", "string attempt = 1"),
                   swap("string request_id = 1", "string request_id = 2"),
                   swap("string request_id = 1", "bytes request_id = 1"),
                   swap("string request_id = 1", "repeated string request_id = 1"),
                   rpc(GET, PAIR.format("GetThing", ID, ""))],
    "page": [swap("uint32 page_size", "string page_size"),
             swap("string page_token = 2", "string page = 2"),
             swap("next_page_token", "next"), swap("repeated Thing", "Thing")],
    "watch": [swap("uint64 sequence", "uint32 sequence"),
              swap("  // Where to go on later.\n  string resume_token = 2;\n", ""),
              swap("  // Where to go on.\n  string resume_token = 1;\n", "")],
    "unused-import": [{PATH: HEAD + IMPORT}],
    "guide": [{PATH: CLEAN, "README.md": "`MakeThing` `ListThings`\n"},
              {PATH: HEAD + REASONS, "README.md": "`GONE`\n"}],
}

GOOD = {
    "the clean file": {PATH: CLEAN},
    "what only reads takes no request id": rpc(GET, PAIR.format("GetThing", "", "")),
    "a call without effects that is no Get": rpc(
        "  // Whether it would fit.\n  rpc TestThing(TestThingRequest) returns "
        "(TestThingResponse) {\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }",
        PAIR.format("TestThing", "", "")),
    "a name in JSON that is said again": field(
        '  // What it weighs.\n  string the_weight_2 = 9 [json_name = "theWeight2"];'),
    "a foreign package has no version": {
        "google/rpc/x.proto": HEAD.replace("vigil.v1", "google.rpc")},
    "an import of our own": {
        PATH: HEAD + 'import "vigil/v1/other.proto";\n// A.\nmessage A {\n  // What it is made of.'
                     "\n  B b = 1;\n}\n",
        "vigil/v1/other.proto": HEAD + "// B.\nmessage B {}\n"},
    "a guide that names all": {
        PATH: CLEAN + REASONS, "README.md": "`MakeThing` `ListThings` `WatchThings` `GONE` `ODD`"},
    "examples are not the API": {PATH: CLEAN, "examples/x.proto": 'syntax = "proto3";\n'},
}


@contextlib.contextmanager
def tree(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            target = Path(root) / "proto" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        yield Path(root)


def violations(files):
    """What is wrong with these protos, promises apart."""
    with tree(files) as root:
        return [v for v in check_proto.check(root)[0] if v.rule != "not-frozen"]


def run(root, *arguments):
    """The exit status of check_proto.py, and what it printed."""
    printed = io.StringIO()
    with mock.patch("sys.argv", ["check_proto.py", *arguments, str(root)]), \
            contextlib.redirect_stdout(printed):
        return check_proto.main(), printed.getvalue()


class Rules(unittest.TestCase):
    def test_every_rule_can_fail(self):
        self.assertEqual(set(BAD) | {"frozen", "not-frozen"}, check_proto.RULES)
        for rule, cases in BAD.items():
            for number, files in enumerate(cases):
                with self.subTest(rule=rule, case=number):
                    found = violations(files)
                    # An rpc with a wrong name has messages with a wrong name.
                    also = {"message-name"} if rule == "rpc-name" else set()
                    self.assertEqual({v.rule for v in found} - also, {rule}, found)

    def test_what_is_allowed_passes(self):
        for name, files in GOOD.items():
            with self.subTest(name):
                self.assertEqual(violations(files), [])

    def test_a_violation_names_file_and_line(self):
        line = CLEAN[:CLEAN.index("  string name = 1")].count("\n") + 1
        [found] = violations(swap("// What it is called.", ""))
        self.assertEqual((found.path, found.line), (f"proto/{PATH}", line))

    def test_what_protoc_refuses_is_no_pass(self):
        with self.assertRaises(subprocess.CalledProcessError), tree({PATH: "syntax"}) as root:
            check_proto.check(root)

    def test_an_empty_tree_is_not_a_pass(self):
        with tree({}) as root:
            self.assertEqual(run(root)[0], 1)


class Promises(unittest.TestCase):
    # Each takes back something that CLEAN promised.
    BROKEN = {
        "a field is gone": swap("  // What it is called.\n  string name = 1;\n", ""),
        "a field has another number": swap("string name = 1", "string name = 9"),
        "a field has another name": swap("string name = 1", "string label = 1"),
        "a field has another type": swap("string name = 1", "bytes name = 1"),
        "a field is a list": swap("string name = 1", "repeated string name = 1"),
        "a field is optional": swap("  string name = 1", "  optional string name = 1"),
        "a field left its oneof": swap("    // As described.\n    string other = 4;\n  }",
                                       "  }\n    // As described.\n    string other = 4;"),
        "a map has other values": swap("map<string, uint64>", "map<string, uint32>"),
        "an enum value has another name": swap("SIZE_LARGE", "SIZE_BIG"),
        "an enum value is gone": swap("  // Not small.\n  SIZE_LARGE = 1;\n", ""),
        "an rpc is gone": {PATH: CLEAN.replace(SERVICE, "")},
        "an rpc takes something else": swap("MakeThing(MakeThingRequest)",
                                            "MakeThing(ListThingsRequest)"),
        "an rpc streams": swap("(MakeThingResponse)", "(stream MakeThingResponse)"),
    }

    def test_what_was_promised_stays(self):
        for name, files in self.BROKEN.items():
            with self.subTest(name), tree({PATH: CLEAN}) as root:
                self.assertEqual(run(root, "--freeze")[0], 0)
                before = (root / "proto" / check_proto.FROZEN).read_text()
                (root / "proto" / PATH).write_text(files[PATH])
                rules = {v.rule for v in check_proto.check(root)[0]}
                self.assertIn("frozen", rules)
                status, printed = run(root, "--freeze")
                self.assertEqual(status, 1)
                self.assertIn("[frozen]", printed)
                self.assertEqual((root / "proto" / check_proto.FROZEN).read_text(), before)

    def test_what_is_new_waits_for_a_freeze(self):
        with tree({PATH: CLEAN}) as root:
            self.assertEqual(run(root, "--freeze")[0], 0)
            self.assertEqual(run(root)[0], 0)
            frozen = root / "proto" / check_proto.FROZEN
            before = set(frozen.read_text().splitlines())
            (root / "proto" / PATH).write_text(
                field("  // What it is made of.\n  string stuff = 9;")[PATH])
            status, printed = run(root)
            self.assertEqual(status, 1)
            self.assertIn("[not-frozen]", printed)
            self.assertEqual(run(root, "--freeze")[0], 0)
            self.assertEqual(run(root)[0], 0)
            self.assertEqual(set(frozen.read_text().splitlines()) - before,
                             {"field vigil.v1.Thing 9 stuff string singular"})
            self.assertLessEqual(before, set(frozen.read_text().splitlines()))

    def test_the_order_of_lines_does_not_depend_on_that_of_declarations(self):
        turned = {PATH: HEAD + IMPORT + THING + MESSAGES + SERVICE}
        texts = []
        for files in ({PATH: CLEAN}, turned):
            with tree(files) as root:
                run(root, "--freeze")
                texts.append((root / "proto" / check_proto.FROZEN).read_text())
        self.assertEqual(*texts)


if __name__ == "__main__":
    unittest.main()
