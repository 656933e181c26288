"""Bodies: numbers, texts, forms, media types, keys, batches."""

import json

from exchange import Client, fresh
from things import CONSENT, OTHER, OWN
from wire import Wire, attempt

JSON = ("content-type", "application/json")
INVALID, MALFORMED = "422 invalid", "400 malformed"


def keyed(*more):
    return [JSON, ("idempotency-key", fresh("key")), *more]


# What is said by the address alone.
BODILESS = ("/undo", "/confirmation", "/erasures", "/retire", "/withdrawal", "/reconciliations/{id}/disputes")
BODILESS += ("/test", "/resend", "/passes")
OF_BENEFITS = {
    "POST /v1/benefits/{id}/approvals": {"version": 1},
    "POST /v1/benefits/{id}/codes": {"codes": ["CODE-1"]},
    "POST /v1/benefits/{id}/claims": {"member_ref": "x"},
    "PUT /v1/tier-maps/{brand}": {"tiers": {}},
    "POST /v1/vouchers/{code}/cancellations": {"reason": "r"},
    "POST /v1/vouchers/{code}/redemptions": {"store": "s", "external_reference": "x"},
    "POST /v1/redemptions/{id}/reversals": {"reason": "r"},
}
# Nothing of any name in an address.
NOWHERE = {"{id}": "cnv_" + "0" * 32, "{member_ref}": "x", "{kid}": "x", "{code}": "x", "{brand}": "nowhere"}
# For who has no certificate yet: on the plain listener, and on no other.
ENROLMENTS = "/v1/enrolments"


def body_of(label):
    """A body that would have its effect, were the thing in the address the caller's; `None` where there is no such."""
    if label in ("PUT /v1/memberships/{member_ref}", "PUT /v1/benefits/{id}"):
        return None
    if label.startswith("DELETE ") or label.endswith(BODILESS):
        return {}
    if label.endswith("/activities"):
        return {"type": "visit", "occurred_at": "2026-01-05T08:00:00Z", "external_reference": fresh("ref")}
    if label in OF_BENEFITS:
        return OF_BENEFITS[label]
    if label.endswith("/approvals"):
        return {"jws": "e30.e30.e30"}
    if label.endswith("/disputes"):
        return {"kind": "missing", "counterparty": OTHER, "claimed_amount": "1", "note": "n", "external_reference": "x"}
    if label.endswith("/liabilities"):
        return {"points": 1, "as_of": "2026-01-05"}
    if label.endswith("/answers"):
        return {"answer": "accepted", "note": "n"}
    if label == "POST /v1/disputes/{id}/decision":
        return {"outcome": "rejected", "reason": "r"}
    if label == "POST /v1/conversions/{id}/resolution":
        return {"outcome": "released", "reason": "r"}
    if label == "PUT /v1/webhooks/{id}":
        return {"url": "https://hooks.example/hanse", "types": None, "state": "suspended"}
    if label.endswith("/secret-rotations"):
        return {"overlap_hours": 0}
    if label.endswith("/recover"):
        return {"since": "2026-01-05T08:00:00Z"}
    points = "credit_points" if label == "POST /v1/conversions/{id}/reversals" else "points"
    return {points: 1, "reason": "r", "external_reference": fresh("ref")}


def nowhere(path):
    for name, value in NOWHERE.items():
        path = path.replace(name, value)
    return path


def number_places(hand):
    """Every place where a body has a number: route and body with `@` for it."""
    things = hand.things
    own, _, _ = things.ready_pair()
    conversion, credit = things.conversion()["conversion_id"], things.credit(things.member())
    member = json.dumps(own)
    tail = '"reason":"r","external_reference":"' + fresh("ref") + '"'
    return [
        ("POST", f"/v1/memberships/{own}/credits", f'{{"points":@,{tail}}}'),
        ("POST", f"/v1/memberships/{own}/debits", f'{{"points":@,{tail}}}'),
        ("POST", f"/v1/credits/{credit}/reversals", f'{{"points":@,{tail}}}'),
        ("POST", f"/v1/conversions/{conversion}/reversals", f'{{"credit_points":@,{tail}}}'),
        ("POST", "/v1/quotes", f'{{"member_ref":{member},"to":"{OTHER}","points":@}}'),
        ("POST", "/v1/quotes", f'{{"member_ref":{member},"to":"{OTHER}","credit_points":@}}'),
        ("POST", "/v1/conversions", f'{{"member_ref":{member},"to":"{OTHER}","points":@}}'),
        (
            "POST",
            "/v1/conversions",
            f'{{"member_ref":{member},"to":"{OTHER}","points":2,"min_total_credit_points":@}}',
        ),
        ("PUT", f"/v1/memberships/{own}", '{"tier":"ordinary","status":"active","birth_month":@}'),
        ("POST", "/v1/webhooks", '{"url":"https://hooks.example/","from_sequence":@}'),
        ("POST", f"/v1/webhooks/{things.webhook()}/secret-rotations", '{"overlap_hours":@}'),
        ("POST", f"/v1/benefits/{things.paid_benefit()['benefit_id']}/approvals", '{"version":@}'),
        ("POST", f"/v1/benefits/{things.claimable()}/claims", f'{{"member_ref":{member},"version":@}}'),
        *(("PUT", f"/v1/benefits/{fresh('fuzz')}", document) for document in benefit_numbers(things)),
    ]


def benefit_numbers(things):
    """A benefit with a number in each of the places that have one."""
    made = json.dumps(things.benefit_body(quota="@", offers=["%"]))
    offers = ['{"to":"lumen","points":@}', '{"to":"lumen","link_days":@}']
    offers += ['{"to":"lumen","per_member":{"count":@,"period":"day"}}']
    whole = [made.replace('"%"', '{"to":"lumen"}')] + [made.replace('"@"', "1").replace('"%"', one) for one in offers]
    return [one.replace('"@"', "@") for one in whole] + [whole[0].replace('"quota": "@"', '"uses":@').replace('"uses": 2, ', "")]


def numbers(hand):
    """Numbers that are none of ours, wherever a body has one"""
    wire, places = Wire.of(hand.address, OWN), number_places(hand)
    not_json = ["01", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-", "1e", "1_000", "１"]
    no_number_of_ours = [
        "1e3",
        "1E0",
        "-0",
        "1.0",
        "0.1",
        "9007199254740992",
        str(2**63),
        str(-(2**63)),
        "9" * 29,
        "-1",
        "1e400",
        "-9007199254740992",
        "9" * 5000,
        '"1"',
        "true",
        "[]",
        "[1]",
        "{}",
    ]
    for wanted, literals in ((MALFORMED, not_json), (INVALID, no_number_of_ours)):
        for literal in literals:
            for method, path, body in places:
                shown = literal if len(literal) < 30 else f"{literal[:3]}… ({len(literal)} digits)"
                body = body.replace("@", literal).encode()
                yield f"a number written {shown}", wanted, attempt(wire.send, method, path, body, keyed())
    for member, wanted in (
        (hand.things.member(points=0), "201"),
        (hand.things.member(points=1), "422 limit_exceeded"),
    ):
        body = json.dumps({"points": 2**53 - 1, "reason": "r", "external_reference": fresh("ref")}).encode()
        answer = attempt(wire.send, "POST", f"/v1/memberships/{member}/credits", body, keyed())
        yield f"2^53 - 1 points on {'none' if wanted == '201' else 'one'}", wanted, answer


def amounts(hand):
    """Amounts at the edge of what a number holds, from brands without limits"""
    things = hand.things
    nest, refused = Client(hand.address, "nest"), ["422 above_maximum", "422 exposure_exceeded", "422 not_a_multiple"]
    for asking, to in ((things.other, things.own), (things.other, nest), (things.stranger, nest)):
        ref = things.rich(asking, to, 2**53 - 1)
        wire = Wire.of(hand.address, asking.name)
        wants = [("points", 2**53 - 1), ("credit_points", 2**53 - 1), ("credit_points", 2**53 - 8), ("points", 10**15)]
        for field, points in (*wants, ("points", 10**12), ("points", 10**11)):
            for path in ("/v1/quotes", "/v1/conversions"):
                body = json.dumps({"member_ref": ref, "to": to.name, field: points}).encode()
                wanted = "201" if points == 10**11 else refused
                yield f"{points} {field} at once", wanted, attempt(wire.send, "POST", path, body, keyed())


def text_places(hand):
    """Places where a body has a text, with `@` for its JSON literal."""
    things = hand.things
    ref, other = things.member(), json.dumps(things.member())
    consent = json.dumps(CONSENT).replace('"app"', "@")
    return [
        ("POST", f"/v1/memberships/{ref}/credits", '{"points":1,"reason":@,"external_reference":"r"}'),
        ("POST", f"/v1/memberships/{ref}/debits", '{"points":1,"reason":"r","external_reference":@}'),
        ("PUT", f"/v1/memberships/{ref}", '{"tier":"ordinary","status":"active","status_reason":@}'),
        (
            "POST",
            f"/v1/memberships/{ref}/activities",
            '{"type":"a","occurred_at":"2026-01-05T08:00:00Z","store":@,"external_reference":"r"}',
        ),
        ("POST", "/v1/quotes", f'{{"member_ref":@,"to":"{OTHER}","points":2}}'),
        ("POST", "/v1/conversions", f'{{"member_ref":@,"to":"{OTHER}","points":2}}'),
        ("POST", "/v1/links", f'{{"member_ref":{other},"to":"{OTHER}","consent":{consent}}}'),
        ("POST", "/v1/webhooks", '{"url":@}'),
        ("POST", "/v1/webhooks", '{"url":"https://hooks.example/","types":[@]}'),
        ("POST", f"/v1/webhooks/{things.webhook()}/recover", '{"since":@}'),
        ("POST", "/v1/certificates", '{"csr":@}'),
        ("PUT", f"/v1/benefits/{fresh('fuzz')}", json.dumps(things.benefit_body(kind="@")).replace('"@"', "@")),
        ("POST", f"/v1/benefits/{things.pool()}/codes", '{"codes":[@]}'),
        ("POST", f"/v1/benefits/{things.claimable()}/claims", '{"member_ref":@}'),
        ("POST", "/v1/vouchers/7Q2K-M0XR-4D9V-81BT/redemptions", '{"store":@,"external_reference":"r"}'),
        ("PUT", "/v1/tier-maps/harvest", '{"tiers":{"l1":@}}'),
        ("POST", "/v1/member-sessions", '{"member_ref":@}'),
    ]


def texts(hand):
    """Texts that PostgreSQL or a reader would choke on"""
    wire, places = Wire.of(hand.address, OWN), text_places(hand)
    texts = {
        "NUL escaped": (b'"a\\u0000b"', INVALID),
        "NUL as it is": (b'"a\0b"', MALFORMED),
        "a newline as it is": (b'"a\nb"', MALFORMED),
        "a newline escaped": (b'"a\\nb"', INVALID),
        "DEL": (b'"a\\u007fb"', INVALID),
        "a C1 control": (b'"a\\u0085b"', INVALID),
        "a lone high surrogate": (b'"a\\ud800b"', MALFORMED),
        "a lone low surrogate": (b'"a\\udc00b"', MALFORMED),
        "surrogates the wrong way round": (b'"\\udc00\\ud800"', MALFORMED),
        "a surrogate in UTF-8": (b'"\xed\xa0\x80"', MALFORMED),
        "invalid UTF-8": (b'"\xff\xfe"', MALFORMED),
        "overlong UTF-8": (b'"\xc0\xaf"', MALFORMED),
        "an escape nobody knows": (b'"\\x41"', MALFORMED),
        "empty": (b'""', INVALID),
        "129 characters": (b'"' + b"a" * 129 + b'"', INVALID),
        "129 characters of three bytes": (('"' + "积" * 129 + '"').encode(), INVALID),
        "half a megabyte": (b'"' + b"a" * (1 << 19) + b'"', INVALID),
        "a number": (b"7", INVALID),
        "an object": (b"{}", INVALID),
    }
    for what, (literal, wanted) in texts.items():
        for method, path, body in places:
            body = body.encode().replace(b"@", literal)
            yield f"a text with {what}" if "a" in what else what, wanted, attempt(
                wire.send, method, path, body, keyed()
            )
    for what, text in {
        "128 of three bytes": "积" * 128,
        "bidi and joiners": "a\u202eb\u200d",
        "an astral character": "😀",
    }.items():
        path = f"/v1/memberships/{hand.things.member()}/credits"
        body = json.dumps({"points": 1, "reason": text, "external_reference": fresh("ref")}).encode()
        answer = attempt(wire.send, "POST", path, body, keyed())
        came_back = getattr(answer, "status", 0) == 201 and answer.json()["reason"] == text
        yield f"a text of {what} comes back as it was", "201", answer if came_back else "another text"


def forms(hand):
    """Bodies that are not one plain object"""
    wire, path = Wire.of(hand.address, OWN), f"/v1/memberships/{hand.things.member()}/credits"
    good = '"points":1,"reason":"r","external_reference":"x"'
    deep = 10_000
    tries = {
        "duplicate keys": ('{"points":1,' + good + "}", MALFORMED),
        "duplicate keys, one escaped": ('{"po\\u0069nts":1,' + good + "}", MALFORMED),
        "arrays 10,000 deep": ("[" * deep + "]" * deep, MALFORMED),
        "objects 10,000 deep": ('{"a":' * deep + "1" + "}" * deep, MALFORMED),
        "a field 10,000 deep": ('{"x":' + "[" * deep + "]" * deep + "," + good + "}", MALFORMED),
        "arrays 10,000 deep, never closed": ("[" * deep, MALFORMED),
        "a thousand unknown fields": (
            "{" + "".join(f'"f{n}":1,' for n in range(1000)) + good + "}",
            [MALFORMED, INVALID],
        ),
        "an unknown field": ('{"pionts":1,' + good + "}", INVALID),
        "a missing field": ('{"points":1}', INVALID),
        "null for a required field": ('{"points":null,"reason":"r","external_reference":"x"}', INVALID),
        "an array of the fields in order": ('[1,null,"r","x",null,null]', INVALID),
        "a number": ("7", INVALID),
        "a text": ('"x"', INVALID),
        "null": ("null", INVALID),
        "nothing": ("", MALFORMED),
        "spaces": ("  \n ", MALFORMED),
        "two objects": ("{" + good + "}{" + good + "}", MALFORMED),
        "an object and a word": ("{" + good + "} x", MALFORMED),
        "a comma too many": ("{" + good + ",}", MALFORMED),
        "a comment": ("{/* */" + good + "}", MALFORMED),
        "single quotes": ("{'points':1}", MALFORMED),
        "a byte order mark": ("\ufeff{" + good + "}", MALFORMED),
        "half an object": ('{"points":1,"reas', MALFORMED),
        "XML": ('<?xml version="1.0"?><points>1</points>', MALFORMED),
    }
    for what, (body, wanted) in tries.items():
        yield what, wanted, attempt(wire.send, "POST", path, body.encode(), keyed())
    yield "UTF-16", MALFORMED, attempt(wire.send, "POST", path, ("{" + good + "}").encode("utf-16"), keyed())
    yield "three megabytes", "413 too_large", attempt(wire.send, "POST", path, b" " * (3 << 20), keyed())
    huge = [JSON, ("idempotency-key", fresh("key")), ("content-length", "99999999999")]
    yield "a length of 99999999999", "413 too_large", attempt(wire.send, "POST", path, None, huge)
    unsaid = [JSON, ("idempotency-key", fresh("key")), ("content-length", "-1")]
    yield "a length of -1", ["400", "closed"], attempt(wire.send, "POST", path, None, unsaid)
    both = keyed(("transfer-encoding", "chunked"), ("content-length", "5"))
    yield "a length and chunks", ["400", "closed"], attempt(wire.send, "POST", path, None, both)
    chunked = b"\r\n".join(
        [
            b"POST " + path.encode() + b" HTTP/1.1",
            b"host: localhost",
            b"content-type: application/json",
            b"idempotency-key: " + fresh("key").encode(),
            b"transfer-encoding: chunked",
            b"",
            b"",
        ]
    )
    body = json.dumps({"points": 1, "reason": "r", "external_reference": fresh("ref")}).encode()
    yield "chunks", "201", attempt(wire.exchange, chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    yield "chunks of a wrong length", ["400 malformed", "400", "closed"], attempt(
        wire.exchange, chunked + b"zz\r\n" + body
    )


def media_types(hand):
    """Bodies that call themselves something else, on every route that takes one"""
    own, plain = Wire.of(hand.address, OWN), Wire.plain(hand.address)
    wrong = [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/problem+json",
        "application/json; charset=latin1",
        "application/json; charset=utf-7",
        "text/json",
    ]
    window = hand.things.window()["window_id"]
    for path, methods in hand.document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation or not path.startswith("/v1/"):
                continue
            at, wire = nowhere(path).replace("{window}", window), plain if path == ENROLMENTS else own
            for kind in wrong:
                headers = [("idempotency-key", fresh("key"))] + ([("content-type", kind)] if kind else [])
                # An id in the address may be looked at first.
                wanted = ["415 unsupported_media_type", "404 not_found"]
                yield f"the type {kind}", wanted, attempt(wire.send, method.upper(), at, b"{}", headers)
            packed = keyed(("content-encoding", "gzip"))
            yield "a body packed with gzip", ["415 unsupported_media_type"], attempt(
                wire.send, method.upper(), at, b"{}", packed
            )


def keys(hand):
    """Idempotency keys, on every route that wants one"""
    wire = Wire.of(hand.address, OWN)
    for path, methods in hand.document["paths"].items():
        for method, operation in methods.items():
            if not any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", [])):
                continue
            at = nowhere(path)

            def send(*values):
                return attempt(
                    wire.send, method.upper(), at, b"{}", [JSON, *(("idempotency-key", one) for one in values)]
                )

            yield "no key", "400 idempotency_key_missing", send()
            yield "a key of 256 characters", MALFORMED, send("k" * 256)
            yield "an empty key", MALFORMED, send("")
            yield "a key with a space", MALFORMED, send("a b")
            yield "a key with a letter that is not ASCII", MALFORMED, send("é".encode())
            yield "two keys", MALFORMED, send("a", "b")
            yield "a key of 255 characters is read", [INVALID, "404 not_found"], send("k" * 255)


def batches(hand):
    """Batches of 0, 1, 1,000 and 1,001 items"""
    wire, ref = Wire.of(hand.address, OWN), hand.things.member(points=100_000)
    movement = {"member_ref": ref, "points": 1, "reason": "r"}
    items = {
        "/v1/memberships/batch": lambda: {"member_ref": fresh(OWN), "tier": "ordinary", "status": "active"},
        "/v1/credits/batch": lambda: {
            **movement,
            "external_reference": fresh("ref"),
            "idempotency_key": fresh("key"),
        },
        "/v1/debits/batch": lambda: {**movement, "external_reference": fresh("ref"), "idempotency_key": fresh("key")},
        "/v1/conversions/batch": lambda: {
            "member_ref": ref,
            "to": OTHER,
            "points": 2,
            "idempotency_key": fresh("key"),
        },
        "/v1/activities/batch": lambda: {
            "member_ref": ref,
            "type": "visit",
            "occurred_at": "2026-01-05T08:00:00Z",
            "external_reference": fresh("ref"),
        },
    }
    for path, item in items.items():
        for count, wanted in ((0, INVALID), (1, "200"), (1_000, "200"), (1_001, INVALID)):
            body = json.dumps({"items": [item() for _ in range(count)]}).encode()
            answer = attempt(wire.send, "POST", path, body, [JSON])
            if getattr(answer, "status", 0) == 200 and len(answer.json()["items"]) != count:
                answer = f"{len(answer.json()['items'])} outcomes"
            yield f"a batch of {count}", wanted, answer
        yield "a batch that is no array", INVALID, attempt(wire.send, "POST", path, b'{"items":{}}', [JSON])
        yield "a batch of nulls", INVALID, attempt(wire.send, "POST", path, b'{"items":[null]}', [JSON])
    twice = items["/v1/credits/batch"]()
    answer = attempt(wire.send, "POST", "/v1/credits/batch", json.dumps({"items": [twice, twice]}).encode(), [JSON])
    ids = {one["movement"]["credit_id"] for one in answer.json()["items"]}
    yield "one item twice in a batch has one effect", "200", answer if len(ids) == 1 else f"{len(ids)} effects"
