"""Settlement: other partners' windows and disputes, signatures of other things, the log, reports, many readers."""

import base64
import http.client
import json
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import requests

from by_hand_bodies import INVALID, JSON
from things import DECISION, OTHER, OWN, STRANGER, b64, canonical, jws
from wire import Answer, Wire, attempt

NOTHING, FORBIDDEN = "404 not_found", "403 forbidden"
NO_LINE = "lin_" + "0" * 32
READERS, READER_KIB, SLOWLY_S = 100, 4_096, 5
# How long others may wait for an answer while there are so many readers.
PROMPT_S = 2


def post(wire, path, body):
    return attempt(wire.send, "POST", path, json.dumps(body).encode(), [JSON])


def windows(hand):
    """A partner's window, read by another and by the operator"""
    things = hand.things
    window = things.window()["window_id"]
    own, stranger, ops = (Wire.of(hand.address, name) for name in (OWN, STRANGER, "ops"))
    place = f"/v1/settlements/{window}"
    proof = f"/proofs/{things.place()['conversion_id']}"
    for tail in ("", "/statement", "/lines", proof):
        for who in (OTHER, "operator", "nobody", "LUMEN", "..%2flumen", "%20lumen", ""):
            yield "a partner names another participant", NOTHING, attempt(
                own.send, "GET", f"{place}{tail}?participant={who}"
            )
            wanted = ["200", NOTHING, INVALID]
            yield "an operator names anybody", wanted, attempt(ops.send, "GET", f"{place}{tail}?participant={who}")
        yield "a partner names itself", "200", attempt(own.send, "GET", f"{place}{tail}?participant={OWN}")
        for query in (f"participant={OWN}&participant={OWN}", "participants=x", "format=json", "x", "participant[]=x"):
            # Lines have a format, but not that one.
            yield f"{tail[:6]}?{query[:30]}", INVALID, attempt(own.send, "GET", f"{place}{tail}?{query}")
    seen = attempt(stranger.send, "GET", place)
    told = json.loads(seen.content)
    leaks = [one for one in told["obligations"] if STRANGER not in (one["debtor"], one["creditor"])]
    yield "a partner sees the window and nothing of others", "200", f"leaks {leaks}" if leaks else seen
    yield "a proof of others' conversion", NOTHING, attempt(stranger.send, "GET", place + proof)
    text = attempt(stranger.send, "GET", f"{place}/lines")
    leaks = getattr(text, "status", 0) == 200 and OWN.encode() in text.content
    yield "lines of others", ["200", NOTHING], "lines of others" if leaks else text
    for one in ("ndjsonx", "NDJSON", "csv%20", "../csv", "", "csv&format=ndjson"):
        yield "a format nobody knows", INVALID, attempt(own.send, "GET", f"{place}/lines?format={one}")
    current = things.own.must("GET", "/v1/settlements?limit=1")["items"][0]
    for tail in ("/statement", "/lines", proof):
        answer = attempt(own.send, "GET", f"/v1/settlements/{current['window_id']}{tail}")
        yield "what an open window has not yet", NOTHING, answer
    for path in ("/v1/settlements", "/v1/disputes"):
        cursor = things.own.must("GET", f"{path}?limit=1")["next_cursor"]
        bad = ["", "!!!", "a=", "%00", "A" * 10_000, b64(b"9" * 30), b64(b"x"), b64(b"-1e9"), quote("' OR 1=1 --")]
        for one in [*bad, cursor + "A"]:
            yield "a cursor that is none", INVALID, attempt(own.send, "GET", f"{path}?cursor={one}")
        for query in ("limit=0", "limit=201", "limit=-1", "limit=1e1", "limit=1&limit=2", "limit[]=1", "page=1"):
            yield f"{path}?{query}", INVALID, attempt(own.send, "GET", f"{path}?{query}")
        yield "the cursor it gave", "200", attempt(own.send, "GET", f"{path}?cursor={cursor}")
    for number in (-1, 0, 2**63 - 1, -(2**63)):
        answer = attempt(own.send, "GET", f"/v1/settlements?cursor={b64(str(number).encode())}")
        yield "a cursor at the edge of numbers", "200", answer


def signatures(hand):
    """Counter-signatures that sign something else, or by somebody else"""
    things, own = hand.things, Wire.of(hand.address, OWN)
    window = things.window()["window_id"]
    path = f"/v1/settlements/{window}/signatures"
    document = things.own.must("GET", f"/v1/settlements/{window}/statement")
    others = things.other.must("GET", f"/v1/settlements/{window}/statement")
    good, key = things.counter_signature(), things.kept_key(things.own)
    spare = things.proof(things.own, "partner")
    things.own.must("POST", "/v1/signing-keys", spare[0])
    mine = (spare[1], spare[2])
    log = things.checkpoint()[0]
    ours = document["signatures"][0]
    tries = {
        "over another's statement": things.counter_signature(others["payload"], key=mine),
        "over another payload": things.counter_signature(b64(b"{}"), key=mine),
        "of another typ": things.counter_signature(key=mine, typ="proposal+jws"),
        "by a key nobody registered": things.counter_signature(key=things.proof(things.own, "partner")[1:]),
        "by another partner's key": things.counter_signature(key=things.kept_key(things.other)),
        "by the alliance's own key, again": ours,
        "of no bytes": {"protected": good["protected"], "signature": "AA"},
        "with another header": {"protected": b64(b'{"alg":"none"}'), "signature": good["signature"]},
        "with alg none": {
            "protected": b64(canonical({"alg": "none", "kid": mine[0], "typ": "settlement+jws"})),
            "signature": good["signature"],
        },
        "with one header member more": {
            "protected": b64(canonical({"alg": "EdDSA", "crit": ["x"], "kid": mine[0], "typ": "settlement+jws"})),
            "signature": good["signature"],
        },
        "with a kid that has a NUL": {
            "protected": b64(canonical({"alg": "EdDSA", "kid": "a\0b", "typ": "settlement+jws"})),
            "signature": good["signature"],
        },
        "with padding": {"protected": good["protected"], "signature": good["signature"] + "=="},
        "that is empty": {"protected": "", "signature": ""},
        "of a megabyte": {"protected": "A" * (1 << 20), "signature": "AA"},
        "with a member more": {**good, "header": {}},
        "without a signature": {"protected": good["protected"]},
    }
    for what, body in tries.items():
        yield f"a signature {what}", INVALID, post(own, path, body)
    yield "nothing was logged for these", "the same", "the same" if things.checkpoint()[0] == log else "another log"
    first = post(own, path, good)
    log = things.checkpoint()[0]
    for _ in range(3):
        again = post(own, path, good)
        same = getattr(again, "content", 0) == first.content
        yield "a signature that is replayed changes nothing", "201", again if same else f"another: {again.status} {again.content[:200]}"
    yield "nor does the log grow", "the same", "the same" if things.checkpoint()[0] == log else "another log"
    proposal, odd = things.proposal(), {"alg": "EdDSA", "kid": "a\0b", "typ": "proposal+jws"}
    approval = {"jws": jws(key[1], odd, proposal["canonical"].encode())}
    yield "an approval with a kid that has a NUL", INVALID, post(own, f"/v1/proposals/{proposal['id']}/approvals", approval)
    yield "one that signs twice over", INVALID, post(own, path, things.counter_signature(key=key) | {"signature": b64(b"x" * 64)})
    yield "a window that is open", NOTHING, post(
        own, f"/v1/settlements/{things.own.must('GET', '/v1/settlements?limit=1')['items'][0]['window_id']}/signatures", good
    )
    yield "another partner replays it", INVALID, post(Wire.of(hand.address, OTHER), path, good)
    yield "one without a statement replays it", [NOTHING, INVALID], post(Wire.of(hand.address, STRANGER), path, good)
    yield "the operator", FORBIDDEN, post(Wire.of(hand.address, "ops"), path, good)
    things.own.send("POST", f"/v1/signing-keys/{mine[0]}/retire")
    yield "by a key that is retired", INVALID, post(own, path, things.counter_signature(key=mine))
    # Both at once: each is in the document, and once.
    bodies = [things.counter_signature(client=things.other, key=things.kept_key(things.other))] * 8
    answers = at_once([lambda body=body: post(Wire.of(hand.address, OTHER), path, body) for body in bodies])
    for answer in answers:
        yield "eight at once of the same", "201", answer
    kids = [one["signature"] for one in things.other.must("GET", f"/v1/settlements/{window}/statement")["signatures"]]
    yield "and it stands there once", "1", str(kids.count(bodies[0]["signature"]))


def log(hand):
    """The log: cosignatures of other notes, sizes it never had"""
    things, own = hand.things, Wire.of(hand.address, OWN)
    path = "/checkpoint/cosignatures"
    note, text = things.checkpoint()
    origin, size, root = text.splitlines()
    smaller = f"{origin}\n{int(size) - 1}\n{root}\n"
    good = things.cosignature()
    others = things.cosignature(client=things.other)
    tries = {
        "of a smaller log": things.cosignature(smaller),
        "of another root": things.cosignature(f"{origin}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n"),
        "of another log": things.cosignature(f"other.example\n{size}\n{root}\n"),
        "under another name": things.cosignature(name=OTHER),
        "under the log's own name": things.cosignature(name=origin),
        "by another's key": {**good, "kid": others["kid"]},
        "of another's": others,
        "by a key nobody has": {**good, "kid": "A" * 43},
        "beyond all time": things.cosignature(at=2**63),
        "of two lines": {**good, "line": good["line"] + "\n" + good["line"]},
        "after a line": {**good, "line": "\n" + good["line"]},
        "with two ends": {**good, "line": good["line"] + "\n\n"},
        "with a carriage return": {**good, "line": good["line"] + "\r\n"},
        "with a space": {**good, "line": good["line"] + " "},
        "with a hyphen": {**good, "line": good["line"].replace("\u2014", "-")},
        "of nothing": {**good, "line": ""},
        "of 100,000 characters": {**good, "line": good["line"] + "A" * 100_000},
        "with NUL": {**good, "line": good["line"] + "\0"},
    }
    for what, body in tries.items():
        yield f"a cosignature {what}", INVALID, post(own, path, body)
    for who, wanted in ((OWN, INVALID), (OTHER, "201")):
        yield f"of another's, by {who}", wanted, post(Wire.of(hand.address, who), path, others)
    yield "with the end it has in a note", "201", post(own, path, {**good, "line": good["line"] + "\n"})
    yield "a replay", "201", post(own, path, good)
    yield "a later one of the same", "201", post(own, path, things.cosignature(at=int(time.time()) + 5))
    kept, _ = things.checkpoint()
    lines = kept[kept.index("\n\n") + 2 :].splitlines()
    form = all(line.startswith("\u2014 ") for line in lines) and kept.startswith(text + "\n")
    yield "the note is of its form yet", "a note", "a note" if form else repr(kept)
    yield "each partner stands in it once", "1", str(sum(line.startswith(f"\u2014 {OWN} ") for line in lines))
    yield "the operator", FORBIDDEN, post(Wire.of(hand.address, "ops"), path, good)

    def get(target):
        answer = requests.get(things.public + target, timeout=30, allow_redirects=False)
        return Answer(answer.status_code, answer.headers.items(), answer.content)

    n = int(size)
    for low, high, wanted in (
        (1, n, "200"),
        (n, n, "200"),
        (1, 1, "200"),
        (n, 1 if n > 1 else 0, NOTHING),
        (1, n + 1, NOTHING),
        (n + 1, n + 1, NOTHING),
        (2**63 - 1, 2**63 - 1, NOTHING),
        (0, n, [NOTHING, INVALID]),
        (-1, n, [NOTHING, INVALID]),
        (-(2**63), 2**63 - 1, [NOTHING, INVALID]),
        (2**63, n, INVALID),
        (10**40, n, INVALID),
        ("x", n, INVALID),
        ("1.0", n, INVALID),
        ("", n, INVALID),
    ):
        answer = get(f"/checkpoint/consistency?from={low}&to={high}")
        yield f"consistency from {str(low)[:20]} to {str(high)[:20]}", wanted, answer
    for query, wanted in (("", INVALID), ("?from=1&from=1", INVALID), ("?from=1&x=1", INVALID), ("?to=1", INVALID)):
        yield f"consistency{query}", wanted, get(f"/checkpoint/consistency{query}")
    for target in ("/v1/settlements", "/v1/reports/points", "/checkpoint/cosignatures", "/checkpoint/"):
        yield "what is not for everybody", NOTHING, get(target)


def disputes(hand):
    """Disputes of others' lines, and by whom they are not to be moved"""
    things = hand.things
    wires = {name: Wire.of(hand.address, name) for name in (OWN, OTHER, STRANGER, "ops", "two")}
    window = things.window()["window_id"]
    path = f"/v1/settlements/{window}/disputes"
    line = next(line for line in things.lines() if "conversion_id" in line)
    theirs = things.lines(things.other)[0]
    about = {"kind": "amount", "claimed_amount": "0.00", "note": "n"}
    for what, body, wanted in (
        ("another's line", {**about, "line_id": theirs["line_id"]}, NOTHING),
        ("a line of nothing", {**about, "line_id": NO_LINE}, NOTHING),
        ("a line that is no id", {**about, "line_id": "x"}, INVALID),
        ("a line and a reference", {**about, "line_id": line["line_id"], "external_reference": "x"}, INVALID),
        ("neither", about, INVALID),
        ("what the line says", {**about, "line_id": line["line_id"], "claimed_amount": line["amount"]}, [INVALID, "200"]),
        ("an amount beyond money", {**about, "line_id": line["line_id"], "claimed_amount": "9" * 13}, INVALID),
        ("an amount at its edge", {**things.missing(), "claimed_amount": "-100000000000.00"}, "201"),
        ("an amount beyond its edge", {**things.missing(), "claimed_amount": "-100000000000.000001"}, INVALID),
        ("points beyond numbers", {**things.missing(), "claimed_points": 2**53}, INVALID),
        ("points at their edge", {**about, "line_id": line["line_id"], "claimed_points": -(2**53) + 1}, [INVALID, "200", "201"]),
        ("points at both edges", {"kind": "rate", "note": "n", "line_id": line["line_id"], "claimed_points": 2**53 - 1}, [INVALID, "200", "201"]),
        ("missing at itself", things.missing(OWN), INVALID),
        ("missing at nobody", things.missing("nobody"), INVALID),
        ("a note of 501", {**things.missing(), "note": "a" * 501}, INVALID),
        ("a note with a newline", {**things.missing(), "note": "a\nb"}, INVALID),
        ("a member more", {**things.missing(), "state": "decided"}, INVALID),
        ("an amount with an exponent", {**things.missing(), "claimed_amount": "1e3"}, INVALID),
        ("an amount that is a number", {**things.missing(), "claimed_amount": 1}, INVALID),
    ):
        yield f"disputes {what}", wanted, post(wires[OWN], path, body)
    # Others' may be told from nothing by neither answer.
    for one in (theirs["line_id"], NO_LINE):
        yield "a line of others is as one of nothing", NOTHING, post(wires[OWN], path, {**about, "line_id": one})
    body = things.missing()
    answers = at_once([lambda: post(wires[OWN], path, body)] * 8)
    ids = {answer.json().get("dispute_id") for answer in answers}
    yield "eight at once are one dispute", "1", str(len(ids))
    yield "by an operator", FORBIDDEN, post(wires["ops"], path, body)
    answer, decided = {"answer": "accepted", "note": "n"}, dict(DECISION)
    one = things.dispute()
    place = f"/v1/disputes/{one}"
    for who, wanted in ((OWN, FORBIDDEN), ("ops", FORBIDDEN), (STRANGER, NOTHING), (OTHER, "200")):
        yield f"answered by {who}", wanted, post(wires[who], f"{place}/answers", answer)
    yield "answered otherwise", "409 stale", post(wires[OTHER], f"{place}/answers", {**answer, "answer": "rejected"})
    for who, wanted in ((OTHER, FORBIDDEN), (STRANGER, NOTHING), ("ops", FORBIDDEN)):
        yield f"withdrawn by {who}", wanted, post(wires[who], f"{place}/withdrawal", {})
    for who in (OWN, OTHER, STRANGER):
        yield "decided by a partner", FORBIDDEN, post(wires[who], f"{place}/decision", decided)
        yield "a decision taken back by a partner", FORBIDDEN, attempt(wires[who].send, "DELETE", f"{place}/decision")
    upheld = {"outcome": "upheld", "amount": "0.40", "reason": "r"}
    for amount in ("1.000001", "-0.01", "999999999999", "0.0000001", "NaN", "", "1,0", "+1", "٣"):
        yield "an award beyond the claim, or none", INVALID, post(wires["ops"], f"{place}/decision", {**upheld, "amount": amount})
    yield "the first operator", "200", post(wires["ops"], f"{place}/decision", upheld)
    again = post(wires["ops"], f"{place}/decision", upheld)
    yield "one operator twice is not two", "answered", again.json().get("state", again.status)
    yield "the second says otherwise", "409 stale", post(wires["two"], f"{place}/decision", decided)
    answers = at_once([lambda: post(wires["two"], f"{place}/decision", upheld)] * 8)
    for one in answers:
        yield "the second, eight at once", "200", one
    yield "a decision that is made, taken back", "409 stale", attempt(wires["ops"].send, "DELETE", f"{place}/decision")
    yield "what is decided, withdrawn", "409 stale", post(wires[OWN], f"{place}/withdrawal", {})
    fresh_one = things.dispute()
    yield "decided before it is answered", "409 stale", post(wires["ops"], f"/v1/disputes/{fresh_one}/decision", decided)
    yield "withdrawn", "200", post(wires[OWN], f"/v1/disputes/{fresh_one}/withdrawal", {})
    yield "withdrawn, then answered", "409 stale", post(wires[OTHER], f"/v1/disputes/{fresh_one}/answers", answer)
    listed = things.stranger.must("GET", "/v1/disputes")["items"]
    yield "a stranger's list", "0", str(len(listed))
    for query in ("state=gone", "state=", "state=open&state=open", "opener=lumen", "state=open%00"):
        yield f"disputes?{query}", INVALID, attempt(wires[OWN].send, "GET", f"/v1/disputes?{query}")


def reports(hand):
    """Reports: others', the operator's, odd sections"""
    own, ops, number = Wire.of(hand.address, OWN), Wire.of(hand.address, "ops"), hand.things.window()["number"]
    base = f"/v1/reports/statement?window={number}"
    yield "the operator's own", FORBIDDEN, attempt(own.send, "GET", f"/v1/reports/summary?window={number}")
    yield "the operator's own, by itself named", FORBIDDEN, attempt(
        own.send, "GET", f"/v1/reports/summary?window={number}&participant={OWN}"
    )
    for who in (OTHER, "operator", "nobody", "Lumen", "lumen%20", ""):
        for name in ("statement", "journal", "exposures", "liability"):
            answer = attempt(own.send, "GET", f"/v1/reports/{name}?window={number}&participant={who}")
            yield "another participant", NOTHING, answer
    for name in ("..", "../disputes", "..%2f..%2fetc%2fpasswd", "statement.csv", "STATEMENT", "%00", "a" * 5000, "%20"):
        yield "a report nobody has", [NOTHING, "400 malformed"], attempt(own.send, "GET", f"/v1/reports/{name}?window={number}")
    for section in ("../..", "..%2f..%2fetc%2fpasswd", "lines%00", "", "a" * 5000, "%2e%2e", "lines;rm", "lines%0d%0ax:%20y"):
        for form in ("csv", "json", "xlsx", "html"):
            answer = attempt(own.send, "GET", f"{base}&format={form}&section={section}")
            yield "a section nobody has", [NOTHING, INVALID], answer
    for query in ("format=pdf", "format=", "format=csv&format=json", "x=1", "format=csv%00"):
        yield f"statement?{query}", INVALID, attempt(own.send, "GET", f"{base}&{query}")
    for window in (0, -1, 2**63 - 1, -(2**63), "win_" + "0" * 32):
        answer = attempt(own.send, "GET", f"/v1/reports/statement?window={window}")
        yield "a window that never was", [NOTHING, INVALID], answer
    for window in (2**63, 10**30, "x", "1.0", "", "1e1", "win_" + "0" * 31):
        yield "a window that is no number", INVALID, attempt(own.send, "GET", f"/v1/reports/statement?window={window}")
    yield "no window", INVALID, attempt(own.send, "GET", "/v1/reports/statement")
    current = hand.things.own.must("GET", "/v1/settlements?limit=1")["items"][0]["number"]
    for name in ("statement", "pairs", "journal", "invoices"):
        answer = attempt(own.send, "GET", f"/v1/reports/{name}?window={current}")
        yield "of the window that is open", NOTHING, answer
        answer = attempt(ops.send, "GET", f"/v1/reports/{name}?window={current}&participant={OWN}")
        yield "of the window that is open, by an operator", INVALID, answer
    answers = at_once([lambda: attempt(own.send, "GET", f"{base}&format=xlsx")] * 40)
    for answer in answers:
        yield "forty at once", ["200", "503 busy", "503 queue_full"], answer


def readers(hand):
    """A hundred who read lines slowly, and others beside them"""
    things = hand.things
    window = things.window()["window_id"]
    head = f"GET /v1/settlements/{window}/lines HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    wire, slow_ones, before = Wire.of(hand.address, STRANGER), [], memory(hand)
    whole = len(attempt(wire.send, "GET", f"/v1/settlements/{window}/lines").content)
    for _ in range(READERS):
        connection = wire.open()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(head)
        slow_ones.append(connection)
    slowest, until = 0.0, time.monotonic() + SLOWLY_S
    while time.monotonic() < until:
        began = time.monotonic()
        answer = post(
            Wire.of(hand.address, OWN),
            "/v1/quotes",
            {"member_ref": things.ready_pair()[0], "to": OTHER, "points": 20},
        )
        slowest = max(slowest, time.monotonic() - began)
        yield "others are answered meanwhile", "201", answer
    yield f"within {PROMPT_S} s", "so", "so" if slowest < PROMPT_S else f"{slowest:.1f} s"
    more = memory(hand) - before
    most = READERS * READER_KIB
    yield f"each takes at most {READER_KIB} KiB", "so", "so" if more < most else f"{more // READERS} KiB each of {whole}"
    for connection in slow_ones[READERS // 20 :]:
        connection.close()
    for connection in slow_ones[: READERS // 20]:
        connection.settimeout(30)
        got = http.client.HTTPResponse(connection)
        got.begin()
        yield "who reads on has it whole", str(whole), str(len(got.read()))
        connection.close()


def memory(hand):
    """What the server has in memory, in KiB."""
    status = Path(f"/proc/{hand.exchange.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def at_once(calls):
    """The answers of calls made at the same time."""
    answers = [None] * len(calls)

    def call(place):
        answers[place] = calls[place]()

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
