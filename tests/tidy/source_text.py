"""Reads C++ and JavaScript just well enough for the tidy rules: no parser, no dependency.

strip() blanks comments, literals and preprocessor lines but keeps every line break and column, so
that a match in the stripped text has the position it has in the file. cpp_functions() and
js_functions() find function extents in stripped text by matching brackets.
"""

import bisect
import re
from dataclasses import dataclass

OPEN = {"(": ")", "[": "]", "{": "}"}
CLOSE = {v: k for k, v in OPEN.items()}


@dataclass
class Function:
    name: str
    first_line: int
    last_line: int
    parameters: int
    has_body: bool = True

    @property
    def length(self):
        return self.last_line - self.first_line + 1


class Lines:
    """Offsets to 1-based line numbers."""

    def __init__(self, text):
        self.starts = [0] + [m.end() for m in re.finditer("\n", text)]

    def at(self, offset):
        return bisect.bisect_right(self.starts, offset)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


_CPP_TOKEN = re.compile(
    r"""//(?:[^\n\\]|\\.|\\\n)*            # a comment, also continued by a backslash
      | /\*.*?\*/
      | (?:\b(?:u8|[uUL]))?R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"
      | (?:\b(?:u8|[uUL]))?"(?:[^"\\\n]|\\.)*"
      | (?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'   # not the digit separator of 1'000
    """,
    re.DOTALL | re.VERBOSE,
)


def strip_cpp(text, keep_preprocessor=False):
    """Comments and literals become blanks (quotes stay); preprocessor lines too unless kept."""

    def replace(match):
        token = match.group(0)
        if token.startswith("/"):
            return _blank(token)
        quote = token[-1]
        first = token.index(quote)
        return " " * first + quote + _blank(token[first + 1 : -1]) + quote

    text = _CPP_TOKEN.sub(replace, text)
    if not keep_preprocessor:
        text = re.sub(r"^[ \t]*#(?:[^\n\\]|\\[^\n]|\\\n)*", lambda m: _blank(m.group(0)), text,
                      flags=re.MULTILINE)
    return text


_JS_TOKEN = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | "(?:[^"\\\n]|\\.)*"
      | '(?:[^'\\\n]|\\.)*'
      | `
      | (?:(?<=[(,=:\[!&|?{};\n])|(?<=return))[ \t]*     # a regular expression can start here
        /(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/
    """,
    re.DOTALL | re.VERBOSE,
)


def _template_end(text, start):
    """The offset behind the template literal that opens at start; ${...} may nest."""
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == "`":
            return at + 1
        elif text.startswith("${", at):
            depth = 1
            at += 2
            while at < len(text) and depth:
                if text[at] == "`":
                    at = _template_end(text, at)
                    continue
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                at += 1
        else:
            at += 1
    return at


def strip_js(text):
    """Comments, strings, templates and regular expressions become blanks."""
    out = []
    at = 0
    while match := _JS_TOKEN.search(text, at):
        start = match.start()
        end = _template_end(text, start) if match.group(0) == "`" else match.end()
        out += [text[at:start], _blank(text[start:end])]
        at = end
    return "".join(out) + text[at:]


def matching(text, start):
    """The offset of the bracket that closes the one at start; the end of text if none does."""
    stack = []
    for at in range(start, len(text)):
        c = text[at]
        if c in OPEN:
            stack.append(OPEN[c])
        elif c in CLOSE and stack:
            stack.pop()
            if not stack:
                return at
    return len(text) - 1


def count_parameters(inside):
    """Top-level commas plus one; commas in brackets of any kind, or in <...>, do not count."""
    if not inside.strip() or inside.strip() == "void":
        return 0
    depth = 0
    angle = 0
    count = 1
    for at, c in enumerate(inside):
        if c in OPEN:
            depth += 1
        elif c in CLOSE:
            depth -= 1
        elif c == "<":
            angle += 1
        elif c == ">" and angle and inside[at - 1] != "-":
            angle -= 1
        elif c == "," and depth == 0 and angle == 0:
            count += 1
    return count


_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum)\b")
_BEFORE_PARENTHESIS = re.compile(
    r"(operator\s*(?:\(\s*\)|[^\s\w(]+|\w[\w\s:<>*&]*)|~?[A-Za-z_]\w*)\s*\(")
_NOT_A_NAME = {"if", "for", "while", "switch", "catch", "return", "sizeof", "alignas", "alignof",
               "decltype", "noexcept", "requires", "explicit", "static_assert", "defined",
               "__attribute__"}


def _without_template_head(head):
    """Drops leading `template <...>`, attributes and access labels; keeps the offsets."""
    while True:
        stripped = head.lstrip()
        lead = len(head) - len(stripped)
        if match := re.match(r"(?:public|private|protected)\s*:(?!:)", stripped):
            end = match.end()
        elif stripped.startswith("[["):
            end = matching(stripped, 0) + 1
        elif match := re.match(r"template\s*<", stripped):
            depth = 0
            for end in range(match.end() - 1, len(stripped)):
                depth += {"<": 1, ">": -1}.get(stripped[end], 0)
                if depth == 0:
                    break
            end += 1
        elif match := re.match(r"requires\b[^\n]*", stripped):
            end = match.end()
        else:
            return head
        head = " " * (lead + end) + stripped[end:]


def _parameter_list(head):
    """(name, offset of the parenthesis) of the function declared by head, or None."""
    equals = re.search(r"(?<![=!<>+\-*/|&^])=(?!=)", re.sub(r"operator\s*\S+", _blank_match, head))
    for match in _BEFORE_PARENTHESIS.finditer(head):
        name = match.group(1)
        before = head[: match.start()]
        if name in _NOT_A_NAME or before.count("(") != before.count(")"):
            continue
        if equals and equals.start() < match.start():
            return None
        return name, match.end() - 1
    return None


def _blank_match(match):
    return _blank(match.group(0))


def _is_member_initialiser(head, code, brace):
    """Is the brace of `Foo() : a_{1} {` the initialiser of a_ rather than the body?"""
    if not re.search(r"\)\s*(?:noexcept\s*)?:[^:]", head) or not re.search(r"[\w>]\s*$", head):
        return False
    rest = code[matching(code, brace) + 1 :].lstrip()
    return rest.startswith((",", "{"))


class _CppScanner:
    def __init__(self, code):
        self.code = code
        self.lines = Lines(code)
        self.found = []

    def scan(self, start, end):
        """Finds the functions between two offsets, which are in a namespace or a class."""
        head_start = start
        at = start
        while at < end:
            c = self.code[at]
            if c in "([":
                at = matching(self.code, at) + 1
            elif c == ";":
                self._declaration(head_start, at)
                at = head_start = at + 1
            elif c == "{":
                at, head_start = self._braces(head_start, at)
            elif c == "}":
                at = head_start = at + 1
            else:
                at += 1

    def _braces(self, head_start, brace):
        """Handles one `{`; returns where to go on and where the next head starts."""
        head = _without_template_head(self.code[head_start:brace])
        close = matching(self.code, brace)
        scope = _SCOPE.search(head)
        function = _parameter_list(head)
        if scope and (function is None or scope.start() == len(head) - len(head.lstrip())):
            if scope.group(1) != "enum":
                self.scan(brace + 1, close)
            return close + 1, close + 1
        if function is None:
            if 'extern "' in head and not head.rstrip().endswith(")"):
                self.scan(brace + 1, close)
                return close + 1, close + 1
            if re.search(r"=\s*\[.*\]\s*(\(|\w|$)", head, re.DOTALL):
                self._add("lambda", head_start, head, None, close)
            return close + 1, head_start
        if _is_member_initialiser(head, self.code, brace):
            return close + 1, head_start
        self._add(function[0], head_start, head, function[1], close)
        return close + 1, close + 1

    def _declaration(self, head_start, semicolon):
        head = _without_template_head(self.code[head_start:semicolon])
        words = head.split(maxsplit=1)
        if not words or words[0] in ("using", "typedef", "static_assert", "return"):
            return
        function = _parameter_list(head)
        if function and not re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", function[0]) and "{" not in head:
            self._add(function[0], head_start, head, function[1], None)

    def _add(self, name, head_start, head, parenthesis, close):
        first = head_start + len(head) - len(head.lstrip())
        parameters = 0
        if parenthesis is not None:
            inside = head[parenthesis + 1 : matching(head, parenthesis)]
            parameters = count_parameters(inside)
        last = close if close is not None else head_start + len(head.rstrip())
        self.found.append(Function(name.strip(), self.lines.at(first), self.lines.at(last),
                                   parameters, close is not None))


def cpp_functions(code):
    """Functions and declarations of stripped C++, without those local to a function."""
    scanner = _CppScanner(code)
    scanner.scan(0, len(code))
    return scanner.found


_JS_FUNCTION = re.compile(
    r"""\bfunction\s*\*?\s*(?P<name>\w*)\s*(?P<open>\()
      | ^[ \t]*(?:static\s+|async\s+|get\s+|set\s+|\*\s*)*(?P<method>\#?[A-Za-z_]\w*)\s*
        (?P<open2>\()(?=[^;]*?\)\s*\{)
      | (?P<open3>\()(?=[^()]*(?:\([^()]*\)[^()]*)*\)\s*=>\s*\{)
    """,
    re.MULTILINE | re.VERBOSE,
)


def js_functions(code):
    """Functions, methods and arrow functions with a body of stripped JavaScript."""
    lines = Lines(code)
    found = []
    for match in _JS_FUNCTION.finditer(code):
        name = match.group("name") or match.group("method") or "arrow function"
        if name in ("if", "for", "while", "switch", "catch", "with"):
            continue
        at = next(match.start(g) for g in ("open", "open2", "open3") if match.group(g))
        close = matching(code, at)
        body = re.compile(r"\s*(?:=>)?\s*\{").match(code, close + 1)
        if body:
            found.append(Function(name, lines.at(match.start()), lines.at(
                matching(code, body.end() - 1)), count_parameters(code[at + 1 : close])))
    return found
