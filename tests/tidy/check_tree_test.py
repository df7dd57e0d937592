#!/usr/bin/env python3
"""Each rule of check_tree.py is shown to fail on what it forbids and to pass what it allows."""

import tempfile
import unittest
from pathlib import Path

import check_tree
from source_text import count_parameters, cpp_functions, js_functions, strip_cpp, strip_js

CLEAN = {
    "gateway/base/CMakeLists.txt": "vigil_library(base SOURCES a.cc)\n",
    "gateway/base/a.h": "#pragma once\nnamespace vigil {\nint A();\n}  // namespace vigil\n",
    "gateway/base/a.cc": '#include "gateway/base/a.h"\nnamespace vigil {\nint A() { return 1; }\n'
                         "}\n",
    "gateway/rtp/CMakeLists.txt": "vigil_library(rtp SOURCES b.cc DEPS vigil::base)\n",
    "gateway/rtp/b.h": "#pragma once\nnamespace vigil::rtp {\nstruct B;\n}\n",
    "gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n',
}


def tree(files):
    """All violations of a clean tree with `files` put on top."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**CLEAN, **files}.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return check_tree.check(folder)[0]


def header(body, folder="rtp"):
    space = "vigil" if folder == "base" else f"vigil::{folder}"
    return f"#pragma once\n{body}\nnamespace {space} {{\n}}\n"


def in_core(body):
    """A core source which holds `body` in its fourth line and the next ones."""
    return {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n\nnamespace vigil::rtp {\n'
                                f"{body}\n}}  // namespace vigil::rtp\n"}


def in_test(body, path="tests/unit/rtp/b_test.cc"):
    return {path: body + "\n",
            str(Path(path).parent / "CMakeLists.txt"): f"vigil_test(x SOURCES {Path(path).name})\n"}


def lines(n, text="  x();\n"):
    return text * n


MAP = "absl::flat_hash_map<int, std::vector<int>> by_ssrc_;\n"

# rule -> cases, each a dictionary of files which must be reported under that rule (and no other).
BAD = {
    "arrow": [
        {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n#include "gateway/sfu/x.h"\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include "gateway/rtp/b.h"\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include "tests/support/x.h"\n'},
        {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n#include "proto/media.pb.h"\n'},
        {"gateway/control/CMakeLists.txt": "vigil_library(control SOURCES c.cc)",
         "gateway/control/c.cc": '#include "gateway/sfu/forwarder.h"\n'},
        {"gateway/elsewhere/CMakeLists.txt": "x(c.cc)", "gateway/elsewhere/c.cc": "int c;\n"},
        in_test('#include "gateway/transport/dtls.h"', "tests/unit/sfu/f_test.cc"),
    ],
    "third-party": [
        {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n#include <openssl/ssl.h>\n'},
        {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n#include "srtp2/srtp.h"\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include <sys/socket.h>\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include <unistd.h>\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include <boost/asio.hpp>\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include <fmt/core.h>\n'},
        {"gateway/base/a.cc": '#include "gateway/base/a.h"\n#include <string.h>\n'},
        {"gateway/ice/CMakeLists.txt": "vigil_library(ice SOURCES i.cc)",
         "gateway/ice/i.cc": "#include <nice/agent.h>\n"},
    ],
    "link-arrow": [
        {"gateway/rtp/CMakeLists.txt": "vigil_library(rtp SOURCES b.cc DEPS vigil::peer)\n"}],
    "document": [
        {"gateway/ARCHITECTURE.md": "| `rtp/` | packets | base sdp | - |\n"},
        {"gateway/ARCHITECTURE.md": "| `base/` | things | rtp | - |\n"}],
    "file-lines": [{"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n' + "//\n" * 800},
                   {"tests/interop/x.mjs": "//\n" * 801}],
    "columns": [in_core("// " + "x" * 98), {"tests/x.py": "#" + "x" * 100 + "\n"},
                {"tests/x.sh": "#" + "x" * 100 + "\n"}],
    "function-lines": [
        in_core("void F() {\n" + lines(69) + "}"),
        in_core("class C {\n public:\n  C() : a_{1}, b_(2) {\n" + lines(69) + "  }\n};"),
        in_core("auto F(int a) -> int {\n" + lines(69) + "}"),
        in_core("auto f = [](int a) {\n" + lines(69) + "};"),
        in_core('void F() {\n  s = "}";\n  c = \'}\';  // }\n' + lines(67) + "}"),
        in_test("TEST(A, B) {\n" + lines(69) + "}"),
        {"tests/x.py": "def f():\n" + lines(70, "    x()\n")},
        {"tests/x.mjs": "test('a', async () => {\n" + lines(69) + "});\n"},
        {"tests/x.mjs": "class A {\n  async f(a) {\n" + lines(69) + "  }\n}\n"},
    ],
    "parameters": [
        in_core("void F(int a, int b, int c, int d, int e, int f);"),
        in_core("struct S {\n  int a = 1;\n"
                "  void F(int a, int b, int c, int d, int e, int f) {}\n};"),
        in_core("template <typename T, typename U>\nT F(T a, U b, int c, int d, int e, int f);"),
        in_core("void S::operator()(int a, int b, int c, int d, int e, int f) {}"),
        {"tests/x.py": "def f(a, b, c, d, e, f):\n    pass\n"},
        {"gateway/console/x.js": "function f(a, b, c, d, e, g) {\n}\n"},
    ],
    "clock": [in_core("auto t = std::chrono::steady_clock::now();"),
              in_core("int F() { return clock_gettime(0, 0); }"),
              in_core("auto t = time(nullptr);"), in_core("auto t = std::time(0);"),
              in_test("auto t = std::chrono::system_clock::now();"),
              in_test("auto t = absl::Now();", "tests/sim/s_test.cc"),
              {"gateway/app/CMakeLists.txt": "x(m.cc)",
               "gateway/app/m.cc": "int t = gettimeofday;\n"}],
    "sleep": [in_test("void F() { std::this_thread::sleep_for(x); }"),
              in_test("void F() { usleep(3); }"), in_test("void F() { ::sleep(3); }"),
              in_core("void F() { nanosleep(0, 0); }"),
              {"tests/x.py": "import time\ntime.sleep(1)\n"},
              {"tests/x.py": "from time import sleep\n"},
              {"tests/x.py": "async def f():\n    await asyncio.sleep(1)\n"},
              {"tests/x.sh": "while true; do sleep 1; done\n"}, {"tests/x.sh": "sleep $n\n"},
              {"tests/x.mjs": "await new Promise((r) => setTimeout(r, 100));\n"},
              {"tests/x.mjs": "await page.waitForTimeout(100);\n"},
              {"tests/x.mjs": "import { setImmediate } from 'node:timers/promises';\n"}],
    "shared-ptr": [in_core("std::shared_ptr<int> p;"),
                   in_core("auto p = std::make_shared<int>();")],
    "thread": [in_core("std::mutex m;"), in_core("std::atomic<int> a;"), in_core("std::thread t;"),
               in_core("absl::Mutex m;"), in_core("std::atomic_int a;")],
    "callback": [in_core("std::function<void()> f;")],
    "new-delete": [in_core("int* p = new int;"), in_core("void F(int* p) { delete p; }"),
                   in_core("void F(int* p) { delete[] p; }")],
    "rand": [in_core("int r = std::rand();"), in_core("int r = rand();"),
             in_test("std::random_device device;")],
    "pragma-once": [{"gateway/rtp/b.h": "namespace vigil::rtp {\n}\n"},
                    {"tests/support/x.h": "int x;\n#pragma once\n"}],
    "header-ifdef": [{"gateway/rtp/b.h": header("#ifdef X\n#endif")},
                     {"tests/support/x.h": "#pragma once\n#if 1\n#endif\n"}],
    "namespace": [{"gateway/rtp/b.h": "#pragma once\nnamespace vigil {\n}\n"},
                  {"gateway/rtp/b.h": "#pragma once\nint x;\n"},
                  {"gateway/base/a.h": header("", "rtp")},
                  {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\nnamespace vigil::sdp {\n}\n'}],
    "name": [in_core("class PeerManager {};"), in_core("struct PacketInfo final : Base {\n};"),
             in_core("class ForwarderImpl {};")],
    "to-do": [in_core("// TO" + "DO: later"), {"README.md": "FIX" + "ME\n"},
              {"tests/x.sh": "# X" + "XX\n"}],
    "machine-path": [{"README.md": "see /ro" + "ot/notes\n"}, {"tests/x.sh": "cd /ho" + "me/me\n"},
                     in_core('const char* kPath = "/wo' + 'rk/x";')],
    "hash-iteration": [
        in_core(MAP + "void F() { for (auto& [a, b] : by_ssrc_) {} }"),
        in_core(MAP + "void F() { for (const auto& e : std::as_const(this->by_ssrc_)) {} }"),
        in_core(MAP + "void F() { for (int i = 0; auto& e : self->by_ssrc_) {} }"),
        in_core(MAP + "auto i = by_ssrc_.begin();"),
        in_core(MAP + "void F() { absl::erase_if(by_ssrc_, G); }"),
        in_core("using Map = std::unordered_map<int, int>;\nMap m;\n"
                "void F() { for (auto& e : m) {} }"),
        {"gateway/rtp/b.h": header("std::unordered_set<int> seen_;"),
         **in_core("void F() { for (int x : seen_) {} }")},
    ],
    "listed": [{"gateway/rtp/c.cc": "int c;\n"},
               {"tests/unit/rtp/x_test.cc": "int x;\n",
                "tests/unit/rtp/CMakeLists.txt": "(yx_test.cc)\n"}],
    "unused-header": [{"gateway/rtp/lonely.h": header("")}],
}

GOOD = {
    "the clean tree": {},
    "an allowed arrow": {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n'
                                             '#include "gateway/base/a.h"\n#include <vector>\n'},
    "one header of another folder": {
        "gateway/control/CMakeLists.txt": "vigil_library(control SOURCES c.cc DEPS vigil::sfu)",
        "gateway/control/c.cc": '#include "gateway/sfu/command.h"\n#include <boost/asio.hpp>\n'},
    "the app sees everything": {
        "gateway/app/CMakeLists.txt": "x(c.cc vigil::peer)",
        "gateway/app/c.cc": '#include "gateway/peer/p.h"\n#include <csignal>\n'
                            "#include <unistd.h>\n"},
    "clocks in io": {"gateway/io/CMakeLists.txt": "x(c.cc)",
                     "gateway/io/c.cc": "auto t = std::chrono::steady_clock::now();\n"},
    "words in comments and strings": in_core(
        '// std::mutex, new and delete, usleep(3), time(nullptr), for (auto& e : m)\n'
        '/* std::shared_ptr<int> { */ const char* kText = "std::mutex } new";\n'
        'const char* kRaw = R"x(" { new std::thread )x";\nint kMillion = 1\'000\'000;'),
    "similar words": in_core("int new_delay = 1;\nint Random();\nint timestamp(int);\n"
                             "auto p = std::unique_ptr<S>(\n    new S(1));\n"
                             "std::unique_ptr<S> q(new S(2));\n"
                             "struct S {\n  S(const S&) = delete;\n  void sleepy();\n};\n"
                             "int t = runtime(0);"),
    "a function at the budget": in_core("void F() {\n" + lines(68) + "}\nvoid G() {}"),
    "five parameters": in_core("void F(std::map<int, int> a, int (*b)(int, int), int c, int d,\n"
                               "       X e = {1, 2});"),
    "not a function": in_core("int a[] = {1, 2, 3, 4, 5, 6, 7};\nusing F = void (*)(int, int);\n"
                              "S s = Make(1, 2, 3, 4, 5, 6);\nint Q(int x = Make(1, 2, 3, 4));"),
    "lookup in a hash map": in_core(
        MAP + "std::vector<int> order_;\nvoid F() {\n  auto i = by_ssrc_.find(3);\n"
        "  if (i == by_ssrc_.end()) return;\n  for (int x : order_) by_ssrc_.erase(x);\n"
        "  for (int x : i->second) G(x);\n  for (int x : Sorted(order_)) by_ssrc_.find(x);\n}"),
    "macros and the hash of a header": {
        "gateway/rtp/b.h": header("#define X(a) (a)\n#include <string>\nint Make();")},
    "a signature that libnice prescribes": {
        "gateway/ice/CMakeLists.txt": "vigil_library(ice SOURCES stun.cc)",
        "gateway/ice/stun.cc": "bool FindPassword(A*, B*, C*, int, D**, E*, F*) {\n}\n"},
    "waiting in the two places": {
        "tests/interop/lib/until.mjs": "setTimeout(f, 3);\n",
        "tests/interop/lib/until.py": "await asyncio.sleep(1)\n",
        "tests/interop/lib/udp_proxy.mjs": "setTimeout(f, 3);\n"},
    "a document that agrees": {
        "gateway/ARCHITECTURE.md": "| `rtp/` | packets | base | - |\n"
                                   "| `base/` | x | - | abseil |\n"},
    "a long address": in_core("// https://example.org/" + "x" * 90),
    "a nested namespace": {"gateway/rtp/b.cc": '#include "gateway/rtp/b.h"\n'
                                               "namespace vigil::rtp::vp8 {\n}\n"},
    "paths that are not of a machine": in_core('const char* a = "gateway/root/x";\n'
                                               "// https://example.org/home/page"),
}


class Rules(unittest.TestCase):
    def test_every_rule_can_fail(self):
        self.assertEqual(set(BAD), check_tree.RULES)
        for rule, cases in BAD.items():
            for number, files in enumerate(cases):
                with self.subTest(rule=rule, case=number):
                    # A stray include of a header that is not there is no business of this test.
                    found = tree(files)
                    self.assertIn(rule, {v.rule for v in found}, found)
                    if rule not in ("namespace", "pragma-once", "listed", "unused-header"):
                        self.assertEqual({v.rule for v in found} - {"unused-header"}, {rule}, found)

    def test_what_is_allowed_passes(self):
        for name, files in GOOD.items():
            with self.subTest(name):
                self.assertEqual(tree(files), [])

    def test_a_violation_names_file_and_line(self):
        found = tree(in_core("int a;\nstd::mutex m;"))
        self.assertEqual([(v.path, v.line) for v in found], [("gateway/rtp/b.cc", 5)])

    def test_an_empty_tree_is_not_a_pass(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(check_tree.check(folder), ([], 0))


class Text(unittest.TestCase):
    def test_stripping_keeps_positions(self):
        text = 'a("x\\"y"); // c\n/* d\n e */ b(\'"\');\n#define F \\\n  1\nR"(a\nb)" c'
        stripped = strip_cpp(text)
        self.assertEqual(len(stripped), len(text))
        self.assertEqual(stripped.count("\n"), text.count("\n"))
        for gone in ("x", "c\n", "d", "define"):
            self.assertNotIn(gone, stripped.split(" c")[0])
        self.assertEqual(stripped.index("b("), text.index("b('"))

    def test_javascript_templates_and_expressions(self):
        text = "const a = `x ${f({b: `}`})} {`; const r = /[/{]\\/{/g; // {\ncall(1 / 2);"
        stripped = strip_js(text)
        self.assertEqual(len(stripped), len(text))
        self.assertNotIn("{", stripped)
        self.assertIn("1 / 2", stripped)

    def test_function_extents(self):
        code = strip_cpp("namespace a {\nclass B : public C<int> {\n public:\n  explicit B(int x)\n"
                         "      : c_{x},\n        d_(x) {\n    if (x) {\n    }\n  }\n"
                         "  bool operator==(const B&) const = default;\n"
                         "  int e() const { return 1; }\n"
                         "  void f(int a,\n         int b);\n};\nenum class E { kA, kB };\n}\n"
                         "template <typename T>\nrequires std::integral<T>\nint G(T a, T b) {\n}\n")
        found = [(f.name, f.first_line, f.last_line, f.parameters) for f in cpp_functions(code)]
        self.assertEqual(found, [("B", 4, 9, 1), ("operator==", 10, 10, 1), ("e", 11, 11, 0),
                                 ("f", 12, 13, 2), ("G", 19, 20, 2)])

    def test_javascript_function_extents(self):
        code = strip_js("export async function f(a, b) {\n  if (a) {\n  }\n}\n"
                        "class A {\n  #g(x) {\n  }\n}\ntest('x', async () => {\n  y();\n});\n")
        found = [(f.name, f.first_line, f.last_line, f.parameters) for f in js_functions(code)]
        self.assertEqual(found, [("f", 1, 4, 2), ("#g", 6, 7, 1), ("arrow function", 9, 11, 0)])

    def test_parameters(self):
        for text, count in {"": 0, "void": 0, "int a": 1, "a, b": 2, "std::map<a, b> c, d": 2,
                            "int (*f)(int, int), g": 2, "X a = {1, 2}, b": 2,
                            "std::function<int(int, int)> f": 1}.items():
            self.assertEqual(count_parameters(text), count, text)


if __name__ == "__main__":
    unittest.main()
