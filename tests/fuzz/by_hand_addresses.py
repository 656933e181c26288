"""Addresses: methods, cursors, references of odd characters, ids of odd forms, heads of odd sizes."""

import base64
import json
from urllib.parse import quote

from by_hand_bodies import ENROLMENTS, INVALID, JSON, body_of
from exchange import fresh
from things import OWN
from wire import Wire, attempt

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW"]
ANYTHING = {"{id}": "cnv_" + "0" * 32, "{member_ref}": "nobody", "{kid}": "k" * 43, "{x5t}": "k" * 43}
ANYTHING |= {"{code}": "7Q2K-M0XR-4D9V-81BT", "{brand}": "nowhere"}
ANYTHING |= {"{window}": "win_" + "0" * 32, "{conversion_id}": "cnv_" + "0" * 32, "{name}": "points"}


def at(path):
    for name, value in ANYTHING.items():
        path = path.replace(name, value)
    return path


def methods(hand):
    """Methods that an address does not have, and what it says it has"""
    wire, plain = Wire.of(hand.address, OWN), Wire.plain(hand.address)
    for path, has in hand.document["paths"].items():
        # A member may be called `batch`: other methods of that address are about that member.
        if not path.startswith("/v1/") or path == "/v1/memberships/batch":
            continue
        allowed = {method.upper() for method in has}
        for method in METHODS:
            if method in allowed:
                continue
            answer = attempt((plain if path == ENROLMENTS else wire).send, method, at(path))
            if getattr(answer, "status", 0) == 405:
                told = {one.strip() for one in answer.headers.get("allow", "").split(",")}
                answer = answer if told == allowed else f"405 that allows {told}, not {allowed}"
            yield f"{method} where there is none", "405 method_not_allowed", answer
    for path in (
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/quotes",
        "//v1/quotes",
        "/V1/quotes",
        "/v1/quotes/",
        "/v1/links/accept/x",
    ):
        yield f"POST {path}", "404 not_found", attempt(wire.send, "POST", path, b"{}", [JSON])
    named = json.dumps({"tier": "ordinary", "status": "active"}).encode()
    yield "a member whose reference is batch", "200", attempt(
        wire.send, "PUT", "/v1/memberships/batch", named, [JSON]
    )


def cursors(hand):
    """Pages that do not exist"""
    wire, things = Wire.of(hand.address, OWN), hand.things
    ref = things.member()
    things.debit(ref)
    things.delivery()
    deliveries = f"/v1/webhooks/{things.fed_webhook()}/deliveries"
    things.voucher(), things.voucher()
    vouchers = f"/v1/memberships/{things.taken_by()}/vouchers"
    pages = {
        "/v1/benefits": things.own.must("GET", "/v1/benefits?limit=1")["next_cursor"],
        vouchers: things.own.must("GET", f"{vouchers}?limit=1")["next_cursor"],
        "/v1/memberships": things.own.must("GET", "/v1/memberships?limit=1")["next_cursor"],
        f"/v1/memberships/{ref}/entries": things.own.must("GET", f"/v1/memberships/{ref}/entries?limit=1")[
            "next_cursor"
        ],
        deliveries: things.own.must("GET", f"{deliveries}?limit=1")["next_cursor"],
    }
    for path, cursor in pages.items():
        other = next(one for place, one in pages.items() if place != path)
        number = base64.urlsafe_b64encode(b"9" * 30).decode().rstrip("=")
        bad = [
            "",
            "!!!",
            "AAAA",
            "a=",
            "%C3%A9",
            "%00",
            "A" * 10_000,
            other,
            number,
            quote("' OR 1=1 --"),
            cursor + "A",
        ]
        for one in bad:
            yield "a cursor that is none of this list", INVALID, attempt(wire.send, "GET", f"{path}?cursor={one}")
        for query in (
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1e1",
            "limit=99999999999",
            "limit=1&limit=2",
            "limits=1",
            "limit[]=1",
            f"cursor={cursor}&cursor={cursor}",
        ):
            yield f"?{query[:20]}", INVALID, attempt(wire.send, "GET", f"{path}?{query}")
        yield "the cursor it gave", "200", attempt(wire.send, "GET", f"{path}?cursor={cursor}")
    for query in ("after=-1", "after=9007199254740992", "after=x", "after=1.0", "limit=0", "limit=1001", "from=1"):
        yield f"events?{query}", INVALID, attempt(wire.send, "GET", f"/v1/events?{query}")
    for query in (
        "status=gone",
        "changed_after=yesterday",
        "changed_after=9999-12-31T23:59:59-12:00",
        "status=active%00",
    ):
        yield f"memberships?{query[:40]}", INVALID, attempt(wire.send, "GET", f"/v1/memberships?{query}")
    for query in (
        "",
        "external_reference=",
        "external_reference=a&confirmation=955V-792C-M976",
        "confirmation=",
        "external_reference=" + "a" * 129,
        "external_reference=%00",
    ):
        yield f"conversions?{query[:40]}", INVALID, attempt(wire.send, "GET", f"/v1/conversions?{query}")


def references(hand):
    """Members whose references are odd: what is kept is what was sent"""
    wire = Wire.of(hand.address, OWN)
    body = json.dumps({"tier": "ordinary", "status": "active"}).encode()
    odd = [
        "a/b",
        "../../etc/passwd",
        "..",
        ".",
        "a b",
        "a%2Fb",
        "%00",
        "a+b",
        "a;b=c",
        "a?b",
        "a#b",
        "a%b",
        "积分会员",
        "é",
        "e\u0301",
        "😀",
        "a\u202eb",
        "a\\b",
        "'; DROP TABLE accounts; --",
        "{id}",
        "*",
        "mem_" + "0" * 32,
        "a" * 128,
    ]
    seen = set()
    for ref in odd:
        ref = ref if len(ref) == 128 else f"{fresh('o')[-6:]}{ref}" if ref not in ("..", ".", "*") else ref
        path = f"/v1/memberships/{quote(ref, safe='')}"
        answer = attempt(wire.send, "PUT", path, body, [JSON])
        # `.` and `..` are steps of a path, not names in it.
        wanted = ["200", "404 not_found"] if ref in ("..", ".") else "200"
        if getattr(answer, "status", 0) == 200:
            kept, again = answer.json(), attempt(wire.send, "GET", path)
            same = kept["member_ref"] == ref and getattr(again, "status", 0) == 200 and again.json() == kept
            answer = answer if same and kept["membership_id"] not in seen else f"kept as {kept['member_ref']!r}"
            seen.add(getattr(answer, "status", 0) == 200 and kept["membership_id"])
        yield f"the reference {ref[-40:]!r}", wanted, answer
    for raw, what in (
        ("%00", "NUL"),
        ("a%00b", "a NUL within"),
        ("%0a", "a newline"),
        ("%7f", "DEL"),
        ("%c2%85", "a C1 control"),
        ("%ff", "bytes that are not UTF-8"),
        ("%ed%a0%80", "a surrogate"),
        ("%", "a bare percent"),
        ("%zz", "percent and no digits"),
        ("a" * 129, "129 characters"),
        ("%20" * 129, "129 spaces"),
    ):
        for tail in ("", "/entries", "/export", "/vouchers"):
            answer = attempt(wire.send, "GET", f"/v1/memberships/{raw}{tail}")
            yield f"a reference with {what}", ["404 not_found", "400 malformed"], answer
    for raw in ("a/b", "../partners", "..%2f..%2fetc", "a//b"):
        yield f"the address {raw}", "404 not_found", attempt(wire.send, "GET", f"/v1/memberships/{raw}")


def ids(hand):
    """Ids of another form, in every place of every address"""
    wire = Wire.of(hand.address, OWN)
    conversion = hand.things.conversion()["conversion_id"]
    hexadecimal = conversion[4:]
    odd = [
        "x",
        "cnv_",
        "rev_" + hexadecimal,
        conversion.upper(),
        "cnv_" + hexadecimal.upper(),
        conversion[:-1],
        conversion + "0",
        f"cnv_{hexadecimal[:8]}-{hexadecimal[8:12]}-{hexadecimal[12:16]}-{hexadecimal[16:20]}-{hexadecimal[20:]}",
        "%20" + conversion,
        conversion + "%00",
        "cnv_{" + hexadecimal + "}",
        "..%2f" + conversion,
        "%ff",
        "积分",
        "-1",
        "0",
        "null",
        "' OR 1=1",
    ]
    window = hand.things.window()["window_id"]
    odd += ["vch_", "bnf_" + hexadecimal, "use_" + hexadecimal, "7Q2K-M0XR-4D9V-81BT", "7q2k\u00a0m0xr", "a" * 129]
    odd += ["win_", "win_" + hexadecimal, "dis_" + hexadecimal, "rec_" + hexadecimal, window.upper(), window + "0"]
    for path, methods in hand.document["paths"].items():
        for name in ("{id}", "{window}", "{conversion_id}", "{kid}", "{x5t}", "{code}", "{brand}"):
            # A PUT of a benefit names it.
            for method in set(methods) - {"put" if path == "/v1/benefits/{id}" else ""} if name in path else ():
                label, place = f"{method.upper()} {path}", path if name == "{window}" else path.replace("{window}", window)
                # Who may not decide is told so before it is looked what about.
                wanted = "403 forbidden" if path.endswith(("/decision", "/resolution")) else "404 not_found"
                for one in odd:
                    body = json.dumps(body_of(label)).encode()
                    headers = [JSON, ("idempotency-key", fresh("key"))]
                    if label == "POST /v1/settlements/{window}/signatures":
                        body = json.dumps({"protected": "AA", "signature": "AA"}).encode()
                    if label.endswith("/reconciliations"):
                        headers = [("content-type", "text/csv")]
                    target = at(place.replace(name, quote(one, safe="%")))
                    yield f"a {name[1:-1]} of another form", wanted, attempt(wire.send, method.upper(), target, body, headers)


def heads(hand):
    """Heads that are too large or are none"""
    wire = Wire.of(hand.address, OWN)
    too_large = ["431 headers_too_large", "431", "400", "414", "closed"]
    yield "a header of 20 kB", too_large, attempt(wire.send, "GET", "/v1/events", b"", [("x-much", "a" * 20_000)])
    yield "an address of 20 kB", too_large, attempt(wire.send, "GET", "/v1/events?after=" + "1" * 20_000)
    yield "an address of 200 kB", too_large, attempt(wire.send, "GET", "/v1/memberships/" + "a" * 200_000)
    yield "500 headers", too_large, attempt(
        wire.send, "GET", "/v1/events", b"", [(f"x-{n}", "v") for n in range(500)]
    )
    yield "90 headers", "200", attempt(wire.send, "GET", "/v1/events", b"", [(f"x-{n}", "v") for n in range(80)])
    for raw in (
        b"\x16\x03\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/events HTTP/9.9\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"G\xc3\x89T /v1/events HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        yield "bytes that are no request", [
            "400",
            "400 malformed",
            "405 method_not_allowed",
            "404 not_found",
            "505",
            "closed",
        ], attempt(wire.exchange, raw)
    yield "no Host", ["200", "400", "400 malformed"], attempt(wire.exchange, b"GET /v1/events HTTP/1.1\r\n\r\n")
    yield "an address with a host", ["200", "404 not_found", "400"], attempt(
        wire.send, "GET", "https://other.example/v1/events"
    )
    yield "HTTP/1.0", "200", attempt(wire.exchange, b"GET /v1/events HTTP/1.0\r\n\r\n")
