"""Lists that partners bring: broken, endless, packed, cut off, slow; and other partners' reconciliations."""

import gzip
import json
import time
from urllib.parse import quote

from by_hand_bodies import INVALID, MALFORMED
from by_hand_settlement import FORBIDDEN, NOTHING, at_once
from exchange import fresh
from things import OTHER, OWN, STRANGER
from wire import Wire, attempt

CSV, NDJSON = ("content-type", "text/csv"), ("content-type", "application/x-ndjson")
HEADING = b"external_reference,amount\r\n"
ROW = b"x,-1.00\r\n"
UNREAD = [INVALID, MALFORMED]


def broken(hand):
    """Lists that cannot be read"""
    wire, path = Wire.of(hand.address, OWN), place(hand)
    lists = {
        "nothing": (b"", INVALID),
        "a heading alone": (HEADING, ["201", "200"]),
        "zero bytes": (b"\0" * 70_000, UNREAD),
        "a zero in a cell": (HEADING + b"a\0b,-1.00\r\n", UNREAD),
        "UTF-16": ((HEADING + ROW).decode().encode("utf-16"), UNREAD),
        "Latin-1": (HEADING + "é,-1.00\r\n".encode("latin-1"), MALFORMED),
        "a surrogate": (HEADING + b"\xed\xa0\x80,-1.00\r\n", MALFORMED),
        "a byte order mark": (b"\xef\xbb\xbf" + HEADING + ROW, ["201", "200"]),
        "gzip": (gzip.compress(HEADING + ROW), UNREAD),
        "random bytes": (bytes(range(256)) * 300, UNREAD),
        "a cell that is never closed": (HEADING + b'"' + b"a" * 100_000, MALFORMED),
        "an endless row": (HEADING + b"a" * 3_000_000, MALFORMED),
        "an endless heading": (b"a" * 3_000_000, UNREAD),
        "endless commas": (b"," * 3_000_000, UNREAD),
        "nothing but ends of lines": (b"\n" * 3_000_000, UNREAD),
        "a cell too many": (HEADING + b"x,-1.00,y\r\n", INVALID),
        "a cell too few": (HEADING + b"x\r\n", INVALID),
        "a column twice": (b"amount,amount,external_reference\r\n1,1,x\r\n", INVALID),
        "a column nobody knows": (b"external_reference,amount,<script>\r\nx,1,y\r\n", INVALID),
        "300 columns": (b",".join(b"c%d" % n for n in range(300)) + b"\r\n", INVALID),
        "a control character": (HEADING + b"a\x1bb,1\r\n", INVALID),
        "a reference of 129": (HEADING + b"a" * 129 + b",1\r\n", INVALID),
        "a million faults": (HEADING + b"x,y\r\n" * 1_000_000, INVALID),
    }
    for amount in ("1e3", "NaN", "--1", "1,0", "0x1", "9" * 30, "0." + "1" * 30, "", " ", "1.", "-", "٣", "=1+1"):
        wanted = [INVALID, "200", "201"] if not amount.strip() else INVALID
        lists[f"the amount {amount[:6]!r}"] = (HEADING + f'"{fresh("r")}","{amount}"\r\n'.encode(), wanted)
    for what, (body, wanted) in lists.items():
        yield f"a list with {what}", wanted, attempt(wire.send, "POST", path, body, [CSV])
    row = b'{"external_reference":"x","amount":%s}\n'
    objects = {
        "nothing": (b"", ["200", "201"]),
        "zero bytes": (b"\0" * 70_000, MALFORMED),
        "an array": (b"[1]\n", MALFORMED),
        "two objects a line": (b"{}{}\n", MALFORMED),
        "half an object": (b'{"amount":', MALFORMED),
        "a member twice": (b'{"external_reference":"x","amount":"1","amount":"2"}\n', INVALID),
        "a member twice, one escaped": (b'{"external_reference":"x","amount":"1","\\u0061mount":"2"}\n', INVALID),
        "a lone surrogate": (b'{"external_reference":"\\ud800","amount":"1"}\n', UNREAD),
        "a surrogate in a name": (b'{"\\ud800":"x","amount":"1"}\n', UNREAD),
        "NUL escaped": (b'{"external_reference":"\\u0000","amount":"1"}\n', INVALID),
        "arrays 30,000 deep": (row % (b"[" * 30_000 + b"]" * 30_000), UNREAD),
        "objects 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, UNREAD),
        "an endless line": (b'{"amount":"' + b"1" * 3_000_000, MALFORMED),
        "an empty object": (b"{}\n", INVALID),
        "a million empty lines": (b"\n" * 1_000_000, ["200", "201"]),
        "a number of 400 digits": (row % (b"9" * 400), INVALID),
        "an exponent": (row % b"1e3", INVALID),
        "a truth": (row % b"true", INVALID),
        "a list packed in gzip": (gzip.compress(row % b"1"), MALFORMED),
        "Latin-1": (b'{"external_reference":"\xe9","amount":"1"}\n', MALFORMED),
    }
    for what, (body, wanted) in objects.items():
        yield f"lines with {what}", wanted, attempt(wire.send, "POST", path, body, [NDJSON])
    for text in ("x", "x:y", "a:amount", "a:external_reference,b:external_reference,c:amount", ",", ":", "a" * 1025, "a:external_reference,b:amount,c:payable"):
        yield "a map that is none", INVALID, attempt(wire.send, "POST", f"{path}?map={quote(text)}", HEADING + ROW, [CSV])
    for query in ("maps=x", "map=x&map=y", "map=%00", "limit=1"):
        yield f"reconciliations?{query}", INVALID, attempt(wire.send, "POST", f"{path}?{query}", HEADING + ROW, [CSV])


def carried(hand):
    """Lists that come in an odd way"""
    wire, path = Wire.of(hand.address, OWN), place(hand)
    unsupported = "415 unsupported_media_type"
    for kind in (
        None,
        "application/json",
        "text/plain",
        "text/csv; charset=latin1",
        "text/csv; charset=utf-16",
        "text/csvx",
        "application/ndjson",
        "multipart/form-data; boundary=x",
        "application/gzip",
    ):
        headers = [("content-type", kind)] if kind else []
        yield f"the type {kind}", unsupported, attempt(wire.send, "POST", path, HEADING + ROW, headers)
    for kind in ("text/csv; charset=utf-8", 'TEXT/CSV; charset="UTF-8"', "text/csv; header=present"):
        yield f"the type {kind}", ["200", "201"], attempt(wire.send, "POST", path, HEADING + ROW, [("content-type", kind)])
    for packing in ("gzip", "deflate", "br", "identity, gzip", "x"):
        packed = [CSV, ("content-encoding", packing)]
        yield f"packed with {packing}", unsupported, attempt(wire.send, "POST", path, gzip.compress(HEADING + ROW), packed)
    for length in (2**30 + 1, 2**63):
        answer = attempt(wire.send, "POST", path, None, [CSV, ("content-length", str(length))])
        yield f"a length of {length}", ["413 too_large", "400", "closed"], answer
    twice = [attempt(wire.send, "POST", path, HEADING + b"twice,1\r\n", [CSV]) for _ in range(2)]
    ids = {one.json()["reconciliation_id"] for one in twice}
    yield "the same list again is the same reconciliation", "1", str(len(ids))
    chunked = head(path, b"transfer-encoding: chunked")
    whole = HEADING + f"{fresh('r')},1\r\n".encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in whole) + b"0\r\n\r\n"
    yield "a byte a chunk", "201", attempt(wire.exchange, chunked + pieces)
    yield "chunks of a wrong length", [MALFORMED, "400", "closed"], attempt(wire.exchange, chunked + b"zz\r\nabc")
    cut_off = HEADING + f"{fresh('cut')},1\r\n".encode()
    chunk = b"%x\r\n%s\r\n" % (len(cut_off), cut_off)
    for cut in (head(path, b"content-length: 1000") + cut_off, chunked + chunk):
        for _ in range(5):
            connection = wire.open()
            connection.sendall(cut)
            time.sleep(0.05)
            connection.close()
    # What was cut off is no list, and gives its turn back.
    began = time.monotonic()
    answer = attempt(wire.send, "POST", path, whole + b"y,1\r\n", [CSV])
    yield "after ten that were cut off", "201", answer
    took = time.monotonic() - began
    yield "at once", "so", "so" if took < 5 else f"{took:.1f} s"
    # Its digest would be known, and the answer 200.
    yield "what was cut off was not taken", "201", attempt(wire.send, "POST", path, cut_off, [CSV])
    answers = at_once([lambda: attempt(wire.send, "POST", path, HEADING + ROW + b"z,1\r\n", [CSV])] * 12)
    for one in answers:
        yield "twelve at once of the same", ["200", "201"], one
    ids = {one.json().get("reconciliation_id") for one in answers}
    yield "are one", "1", str(len(ids))


def slow(hand):
    """A list that comes slowly holds up neither its sender's other requests nor another partner's list"""
    wire, other, path = Wire.of(hand.address, OWN), Wire.of(hand.address, OTHER), place(hand)
    held = []
    for _ in range(30):
        connection = wire.open()
        connection.sendall(head(path, b"content-length: 1000000") + HEADING)
        held.append(connection)
    time.sleep(0.5)
    for _ in range(20):
        yield "its sender reads meanwhile", "200", attempt(wire.send, "GET", "/v1/settlements")
    answer = attempt(other.send, "POST", path, HEADING + f"{fresh('r')},1\r\n".encode(), [CSV])
    yield "another partner's list", "201", answer
    # Another one brings its list as slowly.
    connection = other.open()
    connection.sendall(head(path, b"content-length: 1000000") + HEADING)
    held.append(connection)
    third = Wire.of(hand.address, STRANGER)
    answer = attempt(third.send, "POST", path, HEADING + f"{fresh('r')},1\r\n".encode(), [CSV])
    # Two are taken at once.
    yield "a third partner's list, beside two slow ones", ["201", "503 queue_full"], answer
    for connection in held:
        connection.close()
    answer = attempt(wire.send, "POST", path, HEADING + f"{fresh('r')},1\r\n".encode(), [CSV])
    yield "and then its own", "201", answer


def foreign(hand):
    """Reconciliations of another partner, or of another window"""
    things = hand.things
    made = things.reconciliation()
    wires = {name: Wire.of(hand.address, name) for name in (OWN, OTHER, STRANGER, "ops")}
    one = f"/v1/settlements/{made['window']}/reconciliations/{made['id']}"
    open_one = things.own.must("GET", "/v1/settlements?limit=1")["items"][0]["window_id"]
    elsewhere = one.replace(made["window"], open_one)
    nobody = one.replace(made["id"], "rec_" + "0" * 32)
    for who, wanted in ((OTHER, NOTHING), (STRANGER, NOTHING), ("ops", FORBIDDEN)):
        for method, tail in (("GET", ""), ("GET", "/differences"), ("POST", "/disputes")):
            for path in (one, elsewhere, nobody):
                yield f"by {who}", wanted, attempt(wires[who].send, method, path + tail)
        yield f"a list by {who}", ["201", "200", NOTHING] if who != "ops" else FORBIDDEN, attempt(
            wires[who].send, "POST", one.rpartition("/")[0], HEADING + ROW, [CSV]
        )
    for path in (elsewhere, nobody, one + "x", one.replace("rec_", "dis_")):
        for method, tail in (("GET", ""), ("GET", "/differences"), ("POST", "/disputes")):
            yield "by its own partner, elsewhere", NOTHING, attempt(wires[OWN].send, method, path + tail)
    yield "a list of the open window", NOTHING, attempt(
        wires[OWN].send, "POST", f"/v1/settlements/{open_one}/reconciliations", HEADING + ROW, [CSV]
    )
    for form in ("xml", "", "CSV", "..%2fcsv", "csv&format=csv"):
        yield "a format nobody knows", INVALID, attempt(wires[OWN].send, "GET", f"{one}/differences?format={form}")
    formula = HEADING + b'"=cmd|\' /C calc\'!A0",-1.00\r\n'
    made = attempt(wires[OWN].send, "POST", one.rpartition("/")[0], formula, [CSV]).json()["reconciliation_id"]
    table = attempt(wires[OWN].send, "GET", f"{one.rpartition('/')[0]}/{made}/differences?format=csv")
    cells = table.content.decode().replace("\r\n", ",").split(",")
    bad = [cell for cell in cells if cell.strip('"')[:1] in ("=", "+", "@")]
    yield "a formula of the list in a table", "200", f"formulas {bad}" if bad else table
    answers = at_once([lambda: attempt(wires[OWN].send, "POST", one + "/disputes")] * 6)
    for answer in answers:
        yield "six at once turn what differs into disputes", "200", answer
    done = attempt(wires[OWN].send, "GET", one).json()
    handled, count = done["disputes"], done["differences"]
    summed = handled["opened"] + handled["known"] + handled["skipped"]
    yield "each difference once", "so", "so" if (summed, handled["left"]) == (count, 0) else json.dumps(handled)


def place(hand):
    return f"/v1/settlements/{hand.things.window()['window_id']}/reconciliations"


def head(path, *more):
    lines = [b"POST " + path.encode() + b" HTTP/1.1", b"host: localhost", b"content-type: text/csv", *more]
    return b"\r\n".join(lines) + b"\r\n\r\n"
