#!/usr/bin/env python3
"""deploy/CONFIGURATION.md says what gateway/app/config.{h,cc} do. Usage: check_config_doc.py [ROOT]

Every key has one row, with its variable, what is allowed, its default and a meaning; and no row is
of a key that is not there. check_config_doc_test.py proves that each of it can fail.
"""

import re
import sys
from pathlib import Path

PAGE = "deploy/CONFIGURATION.md"
# What the table calls a type that has no bounds of its own.
KINDS = {"std::string": ("text", "file", "folder", "IP address"), "bool": ("true, false",),
         "std::vector<std::string>": ("list of ",)}
MIN_MEANING_WORDS = 5


def read_keys(source):
    """{name: (least, most, choices)} of KeysOf in config.cc; numbers as text, None: no bounds."""
    keys = {}
    for match in re.finditer(r'\{\s*\.name = "([a-z_.]+)",(.*?)\},?\n', source, re.DOTALL):
        name, rest = match.groups()
        least = re.search(r"\.least = ([\d']+)", rest)
        most = re.search(r"\.most = ([\d']+)", rest)
        choices = re.search(r"\.choices = \{([^}]*)", rest)
        keys[name] = (least.group(1).replace("'", "") if least else "0",
                      most.group(1).replace("'", "") if most else None,
                      re.findall(r'"([^"]*)"', choices.group(1)) if choices else None)
    return keys


def read_fields(header):
    """{name: (type, default)} of struct Config in config.h."""
    body = header[header.index("struct Config {"):header.index("\n};", header.index("struct "))]
    fields = {}
    waiting = []  # Of the section that is being read; its name comes last.
    for row in body.splitlines()[1:]:
        row = re.sub(r"\s*//.*", "", row)
        if end := re.fullmatch(r"  \} (\w+);", row):
            fields.update({f"{end.group(1)}.{name}": what for name, what in waiting})
            waiting = []
        elif field := re.fullmatch(r"(  )?  ([\w:<>]+) (\w+)(?: = (.*))?;", row):
            indent, kind, name, default = field.groups()
            default = re.sub(r"[{}\"']", "", default or "")
            if indent:
                waiting.append((name, (kind, default)))
            else:
                fields[name] = (kind, default)
    return fields


def read_rows(page):
    """[(line, cells)] of the page's tables of keys."""
    rows = []
    for number, row in enumerate(page.splitlines(), 1):
        if re.match(r"\| *`[a-z_.]+` *\|", row):
            rows.append((number, [cell.strip() for cell in row.strip().strip("|").split("|")]))
    return rows


def allowed_of(kind, key):
    """What the column `allowed` may begin with."""
    least, most, choices = key
    if choices is not None:
        return (", ".join(choices),)
    if kind in KINDS:
        return KINDS[kind]
    return (f"{least} to {most or 65535}",)


def check_row(name, cells, key, field):
    if len(cells) != 5:
        yield f"{name}: the row has {len(cells)} cells, not 5"
        return
    _, variable, allowed, default, meaning = cells
    want = "VIGIL_" + name.replace(".", "_").upper()
    if variable != f"`{want}`":
        yield f"{name}: the variable is {want}"
    kind, value = field
    expected = allowed_of(kind, key)
    if not allowed.startswith(expected) or key[1] is not None and allowed != expected[0]:
        yield f"{name}: allowed is {' or '.join(expected)}, not {allowed}"
    # The folder of the console is set when the program is built.
    if name != "console_dir" and default != (f"`{value}`" if value else "empty"):
        yield f"{name}: the default is {value or 'empty'}, not {default}"
    if len(meaning.split()) < MIN_MEANING_WORDS:
        yield f"{name}: the meaning is missing"


def check(source, header, page):
    """What is wrong, as texts."""
    keys, fields, rows = read_keys(source), read_fields(header), read_rows(page)
    wrong = []
    if not keys:
        wrong.append("no key was found in config.cc")
    for name in sorted(keys.keys() ^ fields.keys()):
        wrong.append(f"{name}: is in only one of config.h and config.cc")
    seen = set()
    for number, cells in rows:
        name = cells[0].strip("`")
        if name in seen or name not in keys or name not in fields:
            wrong.append(f"{PAGE}:{number}: {name}: is there twice, or is no key")
            continue
        seen.add(name)
        found = check_row(name, cells, keys[name], fields[name])
        wrong += [f"{PAGE}:{number}: {what}" for what in found]
    wrong += [f"{PAGE}: {name}: has no row" for name in sorted(keys.keys() - seen)]
    return wrong


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    texts = [(root / path).read_text(encoding="utf-8")
             for path in ("gateway/app/config.cc", "gateway/app/config.h", PAGE)]
    wrong = check(*texts)
    print(*wrong, f"config: {len(read_keys(texts[0]))} keys, {len(wrong)} violations", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
