"""The corpus of raw-byte cases: its format, its reader, and the table made from it.

A .case file is a list of cases; a new case needs no code. Each case:

    case: cl-and-te                      unique name
    rfc: 9112 §6.1                       the section that decides it
    about: one sentence                  why it matters
    send:                                the bytes, joined; only the escapes below make CR, LF, ...
      POST /case HTTP/1.1\\r\\n
      \\{A*9000}                         "A", 9000 times (the text may contain escapes)
    expect: 400                          statuses in order ("200 400"), "|" between alternatives,
                                         or "none" for no response at all
    close: yes | no | any                must the connection end after the last response
    backend: none | partial | N          complete requests the backend may see: none reaches it, one
                                         may begin but never completes, or exactly N
    seen: GET /case                      optional; start of the start line the backend got
    body: text                           optional; the body of the (last) request the backend got
    finish: fin                          optional; the client half-closes after sending

Escapes: \\r \\n \\t \\0 \\\\ \\xHH. Lines of `send` are indented by two spaces; trailing spaces count.
For upstream responses `send` is what the backend sends, and the other keys are described in
test_malformed_responses.py. `python3 -m cases FILE...` prints the table of docs/conformance.md.
"""

import glob
import os
import re
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
KEYS = {"case", "rfc", "about", "send", "expect", "close", "backend", "seen", "body", "finish",
        "method", "reason", "end", "reuse", "stream", "after", "field", "trailer", "greeting",
        "quirk"}


class Case(dict):
    """One case; values are text except `send`, which is bytes."""

    def __repr__(self):
        return self["case"]


def unescape(text: str) -> bytes:
    """Bytes of a `send` line. Raises ValueError for an unknown escape."""
    out, at = bytearray(), 0
    while at < len(text):
        char = text[at]
        if char != "\\":
            out += char.encode("utf-8")
            at += 1
            continue
        kind = text[at + 1]
        if kind in "rnt0\\":
            out += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}[kind]
            at += 2
        elif kind == "x":
            out.append(int(text[at + 2:at + 4], 16))
            at += 4
        elif kind == "{":
            match = re.compile(r"\\\{(.*?)\*(\d+)\}").match(text, at)
            if not match:
                raise ValueError(f"repeat without *COUNT}}: {text[at:at + 20]!r}")
            out += unescape(match[1]) * int(match[2])
            at = match.end()
        else:
            raise ValueError(f"unknown escape \\{kind}")
    return bytes(out)


def read(path: str, text=False) -> list[Case]:
    """The cases of a file; with text=True `send` stays text, under the key `text` (h2cases.py)."""
    cases, sending = [], False
    for number, line in enumerate(open(path, encoding="utf-8").read().split("\n"), 1):
        where = f"{os.path.basename(path)}:{number}"
        if sending and line.startswith("  "):
            try:
                if text:
                    cases[-1]["text"] = cases[-1].get("text", "") + line[2:] + "\n"
                else:
                    cases[-1]["send"] += unescape(line[2:])
            except (ValueError, IndexError) as error:
                raise ValueError(f"{where}: {error}") from None
            continue
        sending = False
        if not line.strip() or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if not colon or key not in KEYS:
            raise ValueError(f"{where}: not a key of a case: {line!r}")
        if key == "case":
            cases.append(Case(file=os.path.basename(path)))
        if key in cases[-1]:
            raise ValueError(f"{where}: {key} twice")
        cases[-1][key] = b"" if key == "send" else value.strip()
        sending = key == "send"
    for case in cases:
        missing = {"case", "rfc", "about", "send", "expect"} - case.keys()
        if missing:
            raise ValueError(f"{os.path.basename(path)}: {case.get('case')} lacks {sorted(missing)}")
    return cases


def load(folder: str, text=False) -> list[Case]:
    paths = sorted(glob.glob(os.path.join(FOLDER, folder, "*.case")))
    cases = [case for path in paths for case in read(path, text)]
    names = [case["case"] for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{folder}: names used twice: {sorted(twice)}")
    return cases


def table(folder: str) -> str:
    """The corpus as Markdown, one section per file."""
    lines, file = [], None
    for case in load(folder, text=folder.startswith("http2")):
        if case["file"] != file:
            file = case["file"]
            lines += ["", f"### {file.removesuffix('.case')}", "",
                      "| case | RFC | what | expected |", "|---|---|---|---|"]
        expected = case["expect"].replace("|", " or ")
        if case.get("close") == "yes":
            expected += ", closed"
        about = case["about"].replace("|", "\\|")
        lines.append(f"| {case['case']} | {case['rfc']} | {about} | {expected} |")
    return "\n".join(lines).strip()


if __name__ == "__main__":
    for folder in sys.argv[1:] or ["malformed", "malformed-responses", "http2", "http2-responses"]:
        count = len(load(folder, text=folder.startswith("http2")))
        print(f"## {folder} ({count} cases)\n\n{table(folder)}\n")
