"""The corpus of HTTP/2 cases: its language and the runner of one case.

The files are those of cases.py (read that first); a `send` line here is one action instead of bytes:

    GET 1 /path [open] | name: value      HEADERS with the usual pseudo-header fields and these fields;
                                          any method in capitals; `open`: without END_STREAM
    HEADERS 1 es eh pad=3 prio=0,15,x | :method: GET | name: value
                                          one HEADERS frame, nothing implied; `prio` = stream it
                                          depends on, weight - 1, x for exclusive;
                                          `block=BYTES` gives the field block raw (may stand last only)
    CONTINUATION 1 eh | name: value       likewise
    DATA 1 es pad=3 size=10 | text        DATA with `size` bytes "d" and the text
    SETTINGS ack NAME=VALUE 0xID=VALUE    in this order, names as in RFC 9113 §6.5.2
    PING ack | 8 bytes                    RST_STREAM 1 CODE           WINDOW_UPDATE 1 1000
    PRIORITY 1 0,15,x                     GOAWAY LAST CODE            PUSH_PROMISE 1 2
    PRIORITY_UPDATE 1 | u=1
    FRAME TYPE FLAGS STREAM [length=N] | payload     any frame at all; numbers may be hexadecimal
    RAW bytes                             what is no frame
    FIELDS 1 COUNT | name: value          a complete request with this field COUNT times
    WAIT settings | ack | pong | head 1 | end 1 | rst 1     read until the peer sent that
    EACH 5 GET {s} /x                     an action for the first five odd streams
    TIMES 5 GET 1 /x                      an action five times
    CLOSE                                 end the connection

The connection preface and an empty SETTINGS go first, unless the first line is `BARE`. `expect` has
alternatives between "|", for stream `stream:` (default 1):

    200              a complete response with this status
    rst CODE,CODE    RST_STREAM with one of these codes and nothing complete before it
    goaway CODE,...  GOAWAY with one of these codes, and then the end of the connection
    close            the end of the connection without more
    malformed        short for 400|rst PROTOCOL_ERROR|goaway PROTOCOL_ERROR
    http1            an answer in HTTP/1.1
    alive            a PING sent behind it all is answered

After an outcome that leaves the connection open, one more request on it must be served (`after: no`
says otherwise). `backend`, `seen` and `body` are as in cases.py; `field: NAME=VALUE` demands that the
backend's (last) request has this field exactly so, `trailer: NAME=VALUE` this trailer.
`python3 -m h2cases PEER...` runs the corpus against nginx, haproxy, nghttpx or h2o, to see that the
cases are right, and prints where each differs from the expectation.
"""

import re
import struct
import sys

import cases
import h2wire
import wire
from backends import Backend, mirror
from h2wire import ACK, CODES, END_HEADERS, END_STREAM, SETTINGS

FLAGS = {"es": END_STREAM, "eh": END_HEADERS, "ack": ACK}


def script(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def pair(text: str):
    """"name: value" with the name perhaps beginning with a colon; bytes."""
    raw = cases.unescape(text)
    at = raw.find(b":", 1)
    if at < 0:
        raise ValueError(f"not a field: {text!r}")
    value = raw[at + 1:]
    return raw[:at], value[1:] if value.startswith(b" ") else value


def number(text: str) -> int:
    return int(text, 0)


def split(line: str):
    """Words and the parts behind " | ", the latter still escaped."""
    head, *rest = re.split(r" \| ?", line)
    raw = None
    if " block=" in head:
        head, _, raw = head.partition(" block=")
    return head.split(), rest, raw


def dependency(text: str) -> bytes:
    parts = text.split(",")
    exclusive = 1 << 31 if "x" in parts[2:] else 0
    return struct.pack(">IB", number(parts[0]) | exclusive, number(parts[1]))


def encode(line: str) -> bytes:
    """The bytes of one action (of those that are frames or bytes)."""
    words, parts, raw = split(line)
    verb, options = words[0], dict(w.split("=", 1) for w in words if "=" in w)
    flags = 0
    for word in words[1:]:
        flags |= FLAGS.get(word, 0)
    pad = number(options["pad"]) if "pad" in options else None
    if verb == "RAW":
        return cases.unescape(line[4:])
    if verb == "FRAME":
        length = number(options["length"]) if "length" in options else None
        kind = h2wire.TYPES[words[1]] if words[1] in h2wire.TYPES else number(words[1])
        return h2wire.frame(kind, number(words[2]), number(words[3]),
                            cases.unescape(parts[0]) if parts else b"", length)
    if verb in ("HEADERS", "CONTINUATION"):
        fields = cases.unescape(raw) if raw is not None else b""
        fields += h2wire.block(pair(p) for p in parts)
        stream = number(words[1])
        if verb == "CONTINUATION":
            return h2wire.frame(verb, flags, stream, fields)
        priority = dependency(options["prio"]) if "prio" in options else None
        return h2wire.headers(stream, fields, bool(flags & END_STREAM), bool(flags & END_HEADERS), pad,
                              priority=priority)
    if verb == "DATA":
        payload = b"d" * number(options.get("size", "0")) + (cases.unescape(parts[0]) if parts else b"")
        return h2wire.data(number(words[1]), payload, bool(flags & END_STREAM), pad)
    if verb == "SETTINGS":
        payload = b""
        for name, value in (w.split("=") for w in words[1:] if "=" in w):
            payload += struct.pack(">HI", SETTINGS[name] if name in SETTINGS else number(name), number(value))
        return h2wire.frame(verb, flags, 0, payload)
    if verb == "PING":
        return h2wire.frame(verb, flags, 0, cases.unescape(parts[0]))
    if verb == "RST_STREAM":
        return h2wire.frame(verb, 0, number(words[1]), struct.pack(">I", CODES[words[2]]))
    if verb == "WINDOW_UPDATE":
        return h2wire.window_update(number(words[1]), number(words[2]))
    if verb == "PRIORITY":
        return h2wire.frame(verb, 0, number(words[1]), dependency(words[2]))
    if verb == "PRIORITY_UPDATE":
        return h2wire.frame(verb, 0, 0, struct.pack(">I", number(words[1])) + cases.unescape(parts[0]))
    if verb == "GOAWAY":
        return h2wire.frame(verb, 0, 0, struct.pack(">II", number(words[1]), CODES[words[2]]))
    if verb == "PUSH_PROMISE":
        return h2wire.frame(verb, END_HEADERS, number(words[1]), struct.pack(">I", number(words[2]))
                            + h2wire.block(h2wire.pseudo()))
    if verb == "FIELDS":
        fields = h2wire.pseudo() + [pair(parts[0])] * number(words[2])
        payload, stream = h2wire.block(fields), number(words[1])
        pieces = [payload[at:at + 16_384] for at in range(0, len(payload), 16_384)]
        out = h2wire.headers(stream, pieces[0], True, len(pieces) == 1)
        for at, piece in enumerate(pieces[1:], 2):
            out += h2wire.frame("CONTINUATION", END_HEADERS if at == len(pieces) else 0, stream, piece)
        return out
    if verb.isupper():
        fields = h2wire.pseudo(verb, cases.unescape(words[2])) + [pair(p) for p in parts]
        return h2wire.headers(number(words[1]), fields, "open" not in words)
    raise ValueError(f"unknown action {line!r}")


def expand(lines):
    """EACH and TIMES as the lines they stand for."""
    stream = 1
    for line in lines:
        if line.startswith("EACH "):
            _, count, action = line.split(" ", 2)
            for _ in range(number(count)):
                yield action.replace("{s}", str(stream))
                stream += 2
        elif line.startswith("TIMES "):
            _, count, action = line.split(" ", 2)
            yield from [action] * number(count)
        else:
            yield line


def origin(c):
    """The backend of the corpus: mirrors what it received, except for /hold, which it never answers."""
    while True:
        request = c.request()
        if request.target == "/hold":
            return c.wait_end()
        c.send(mirror(request))


def waits(session, line):
    _, what, *rest = line.split()
    stream = number(rest[0]) if rest else 0
    conditions = {
        "settings": lambda: session.got_settings,
        "ack": lambda: session.acks > 0,
        "pong": lambda: session.pings,
        "head": lambda: session.stream(stream).head is not None or session.stream(stream).over,
        "end": lambda: session.stream(stream).over,
        "rst": lambda: session.stream(stream).reset is not None,
    }
    session.until(lambda: conditions[what]() or session.goaway or session.closed, line)


def perform(session, lines, arrival="whole"):
    """Carry out the actions; `bytes` sends each byte alone, `whole` as much at once as WAIT allows."""
    pieces = bytearray()

    def flush():
        size = len(pieces) or 1
        if arrival == "bytes":
            size = 1 if len(pieces) < 2000 else 499
        elif size > 65_536:
            size = 16_384
        session.corked = bytearray()
        for at in range(0, len(pieces), size):
            if not session.send(pieces[at:at + size]):
                break
            session.drain()
        pieces.clear()
        held, session.corked = bytes(session.corked), None
        if held:
            session.send(held)

    for line in expand(lines):
        if line.startswith("WAIT "):
            flush()
            waits(session, line)
        elif line == "CLOSE":
            flush()
            session.close()
            return
        elif line != "BARE":
            pieces += encode(line)
    flush()


def outcome(session, stream, alive):
    """What the peer made of it: a word of the `expect` language."""
    state = session.stream(stream)
    token = b"\xffalive\xff\xff"
    if alive:
        session.send(h2wire.frame("PING", 0, 0, token))
    done = lambda: session.goaway or state.over or session.closed or (alive and token in session.pings)
    try:
        session.until(done, "an outcome", 5)
    except wire.Ended:
        pass
    except wire.Malformed as answer:
        return "http1" if "HTTP/1" in str(answer) else str(answer)
    except AssertionError:
        return f"silence ({state})"
    if state.ended and state.status:
        return str(state.status)
    # A connection error may be told on the stream first.
    if session.goaway is None and state.reset and not alive:
        session.until(lambda: session.goaway, None, 0.02)
    if session.goaway and session.goaway[1] != "NO_ERROR":
        return f"goaway {session.goaway[1]}"
    if state.reset:
        return f"rst {state.reset}"
    if session.goaway:
        return f"goaway {session.goaway[1]}"
    if session.closed:
        return "close"
    return "alive"


# A malformed request (RFC 9113 §8.1.1) may be answered, reset, or taken as an error of the connection (§5.4.2).
MALFORMED = "400|rst PROTOCOL_ERROR|goaway PROTOCOL_ERROR"


def allowed(expect: str) -> set[str]:
    words = set()
    for alternative in re.sub(r"\bmalformed\b", MALFORMED, expect).split("|"):
        kind, _, codes = alternative.strip().partition(" ")
        words |= {f"{kind} {code.strip()}" for code in codes.split(",")} if codes else {kind}
    return words


def run(case, address, arrival="whole", tls=None):
    """Run one case; returns (session, outcome). Raises AssertionError when it is not as expected."""
    lines = script(case["text"])
    bare = lines[0] == "BARE"
    session = h2wire.connect(address, tls, preface=not bare)
    try:
        session.next = 1
        perform(session, lines, arrival)
        words = allowed(case["expect"])
        result = outcome(session, int(case.get("stream", "1")), "alive" in words)
        assert result in words, f"{result} instead of {case['expect']}; got {session.frames[-6:]}"
        if result == "http1":
            return session, result
        if result.startswith("goaway") or result == "close":
            assert session.until_closed(), "the connection stays open behind its GOAWAY"
        elif case.get("after") != "no":
            session.next = max([1, *(n for n in used(lines))]) + 2
            after = session.fetch("/after")
            if session.goaway and f"goaway {session.goaway[1]}" in words:
                return session, result
            assert after.status == 200, f"the connection does not serve further: {after} {session.goaway}"
        assert not session.violations, session.violations
        return session, result
    finally:
        session.close()


def check_backend(case, backend, result):
    """What the backend must have seen."""
    assert not backend.malformed, f"malformed bytes went upstream: {backend.malformed}"
    wanted = case.get("backend", "any")
    reached = lambda: [r for r in backend.requests if r.target not in ("/canary", "/after")]
    if wanted.isdigit() and result == "200":
        # Of several requests the one that was waited for may have been the first to arrive.
        wire.eventually(lambda: len(reached()) >= int(wanted), f"{wanted} requests at the backend")
    seen = reached()
    starts = [r.start for r in seen]
    assert "/smuggled" not in " ".join(starts), starts
    if wanted in ("none", "partial"):
        assert not seen, f"the backend saw {starts}"
    if wanted == "none":
        assert not backend.partial, f"the backend saw part of it: {backend.partial}"
    if wanted.isdigit() and result == "200":
        assert len(seen) == int(wanted), starts
    if result != "200":
        return
    if "seen" in case:
        # Several requests may arrive in any order.
        assert any(start.startswith(case["seen"]) for start in starts), starts
    if "body" in case:
        assert case["body"] in [r.body.decode() for r in seen], seen
    for key, fields in (("field", lambda r: r.fields), ("trailer", lambda r: r.trailers)):
        if key in case:
            name, _, value = case[key].partition("=")
            assert value in [fields(r).get(name) for r in seen], (name, [fields(r) for r in seen])


def used(lines):
    """Odd stream numbers that the actions may have used."""
    for line in expand(lines):
        for word in line.split(" | ")[0].split()[1:3]:
            if re.fullmatch(r"\d+", word) and int(word) % 2 and int(word) < 1 << 30:
                yield int(word)


def load(folder="http2"):
    """The cases; `text` holds the actions, of which every one is encoded once to see that it is valid."""
    found = []
    for case in cases.load(folder, text=True):
        for line in script(case["text"]):
            plain = next(iter(expand([line.replace("{s}", "1")])))
            if plain.split()[0] not in ("WAIT", "BARE", "CLOSE"):
                try:
                    encode(plain)
                except (ValueError, KeyError, IndexError) as error:
                    raise ValueError(f"{case['file']}: {case['case']}: {line!r}: {error!r}") from None
        found.append(case)
    return found


if __name__ == "__main__":
    import peers
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(peers.PEERS)
    peers.compare(names)
