#!/usr/bin/python3
"""The rules of the API that protoc does not know. Usage: check_proto.py [--freeze] [ROOT]

Reads ROOT/proto through protoc, and holds it against ROOT/proto/frozen.txt: what stands there was
promised to a client and stays as it is. --freeze adds what is new; it changes nothing that is
there. Every rule can fail: check_proto_test.py proves it for each.

Runs with Debian's interpreter, because Debian's python3-protobuf is not seen by another one.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2
from violation import Violation

Field = descriptor_pb2.FieldDescriptorProto

# Wire-compatible declarations of others: theirs are the names.
FOREIGN = ("google/",)
# Promises are kept for our own packages and for what we declare of others.
FROZEN = "frozen.txt"
GUIDE = "README.md"
# Where they and the protos are.
FOLDER = "proto"
# The enum whose values are told to clients by name.
REASONS = "ErrorReason"

LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
UPPER_CAMEL = re.compile(r"([A-Z][a-z0-9]*)+")
VERSIONED = re.compile(r"[a-z0-9.]+\.v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
# What a time would be called that is not of a well-known type.
TIME_NAME = re.compile(r"(_|^)(ns|nanos|us|micros|ms|msecs?|millis|milliseconds|secs?|seconds|"
                       r"mins?|minutes|hours|days|time|timestamp|timeout|duration|delay|ttl|"
                       r"deadline)$")
NUMBERS = {Field.TYPE_DOUBLE, Field.TYPE_FLOAT, Field.TYPE_INT32, Field.TYPE_INT64,
           Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_SINT32, Field.TYPE_SINT64,
           Field.TYPE_FIXED32, Field.TYPE_FIXED64, Field.TYPE_SFIXED32, Field.TYPE_SFIXED64}
REALS = {Field.TYPE_DOUBLE, Field.TYPE_FLOAT}
# What makes a number's comment say in what it is counted.
UNIT = re.compile(r"\d|second|pixel|byte|bit|hertz|percent|decibel|metre")
# How an rpc begins that changes nothing.
READING = ("Get", "List", "Watch")

RULES = {"syntax", "package", "package-version", "file-name", "message-name", "field-name",
         "json-name", "enum-name", "enum-value", "enum-zero", "enum-alias", "service-name",
         "rpc-name", "rpc-types", "streaming", "comment", "comment-says", "unit", "time-type",
         "request-id", "page", "watch", "unused-import", "guide", "frozen", "not-frozen"}


class Proto:
    """One .proto file, with its comments and lines by the path of each declaration."""

    def __init__(self, file, messages):
        self.file = file
        self.messages = messages  # All of the API, by full name.
        self.locations = {tuple(at.path): at for at in file.source_code_info.location}
        self.violations = []
        self.is_foreign = file.name.startswith(FOREIGN)

    def comment(self, *path):
        at = self.locations.get(path)
        return "" if at is None else (at.leading_comments or at.trailing_comments).strip()

    def report(self, path, rule, message):
        at = self.locations.get(tuple(path))
        line = at.span[0] + 1 if at else 1
        self.violations.append(Violation(f"{FOLDER}/{self.file.name}", line, rule, message))

    def want_name(self, path, rule, pattern, name):
        if not pattern.fullmatch(name):
            self.report(path, rule, f"{name} is not written like the others")

    def want_comment(self, path, name):
        if not self.comment(*path):
            self.report(path, "comment", f"{name} has no comment")

    def message_of(self, type_name):
        return self.messages.get(type_name.lstrip("."))


# --- Files ---


def check_file(proto):
    file = proto.file
    if file.syntax != "proto3":
        proto.report([12], "syntax", f"{file.syntax or 'proto2'}, must be proto3")
    folder = str(Path(file.name).parent).replace("/", ".")
    if file.package != folder:
        proto.report([2], "package", f"package {file.package} in the folder of {folder}")
    if not proto.is_foreign and not VERSIONED.fullmatch(file.package):
        proto.report([2], "package-version", f"package {file.package} ends with no version")
    proto.want_name([], "file-name", LOWER_SNAKE, Path(file.name).stem)
    if not (proto.comment(12) or proto.comment(2)):
        proto.report([], "comment", f"{file.name} begins with no comment")
    check_imports(proto)


def check_imports(proto):
    used = {file for message in walk(proto.file) for file in message.uses(proto.messages)}
    for service in proto.file.service:
        for rpc in service.method:
            for type_name in (rpc.input_type, rpc.output_type):
                used.add(proto.messages[type_name.lstrip(".")].path)
    for number, imported in enumerate(proto.file.dependency):
        if imported not in used:
            proto.report([3, number], "unused-import", f"{imported} is imported and not used")


# --- Messages and enums ---


@dataclass(frozen=True)
class Message:
    """A message or an enum with where it is: the file's path and the path inside of it."""

    full_name: str
    path: str
    at: tuple
    message: object = None
    enum: object = None

    def uses(self, messages):
        """The files whose types it has."""
        for field in self.message.field if self.message else ():
            if field.type_name:
                yield messages[field.type_name.lstrip(".")].path


def walk(file):
    """All messages and enums of a file, the nested ones too, but no entries of maps."""
    found = []

    def visit(scope, at, messages, enums, numbers):
        for i, enum in enumerate(enums):
            found.append(Message(f"{scope}.{enum.name}", file.name, (*at, numbers[1], i),
                                 enum=enum))
        for i, message in enumerate(messages):
            here = Message(f"{scope}.{message.name}", file.name, (*at, numbers[0], i),
                           message=message)
            found.append(here)
            visit(here.full_name, here.at, message.nested_type, message.enum_type, (3, 4))

    visit(file.package, (), file.message_type, file.enum_type, (4, 5))
    return found


def check_messages(proto, pairs):
    for here in walk(proto.file):
        if here.enum is not None:
            check_enum(proto, here)
            continue
        if here.message.options.map_entry:
            continue
        name = here.message.name
        proto.want_name(here.at, "message-name", UPPER_CAMEL, name)
        # A request and its response are explained by their rpc.
        if here.full_name not in pairs:
            proto.want_comment(here.at, name)
        for i, field in enumerate(here.message.field):
            check_field(proto, name, field, (*here.at, 2, i))
        for i, oneof in enumerate(here.message.oneof_decl):
            if any(f.oneof_index == i and f.HasField("oneof_index") and not f.proto3_optional
                   for f in here.message.field):
                proto.want_name((*here.at, 8, i), "field-name", LOWER_SNAKE, oneof.name)
                proto.want_comment((*here.at, 8, i), f"{name}.{oneof.name}")


def check_field(proto, message, field, at):
    name = f"{message}.{field.name}"
    proto.want_name(at, "field-name", LOWER_SNAKE, field.name)
    proto.want_comment(at, name)
    comment = proto.comment(*at)
    words = set(re.findall(r"[a-z0-9]+", comment.lower())) - {"the", "a", "an", "of", "its"}
    if comment and words <= set(field.name.split("_")):
        proto.report(at, "comment-says", f"{name}: the comment says what the name says")
    elif field.type in NUMBERS and comment and len(comment.split()) < 3:
        proto.report(at, "comment-says", f"{name}: a number's comment says what is counted")
    if field.type in REALS and comment and not UNIT.search(comment.lower()):
        proto.report(at, "unit", f"{name}: the comment names no unit and no bounds")
    # Clients rely on it, too, and frozen.txt has only the name that it is made from.
    if field.json_name != json_name_of(field.name):
        proto.report(at, "json-name", f"{name} has a JSON name of its own: {field.json_name}")
    check_time(proto, name, field, at)


def json_name_of(name):
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name)


def check_time(proto, name, field, at):
    is_instant = field.type_name == ".google.protobuf.Timestamp"
    is_span = field.type_name == ".google.protobuf.Duration"
    is_plain = field.type in NUMBERS or field.type == Field.TYPE_STRING
    if is_plain and TIME_NAME.search(field.name):
        proto.report(at, "time-type", f"{name}: a time is a Timestamp or a Duration")
    if is_instant and not re.search(r"(_|^)time$", field.name):
        proto.report(at, "time-type", f"{name}: the name of an instant ends with time")
    if is_span and re.search(r"(_|^)time$", field.name):
        proto.report(at, "time-type", f"{name}: the name of a span does not end with time")


def check_enum(proto, here):
    name = here.enum.name
    proto.want_name(here.at, "enum-name", UPPER_CAMEL, name)
    proto.want_comment(here.at, name)
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper() + "_"
    for i, value in enumerate(here.enum.value):
        at = (*here.at, 2, i)
        proto.want_comment(at, value.name)
        if not UPPER_SNAKE.fullmatch(value.name) or not value.name.startswith(prefix):
            proto.report(at, "enum-value", f"{value.name} does not begin with {prefix}")
    # Two names of a number are one line of frozen.txt: the other could come and go unseen.
    if here.enum.options.allow_alias:
        proto.report(here.at, "enum-alias", f"{name} lets a number have two names")
    zero = here.enum.value[0]
    if zero.number != 0 or zero.name != prefix + "UNSPECIFIED":
        proto.report((*here.at, 2, 0), "enum-zero", f"0 must be {prefix}UNSPECIFIED")


# --- Services ---


def check_services(proto, uses):
    for s, service in enumerate(proto.file.service):
        if not service.name.endswith("Service") or not UPPER_CAMEL.fullmatch(service.name):
            proto.report((6, s), "service-name", f"{service.name} does not end with Service")
        proto.want_comment((6, s), service.name)
        for m, rpc in enumerate(service.method):
            check_rpc(proto, rpc, (6, s, 2, m), uses)


def check_rpc(proto, rpc, at, uses):
    proto.want_name(at, "rpc-name", UPPER_CAMEL, rpc.name)
    proto.want_comment(at, rpc.name)
    for type_name, suffix in ((rpc.input_type, "Request"), (rpc.output_type, "Response")):
        if type_name.split(".")[-1] != rpc.name + suffix:
            proto.report(at, "rpc-types", f"{rpc.name} takes or gives {type_name}, "
                         f"not {rpc.name}{suffix}")
        elif uses[type_name] > 1:
            proto.report(at, "rpc-types", f"{type_name} is shared by several rpcs")
    if rpc.client_streaming or rpc.server_streaming != rpc.name.startswith("Watch"):
        proto.report(at, "streaming", f"{rpc.name}: what streams is a Watch, from the server")
    request = proto.message_of(rpc.input_type).message
    response = proto.message_of(rpc.output_type).message
    check_request_id(proto, rpc, at, request)
    asked, answered = (rpc.input_type, request), (rpc.output_type, response)
    if rpc.name.startswith("List"):
        want_fields(proto, at, "page", asked,
                    {"page_size": Field.TYPE_UINT32, "page_token": Field.TYPE_STRING})
        want_fields(proto, at, "page", answered, {"next_page_token": Field.TYPE_STRING})
        if sum(f.label == Field.LABEL_REPEATED for f in response.field) != 1:
            proto.report(at, "page", f"{rpc.output_type} has not exactly one list")
    if rpc.name.startswith("Watch"):
        want_fields(proto, at, "watch", asked, {"resume_token": Field.TYPE_STRING})
        want_fields(proto, at, "watch", answered,
                    {"sequence": Field.TYPE_UINT64, "resume_token": Field.TYPE_STRING})


def check_request_id(proto, rpc, at, request):
    no_effects = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    reads = rpc.name.startswith(READING) or rpc.options.idempotency_level == no_effects
    has = any(f.name == "request_id" for f in request.field)
    right = any(f.name == "request_id" and f.number == 1 and f.type == Field.TYPE_STRING and
                f.label == Field.LABEL_OPTIONAL for f in request.field)
    if not reads and not right:
        proto.report(at, "request-id", f"{rpc.name} changes something: its request begins with "
                     "string request_id = 1")
    if reads and has:
        proto.report(at, "request-id", f"{rpc.name} changes nothing and takes a request_id")


def want_fields(proto, at, rule, where, fields):
    type_name, message = where
    for name, kind in fields.items():
        if not any(f.name == name and f.type == kind and f.label != Field.LABEL_REPEATED
                   for f in message.field):
            proto.report(at, rule, f"{type_name} has no {name} of the usual type")


# --- The guide ---


def check_guide(protos, path):
    """proto/README.md names every method and every reason."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    wanted = {rpc.name for proto in protos for service in proto.file.service
              for rpc in service.method}
    for proto in protos:
        for enum in proto.file.enum_type:
            if enum.name == REASONS:
                wanted |= {v.name[len("ERROR_REASON_"):] for v in enum.value if v.number}
    return [Violation(f"{FOLDER}/{GUIDE}", 1, "guide", f"{name} is not in the guide")
            for name in sorted(wanted) if f"`{name}`" not in text]


# --- Promises ---


def type_of(field, messages):
    if not field.type_name:
        return Field.Type.Name(field.type)[len("TYPE_"):].lower()
    target = messages[field.type_name.lstrip(".")]
    if target.message is not None and target.message.options.map_entry:
        key, value = target.message.field
        return f"map<{type_of(key, messages)},{type_of(value, messages)}>"
    return target.full_name


def label_of(message, field):
    if field.label == Field.LABEL_REPEATED:
        return "repeated"
    if field.proto3_optional:
        return "optional"
    if field.HasField("oneof_index"):
        return f"oneof:{message.oneof_decl[field.oneof_index].name}"
    return "singular"


def promises(protos):
    """What clients rely on: {what it is known by: the rest of its line}."""
    found = {}
    for proto in protos:
        for here in walk(proto.file):
            for value in here.enum.value if here.enum else ():
                found[f"value {here.full_name} {value.number}"] = value.name
            if here.message is None or here.message.options.map_entry:
                continue
            for field in here.message.field:
                kind, label = type_of(field, proto.messages), label_of(here.message, field)
                found[f"field {here.full_name} {field.number}"] = f"{field.name} {kind} {label}"
        for service in proto.file.service:
            for rpc in service.method:
                stream = "stream" if rpc.server_streaming or rpc.client_streaming else "unary"
                found[f"rpc {proto.file.package}.{service.name} {rpc.name}"] = (
                    f"{rpc.input_type[1:]} {rpc.output_type[1:]} {stream}")
    return found


def read_frozen(path):
    """The promises that were made, with their lines' numbers."""
    frozen = {}
    rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, row in enumerate(rows, 1):
        if row and not row.startswith("#"):
            words = row.split(" ")
            frozen[" ".join(words[:3])] = (" ".join(words[3:]), number)
    return frozen


def check_promises(now, frozen):
    path = f"{FOLDER}/{FROZEN}"
    violations = []
    for key, (rest, line) in frozen.items():
        if key not in now:
            violations.append(Violation(path, line, "frozen", f"{key} {rest}: is gone; clients "
                                        "of the version before still use it"))
        elif now[key] != rest:
            violations.append(Violation(path, line, "frozen", f"{key}: was {rest}, is {now[key]}"))
    for key in sorted(now.keys() - frozen.keys()):
        violations.append(Violation(path, 1, "not-frozen", f"{key} {now[key]}: is new; "
                                    "add it by check_proto.py --freeze"))
    return violations


HEADER = """\
# What clients of vigil.v1 rely on. A line here never changes and never goes: nodes, edges and
# clients of one version work with those of the version before. New lines are added by
# tests/tidy/check_proto.py --freeze, which refuses to change the others.
#   field MESSAGE NUMBER NAME TYPE LABEL    value ENUM NUMBER NAME
#   rpc SERVICE METHOD REQUEST RESPONSE STREAM
"""


def order_of(key):
    kind, owner, last = key.split(" ")
    return owner, kind, int(last) if last.isdigit() else 0, last


def freeze(now, path):
    """Adds what is new. Returns why not, or nothing."""
    frozen = read_frozen(path)
    broken = [v for v in check_promises(now, frozen) if v.rule == "frozen"]
    if broken:
        return broken
    rows = [f"{key} {now[key]}" for key in sorted(now, key=order_of)]
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return []


# --- All of it ---


def read_protos(folder):
    """The files below folder as protoc reads them."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.proto")
                   if "examples" not in p.relative_to(folder).parts)
    if not names:
        return []
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{folder}", f"--descriptor_set_out={out.name}",
                        "--include_source_info", "--include_imports", *names], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
    messages = {here.full_name: here for file in files.file for here in walk(file)}
    return [Proto(file, messages) for file in files.file if file.name in names]


def check_rules(protos):
    rpcs = [rpc for proto in protos for service in proto.file.service for rpc in service.method]
    types = [type_name for rpc in rpcs for type_name in (rpc.input_type, rpc.output_type)]
    uses = {type_name: types.count(type_name) for type_name in types}
    pairs = {type_name.lstrip(".") for type_name in types}
    for proto in protos:
        check_file(proto)
        check_messages(proto, pairs)
        check_services(proto, uses)
    found = {violation for proto in protos for violation in proto.violations}
    return sorted(found)


def check(root):
    """All violations below root/proto, and how many files there are."""
    folder = Path(root) / FOLDER
    protos = read_protos(folder)
    frozen = read_frozen(folder / FROZEN)
    guide = check_guide(protos, folder / GUIDE)
    return check_rules(protos) + guide + check_promises(promises(protos), frozen), len(protos)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--freeze", action="store_true", help="add what is new to frozen.txt")
    parser.add_argument("root", nargs="?", default=Path(__file__).resolve().parents[2], type=Path)
    arguments = parser.parse_args()
    if arguments.freeze:
        folder = arguments.root / FOLDER
        refused = freeze(promises(read_protos(folder)), folder / FROZEN)
        if refused:
            print(*refused, sep="\n")
            return 1
    violations, count = check(arguments.root)
    for violation in violations:
        print(violation)
    print(f"proto: {count} files, {len(RULES)} rules, {len(violations)} violations")
    return 1 if violations or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
