#!/usr/bin/env python3
"""The rules of the house that a compiler does not know. Usage: check_tree.py [ROOT]

Every rule here can fail: check_tree_test.py proves it for each, and fails when a rule is added
without such a proof. The arrows and budgets are those of gateway/ARCHITECTURE.md.
"""

import ast
import os
import re
import sys
from pathlib import Path

from source_text import Function, Lines, cpp_functions, js_functions, strip_cpp, strip_js
from violation import Violation

# What each folder of gateway/ may include of the others. "sfu/command.h" allows one header only.
ARROWS = {
    "base": set(),
    "rtp": {"base"},
    "sdp": {"base", "rtp"},
    "ice": {"base"},
    "transport": {"base", "rtp"},
    "stream": {"base", "rtp"},
    "bwe": {"base", "rtp"},
    "peer": {"base", "rtp", "ice", "transport", "stream", "bwe"},
    "sfu": {"base", "rtp"},
    "media_helper": {"base", "rtp"},
    "mix": {"base", "rtp"},
    "supervision": {"base"},
    "store": {"base", "supervision"},
    "io": {"base"},
    # What stands in peer/'s own interface (keys, contexts, counters) is seen by its owner too.
    "worker": {"base", "rtp", "ice", "transport", "stream", "peer", "sfu", "mix", "io"},
    "cluster": {"base", "worker", "proto"},
    "edge": {"base", "ice", "io"},
    "control": {"base", "rtp", "sdp", "supervision", "store", "proto", "sfu/command.h",
                "sfu/event.h", "worker/directory.h", "worker/node.h", "worker/worker_thread.h"},
    "ctl": {"base", "proto", "io/clock.h"},
    "metrics": {"base"},
    "app": None,  # Everything.
}
# Below worker/: bytes and time in, bytes and deadlines out.
CORE = {"base", "rtp", "sdp", "ice", "transport", "stream", "bwe", "peer", "sfu"}

# First part of an include path -> the folders that may use it; None: every folder.
THIRD_PARTY = {
    "absl": None,
    "openssl": {"transport", "control", "ctl", "app"},
    "srtp2": {"transport"},
    "stun": {"ice"},
    "gst": {"media_helper"},
    "glib.h": {"media_helper"},
    "glib": {"media_helper"},
    "grpcpp": {"control", "cluster", "ctl", "app"},
    "grpc": {"control"},
    "google": {"control", "cluster", "ctl"},
    "boost": {"control", "app"},
    "nlohmann": {"control", "ctl", "app"},
    "jwt": {"control", "ctl"},
    "jwt.h": {"control", "ctl"},
    "prometheus": {"metrics"},
    "soci": {"store"},
    "sqlite3.h": {"store"},
    "libpq-fe.h": {"store"},
    "yaml-cpp": {"app"},
    "CLI": {"ctl", "app"},
    "spdlog": {"app"},
}
# Headers of the operating system: sockets and threads live in io/, processes in app/, ctl/, mix/.
SYSTEM = {"io", "media_helper", "mix", "ctl", "app"}
# libnice's STUN calls take sockaddr structs, so ice/ needs these two types and no call.
SYSTEM_EXTRA = {"ice": {"netinet/in.h", "sys/socket.h", "arpa/inet.h"}}
SYSTEM_HEADERS = re.compile(
    r"^(sys|netinet|arpa|linux|net|asm)/|^(unistd|fcntl|poll|pthread|sched|signal|errno|endian|"
    r"netdb|dirent|dlfcn|ifaddrs|spawn|time)\.h$")

# Functions whose parameters a library of others prescribes.
FOREIGN_SIGNATURES = {"gateway/ice/stun.cc": {"FindPassword"}}

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 800
MAX_PARAMETERS = 5
MAX_COLUMNS = 100

SKIPPED_FOLDERS = {".git", "build", "out", "node_modules", "__pycache__", "corpus", "corpora",
                   "fixtures"}
CPP = {".cc", ".h"}
SCRIPT = {".js", ".mjs"}
TEXT = CPP | SCRIPT | {".py", ".sh", ".md", ".txt", ".cmake", ".json", ".html", ".css", ".yaml",
                       ".yml", ".proto", ""}
CODE = CPP | SCRIPT | {".py", ".sh", ".css", ".html", ".cmake"}
HASH_CONTAINER = (r"(?:absl::|std::)?"
                  r"(?:(?:flat|node)_hash_(?:map|set)|unordered_(?:multi)?(?:map|set))")


class Source:
    """One text file of the tree, with its code stripped of comments and literals."""

    def __init__(self, root, path):
        self.path = path
        self.parts = Path(path).parts
        self.suffix = Path(path).suffix
        self.text = (root / path).read_text(encoding="utf-8", errors="replace")
        self.lines = Lines(self.text)
        self.code = self.text
        if self.suffix in CPP:
            self.code = strip_cpp(self.text)
        elif self.suffix in SCRIPT:
            self.code = strip_js(self.text)
        self.violations = []

    def folder(self):
        """The X of gateway/X/..., or None."""
        return self.parts[1] if self.parts[0] == "gateway" and len(self.parts) > 2 else None

    def under(self, *prefixes):
        return any(self.path.startswith(prefix) for prefix in prefixes)

    def report(self, line, rule, message):
        self.violations.append(Violation(self.path, line, rule, message))

    def ban(self, rule, pattern, message, text=None):
        """Reports every match of pattern in the stripped code (or in another view of the file)."""
        for match in re.finditer(pattern, self.code if text is None else text, re.MULTILINE):
            found = " ".join(match.group(0).split())
            self.report(self.lines.at(match.start()), rule, f"{found}: {message}")

    def includes(self):
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', self.text,
                                 re.MULTILINE):
            yield self.lines.at(match.start()), match.group(1)


def read_tree(root):
    sources = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
        for name in sorted(files):
            path = (Path(folder) / name).relative_to(root)
            if path.suffix in TEXT and name != ".git" and not (root / path).is_symlink():
                sources[path.as_posix()] = Source(root, path.as_posix())
    return sources


# --- Arrows ---


def check_arrows(source):
    folder = source.folder()
    if folder is None or source.suffix not in CPP:
        return
    if folder not in ARROWS:
        source.report(1, "arrow", f"gateway/{folder} is not in the table of folders")
        return
    for line, include in source.includes():
        first = include.split("/")[0]
        if first == "gateway":
            _check_arrow(source, folder, line, include)
        elif first in ("tests", "benchmarks"):
            source.report(line, "arrow", f"{include}: the gateway does not include its tests")
        elif first in ("proto", "vigil"):
            if ARROWS[folder] is not None and "proto" not in ARROWS[folder]:
                source.report(line, "arrow", f"{include}: {folder}/ does not see protobuf")
        else:
            _check_third_party(source, folder, line, include)


def _check_arrow(source, folder, line, include):
    allowed = ARROWS[folder]
    target = include.split("/")[1]
    header = include[len("gateway/") :]
    if allowed is None or target == folder or target in allowed or header in allowed:
        return
    source.report(line, "arrow", f"{folder}/ may not include {header}")


def _check_third_party(source, folder, line, include):
    first = include.split("/")[0]
    if SYSTEM_HEADERS.match(include):
        if folder not in SYSTEM and include not in SYSTEM_EXTRA.get(folder, ()):
            source.report(line, "third-party", f"<{include}> belongs to io/")
    elif "." not in include and "/" not in include:
        return  # The standard library.
    elif first not in THIRD_PARTY:
        source.report(line, "third-party", f"{include} is in no folder's allowlist")
    elif THIRD_PARTY[first] is not None and folder not in THIRD_PARTY[first]:
        where = ", ".join(sorted(THIRD_PARTY[first]))
        source.report(line, "third-party", f"{include} is for {where} only")


def check_sfu_tests(source):
    """Tests of forwarding need no DTLS, no SRTP and no socket."""
    if not source.under("tests/unit/sfu/"):
        return
    for line, include in source.includes():
        if re.match(r"gateway/(ice|transport|peer|io|worker)/|openssl/|srtp2/|sys/", include):
            source.report(line, "arrow", f"{include}: tests of sfu/ need no transport")


def check_link_arrows(source):
    if not re.fullmatch(r"gateway/\w+/CMakeLists\.txt", source.path):
        return
    folder = source.folder()
    allowed = ARROWS.get(folder)
    if allowed is None:
        return
    folders = {a.split("/")[0] for a in allowed} | {folder}
    for match in re.finditer(r"\bvigil::(\w+)", source.text):
        if match.group(1) not in folders:
            source.report(source.lines.at(match.start()), "link-arrow",
                          f"{folder}/ may not link {match.group(0)}")


def check_document(root, sources):
    """The folder table of gateway/ARCHITECTURE.md says the same, about the folders there are."""
    document = sources.get("gateway/ARCHITECTURE.md")
    if document is None:
        return
    exist = {f.name for f in (root / "gateway").iterdir() if f.is_dir()}
    for match in re.finditer(r"^\| *`(\w+)/` *\|[^|]*\|([^|]*)\|", document.text, re.MULTILINE):
        folder, cell = match.groups()
        if folder not in ARROWS or folder not in exist:
            continue
        said = set(re.sub(r"\([^)]*\)", "", cell).replace(",", " ").replace("`", "").split())
        allowed = ARROWS[folder]
        want = {"all"} if allowed is None else {a.split("/")[0] for a in allowed} & exist or {"-"}
        if said != want:
            document.report(document.lines.at(match.start()), "document",
                            f"{folder}/ is said to include {sorted(said)}, "
                            f"the rule is {sorted(want)}")


# --- Budgets ---


def check_budgets(source):
    if source.suffix not in CODE:
        return
    rows = source.text.splitlines()
    if len(rows) > MAX_FILE_LINES:
        source.report(len(rows), "file-lines", f"{len(rows)} lines, at most {MAX_FILE_LINES}")
    for number, row in enumerate(rows, 1):
        if len(row) > MAX_COLUMNS and not re.search(r"https?://\S{20,}", row):
            source.report(number, "columns", f"{len(row)} columns, at most {MAX_COLUMNS}")
    for function in _functions(source):
        if function.has_body and function.length > MAX_FUNCTION_LINES:
            source.report(function.first_line, "function-lines", f"{function.name}: "
                          f"{function.length} lines, at most {MAX_FUNCTION_LINES}")
        is_foreign = function.name in FOREIGN_SIGNATURES.get(source.path, ())
        if function.parameters > MAX_PARAMETERS and not is_foreign:
            source.report(function.first_line, "parameters", f"{function.name}: "
                          f"{function.parameters} parameters, at most {MAX_PARAMETERS}")


def _functions(source):
    if source.suffix in CPP:
        return cpp_functions(source.code)
    if source.suffix in SCRIPT:
        return js_functions(source.code)
    if source.suffix == ".py":
        return _python_functions(source)
    return []


def _python_functions(source):
    found = []
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # What has a default is named by its caller, like a member of an options struct.
            names = [a.arg for a in node.args.posonlyargs + node.args.args]
            count = len(names) - len(node.args.defaults) - (names[:1] == ["self"])
            found.append(Function(node.name, node.lineno, node.end_lineno, count))
    return found


# --- Banned tokens ---


def check_clocks(source):
    if source.suffix not in CPP or source.under("gateway/io/", "tests/unit/io/", "benchmarks/"):
        return
    source.ban("clock", r"\b(?:steady|system|high_resolution|utc|tai|file)_clock\s*::\s*now\b|"
               r"\bclock_gettime\b|\bgettimeofday\b|\btimespec_get\b|"
               r"\bg_get_(?:monotonic|real)_time\b|\babsl\s*::\s*(?:Now|GetCurrentTimeNanos)\b|"
               r"\b(?:std\s*::\s*)?time\s*\(\s*(?:nullptr|NULL|0|&\w+)\s*\)|\bclock\s*\(\s*\)",
               "time is an argument; only io/ reads a clock")


def check_sleeps(source):
    message = "nothing sleeps; wait for the event, with a deadline"
    if source.suffix in CPP and not source.under("benchmarks/"):
        source.ban("sleep", r"\b(?:sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\b|"
                   r"(?<![\w.>:])(?:::\s*)?sleep\s*\(", message)
    if not source.under("tests/"):
        return
    if source.suffix == ".py" and source.path not in ("tests/interop/lib/until.py",
                                                      "tests/rpc/lib/until.py"):
        for node in ast.walk(ast.parse(source.text)):
            names = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            if "sleep" in names or isinstance(node, ast.Attribute) and node.attr == "sleep":
                source.report(node.lineno, "sleep", message)
    if source.suffix == ".sh":
        source.ban("sleep", r"^[^#\n]*?(?:^|[;&|]|\bdo\b|\bthen\b)\s*sleep\s+[\d$]", message)
    # until.mjs is the one place that waits, and udp_proxy.mjs delays packets for its living.
    if source.suffix in SCRIPT and source.path not in ("tests/interop/lib/until.mjs",
                                                       "tests/interop/lib/udp_proxy.mjs"):
        source.ban("sleep", r"\bsetTimeout\b|\bwaitForTimeout\b",
                   "use until() of tests/interop/lib/until.mjs")
        source.ban("sleep", r"\btimers/promises\b", "use until() of tests/interop/lib/until.mjs",
                   source.text)


def _blank_match(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def check_core_tokens(source):
    if source.suffix not in CPP:
        return
    if source.folder() in CORE:
        source.ban("shared-ptr", r"\b(?:shared_ptr|make_shared|weak_ptr|"
                   r"enable_shared_from_this|allocate_shared)\b",
                   "values and unique_ptr in the core")
        source.ban("thread", r"\b(?:std|absl)\s*::\s*(?:\w*mutex|Mutex|MutexLock|atomic\w*|"
                   r"lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable\w*|j?thread|"
                   r"call_once|once_flag|future|promise|async|latch|barrier|\w*semaphore)\b",
                   "the core is single-threaded")
        source.ban("callback", r"\bstd\s*::\s*(?:function|move_only_function)\b",
                   "the core calls nobody back; append to an outbox")
    if source.folder() is not None:
        source.ban("new-delete", r"(?<!operator )\bnew\b(?!\s*\()|\bnew\s*\(\s*std\s*::\s*nothrow|"
                   r"(?<!operator )(?<!=)(?<!= )\bdelete\b", "values and unique_ptr",
                   # A private constructor is out of make_unique's reach.
                   re.sub(r"unique_ptr<\w+>(?:\s+\w+)?\(\s*new\b", _blank_match, source.code))
    source.ban("rand", r"\bstd\s*::\s*rand\b|\bsrand\b|(?<![\w.:>])rand\s*\(\s*\)|"
               r"\brandom_device\b", "draw from a seeded Rng that was passed in")


def check_headers(source):
    if source.suffix != ".h":
        return
    if not re.match(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*#pragma once\b", source.text, re.DOTALL):
        source.report(1, "pragma-once", "a header starts with #pragma once")
    kept = strip_cpp(source.text, keep_preprocessor=True)
    source.ban("header-ifdef", r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif|else)\b.*",
               "no conditional compilation in headers", kept)


def check_namespace(source):
    folder = source.folder()
    if source.suffix not in CPP or folder is None:
        return
    want = "vigil" if folder == "base" else f"vigil::{folder}"
    found = list(re.finditer(r"\bnamespace\s+([\w:]+)\s*\{", source.code))
    if source.suffix == ".h" and want not in [m.group(1) for m in found]:
        source.report(1, "namespace", f"a header of {folder}/ declares namespace {want}")
    for match in found:
        name = match.group(1)
        if re.match(r"vigil\b", name) and name != want and not name.startswith(want + "::"):
            source.report(source.lines.at(match.start()), "namespace",
                          f"namespace {name} in {folder}/, whose namespace is {want}")


def check_names(source):
    if source.suffix in CPP and source.folder() is not None:
        # MediaHelper is a noun of the glossary.
        source.ban("name", r"\b(?:class|struct)\s+(?!MediaHelper\b)\w*"
                   r"(?:Manager|Helper|Utils?|Impl|Data|Info)\b(?=[^;()]*\{)",
                   "names say what a thing is: no Manager, Helper, Util, Impl, Data, Info")


def check_text(source):
    source.ban("to-do", r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b", "an issue, not a comment",
               source.text)
    source.ban("machine-path", r"(?<![\w.*~])/(?:root|home|work|Users)/\w|/tmp/w[t]\b|\.pyen[v]\b",
               "a path of somebody's machine", source.text)


# --- Whole-tree rules ---


def _hash_names(code):
    """Variables of code that are hash containers, also through an alias."""
    types = [HASH_CONTAINER + r"\s*<"]
    for match in re.finditer(r"\busing\s+(\w+)\s*=\s*" + HASH_CONTAINER, code):
        types.append(r"\b" + match.group(1) + r"\b")
    names = set()
    for pattern in types:
        for match in re.finditer(pattern, code):
            at = match.end()
            if match.group(0).endswith("<"):
                depth = 1
                while at < len(code) and depth:
                    depth += {"<": 1, ">": -1}.get(code[at], 0)
                    at += 1
            if name := re.compile(r"\s*(?:const\b)?\s*[&*]?\s*(\w+)\s*(?=[;={(,)]|$)").match(
                    code, at):
                names.add(name.group(1))
    return names - {"const"}


def check_hash_iteration(source, sources):
    if source.suffix not in CPP or source.folder() not in CORE:
        return
    names = _hash_names(source.code)
    headers = [include for _, include in source.includes()]
    headers.append(re.sub(r"\.cc$", ".h", source.path))
    for header in headers:
        if header in sources:
            names |= _hash_names(sources[header].code)
    if not names:
        return
    name = r"(?:" + "|".join(sorted(names)) + r")"
    source.ban("hash-iteration", r"\bfor\s*\((?:[^()]|\([^()]*\))*?[^:]:(?!:)\s*"
               r"(?:std\s*::\s*as_const\s*\()?[\w.\->*:()]*?\b" + name + r"\s*\)+",
               "hash order does not repeat by seed")
    source.ban("hash-iteration", r"\b" + name + r"\s*(?:\.|->)\s*c?begin\s*\(|"
               r"\b(?:std|absl)\s*::\s*(?:c?begin|erase_if|c_\w+|ranges::\w+)\s*\(\s*"
               r"[\w.\->]*?\b" + name + r"\b", "hash order does not repeat by seed")


def check_listed(source, sources):
    """Every .cc is compiled and every header of the gateway is used."""
    if source.suffix == ".cc" and source.under("gateway/", "tests/", "benchmarks/"):
        folder = Path(source.path).parent
        while folder.parts and f"{folder.as_posix()}/CMakeLists.txt" not in sources:
            folder = folder.parent
        name = Path(source.path).relative_to(folder).as_posix()
        lists = sources.get(f"{folder.as_posix()}/CMakeLists.txt")
        listed = lists and re.search(r"(?<![\w./-])" + re.escape(name) + r"(?![\w.])", lists.text)
        globbed = lists and "file(GLOB" in lists.text
        if not listed and not globbed:
            source.report(1, "listed", f"{name} is not in {folder.as_posix()}/CMakeLists.txt")
    if source.suffix == ".h" and source.folder() is not None:
        if not any(source.path == include for other in sources.values()
                   if other is not source and other.suffix in CPP
                   for _, include in other.includes()):
            source.report(1, "unused-header", "nothing includes it")


PER_FILE = [check_arrows, check_sfu_tests, check_link_arrows, check_budgets, check_clocks,
            check_sleeps, check_core_tokens, check_headers, check_namespace, check_names,
            check_text]
PER_TREE = [check_hash_iteration, check_listed]
RULES = {"arrow", "third-party", "link-arrow", "document", "file-lines", "columns",
         "function-lines", "parameters", "clock", "sleep", "shared-ptr", "thread", "callback",
         "new-delete", "rand", "pragma-once", "header-ifdef", "namespace", "name", "to-do",
         "machine-path", "hash-iteration", "listed", "unused-header"}


def check(root):
    """All violations of the tree at root, in the order of paths and lines."""
    root = Path(root)
    sources = read_tree(root)
    for source in sources.values():
        for rule in PER_FILE:
            rule(source)
        for rule in PER_TREE:
            rule(source, sources)
    check_document(root, sources)
    found = {v for source in sources.values() for v in source.violations}
    return sorted(found), len(sources)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    violations, count = check(root)
    for violation in violations:
        print(violation)
    print(f"tidy: {count} files, {len(RULES)} rules, {len(violations)} violations")
    return 1 if violations or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
