"""Callers: other partners' things, the operator, certificates."""

import http.client
import json
import socket
import ssl
import time
from urllib.parse import urlsplit

from cryptography.x509.oid import ExtendedKeyUsageOID

import good
from by_hand_bodies import ENROLMENTS, JSON, body_of
from exchange import fresh
from things import CONSENT, OTHER, OWN, STRANGER
from wire import Answer, Closed, Forge, Wire, attempt

TRUST_DOMAIN = "lumen.hanse.example"
# What the operator may do; everything else under /v1 that is not here and not among the partners' is a hole in this test.
OPERATOR_MAY = {
    "GET /v1/certificates",
    "POST /v1/certificates",
    "DELETE /v1/certificates/{x5t}",
    "GET /v1/signing-keys",
    "POST /v1/signing-keys",
    "POST /v1/signing-keys/{kid}/retire",
    "GET /v1/memberships",
    "GET /v1/memberships/{member_ref}",
    "GET /v1/memberships/{member_ref}/entries",
    "GET /v1/memberships/{member_ref}/export",
    "GET /v1/conversions",
    "GET /v1/conversions/{id}",
    "GET /v1/links/{id}",
    "GET /v1/alliance",
    "GET /v1/partners",
    "GET /v1/rates",
    "GET /v1/proposals",
    "GET /v1/proposals/{id}",
    "POST /v1/proposals/{id}/approvals",
    "GET /v1/settlements",
    "GET /v1/settlements/{window}",
    "GET /v1/settlements/{window}/statement",
    "GET /v1/settlements/{window}/lines",
    "GET /v1/settlements/{window}/proofs/{conversion_id}",
    "GET /v1/reports/{name}",
    "GET /v1/disputes",
    "GET /v1/disputes/{id}",
    "POST /v1/disputes/{id}/answers",
    "POST /v1/disputes/{id}/decision",
    "DELETE /v1/disputes/{id}/decision",
    "GET /v1/memberships/{member_ref}/vouchers",
    "GET /v1/benefits",
    "GET /v1/benefits/{id}",
    "POST /v1/benefits/{id}/approvals",
    "DELETE /v1/benefits/{id}/approvals",
    "GET /v1/vouchers/{code}",
    "GET /v1/crossings",
    "GET /v1/crossings/backlog",
    "POST /v1/conversions/{id}/resolution",
}
REVOKED_WITHIN_S = 15


def foreign_ids(hand):
    """Another partner's ids on every route with one: the same 404 as for an id of nothing"""
    things, wire = hand.things, Wire.of(hand.address, STRANGER)
    own_ref, other_ref, link = things.pair()
    voucher = things.voucher()
    real = {
        "conversions": [things.conversion()["conversion_id"]],
        "reversals": [things.reversal()],
        "credits": [things.credit(own_ref), things.credit(other_ref, client=things.other)],
        "debits": [things.debit(own_ref)],
        "links": [link, things.link_asked(things.own, things.other)[1]["link_id"]],
        "memberships": [own_ref, other_ref, things.own.must("GET", f"/v1/memberships/{own_ref}")["membership_id"]],
        "signing-keys": [things.signing_key()],
        "certificates": [things.certificate()],
        "proposals": [things.proposal()["id"]],
        "disputes": [things.dispute()],
        "webhooks": [things.webhook()],
        "deliveries": [things.delivery()],
        "benefits": [things.benefit()["benefit_id"], things.pool(), things.paid_benefit()["benefit_id"]],
        "vouchers": [voucher["voucher_id"], voucher["code"]],
        "redemptions": [things.redemption()],
        "settlements": [],
        "reports": [],
    }
    before = things.own.must("GET", f"/v1/memberships/{own_ref}")
    for path, methods in hand.document["paths"].items():
        if "{" not in path or not path.startswith("/v1/"):
            continue
        family = path.split("/")[2]
        for method in methods:
            label = f"{method.upper()} {path}"
            body = body_of(label)
            # A PUT is of the caller's own member or benefit of that name: nothing of another's is named by it.
            if body is None:
                continue
            for one in real.get(family, ["nothing-of-this-kind"]):
                # Windows are everybody's, and what is in them has a family of its own.
                place = path[: path.index("{")] + "@" + path[path.index("}") + 1 :]
                wanted = "the same 403 forbidden" if path.endswith(("/decision", "/resolution")) else "the same 404"
                yield label, wanted, same(wire, method.upper(), place, one, nothing_like(one), body)
    # The other side of a link or a conversion sees it; a credit, a debit, a key and a webhook have no other side.
    for path, one in (
        ("/v1/credits/@/reversals", real["credits"][0]),
        ("/v1/debits/@/reversals", real["debits"][0]),
        ("/v1/signing-keys/@/retire", real["signing-keys"][0]),
        ("/v1/webhooks/@/test", real["webhooks"][0]),
        ("/v1/deliveries/@/resend", real["deliveries"][0]),
    ):
        body, side = body_of(path), Wire.of(hand.address, OTHER)
        yield f"{path} as the linked brand", "the same 404", same(side, "POST", path, one, nothing_like(one), body)
    after = things.own.must("GET", f"/v1/memberships/{own_ref}")
    yield "nothing of it has changed", "the same", "the same" if after == before else f"{before} became {after}"


def nothing_like(one):
    """An id, or a reference, of the same form that names nothing."""
    prefix, _, rest = one.partition("_")
    return f"{prefix}_{'0198c0de' + rest[8:]}" if len(rest) == 32 else fresh("none")


def same(wire, method, place, real, unreal, body):
    answers = []
    for one in (real, unreal):
        headers = [JSON, ("idempotency-key", fresh("key"))]
        answer = attempt(wire.send, method, place.replace("@", one), json.dumps(body).encode(), headers)
        if isinstance(answer, Closed):
            return answer
        told = {name: value for name, value in answer.json().items() if name != "request_id"}
        answers.append((answer.status, told, sorted(set(answer.headers) - {"connection", "content-length"})))
    if answers[0] != answers[1]:
        return f"{answers[0]} and {answers[1]}"
    return "the same 404" if answers[0][0] == 404 else f"the same {answers[0][0]} {answers[0][1].get('code')}"


def foreign_fields(hand):
    """Another partner's things in bodies and queries: the same answer as for things that are not there"""
    things, wire = hand.things, Wire.of(hand.address, STRANGER)
    conversion, quote = things.conversion(), things.quote()["token"]
    own_ref, _, _ = things.ready_pair()
    mine = things.member(things.stranger)
    code = things.link_asked(things.own, things.other)[1]["code"]

    def both(method, path, make, real, unreal):
        answers = []
        for one in (real, unreal):
            headers = [JSON, ("idempotency-key", fresh("key"))]
            target, body = (path.replace("@", one), b"") if make is None else (path, json.dumps(make(one)).encode())
            answer = attempt(wire.send, method, target, body, headers)
            told = answer.json()
            for part in [told, *[item.get("problem", {}) for item in told.get("items", [])]]:
                part.pop("request_id", None)
            answers.append((answer.status, told))
        return "the same" if answers[0] == answers[1] else f"{answers[0]} and {answers[1]}"

    def movement(ref):
        item = {
            "member_ref": ref,
            "points": 1,
            "reason": "r",
            "external_reference": "r",
            "idempotency_key": fresh("key"),
        }
        return {"items": [item]}

    ref = (own_ref, fresh("none"))
    tries = [
        ("a member to quote", "POST", "/v1/quotes", lambda one: {"member_ref": one, "to": OWN, "points": 10}, ref),
        (
            "a member to convert",
            "POST",
            "/v1/conversions",
            lambda one: {"member_ref": one, "to": OWN, "points": 10},
            ref,
        ),
        (
            "a member to link",
            "POST",
            "/v1/links",
            lambda one: {"member_ref": one, "to": OWN, "consent": CONSENT},
            ref,
        ),
        ("a member in a batch of credits", "POST", "/v1/credits/batch", movement, ref),
        ("a member in a batch of debits", "POST", "/v1/debits/batch", movement, ref),
        ("a quote's token", "POST", "/v1/conversions", lambda one: {"quote": one}, (quote, quote[:-4] + "AAAA")),
        (
            "a code meant for another brand",
            "POST",
            "/v1/links/accept",
            lambda one: {"code": one, "member_ref": mine, "consent": CONSENT},
            (code, "0Y4K7M2P"),
        ),
        (
            "a confirmation",
            "GET",
            "/v1/conversions?confirmation=@",
            None,
            (conversion["confirmation"], "955V-792C-M976"),
        ),
        (
            "a reference",
            "GET",
            "/v1/conversions?external_reference=@",
            None,
            (conversion["external_reference"], fresh("none")),
        ),
    ]
    for what, method, path, make, (real, unreal) in tries:
        yield what, "the same", both(method, path, make, real, unreal)
    # A reference and a key of one brand are free for another.
    body = {"points": 1, "reason": "r", "external_reference": conversion["external_reference"]}
    headers = [JSON, ("idempotency-key", fresh("key"))]
    answer = attempt(wire.send, "POST", f"/v1/memberships/{mine}/credits", json.dumps(body).encode(), headers)
    yield "another brand's external_reference is free", "201", answer


def operator(hand):
    """The operator on every route: partners' own are forbidden, whatever is sent"""
    wire, things = Wire.of(hand.address, "ops"), hand.things
    ref, recipes = things.member(), good.as_partner(things)
    own = ("/decision", "/resolution", "/certificates", "/approvals")
    recipes |= {label: make for label, make in good.as_operator(things).items() if label.endswith(own)}
    for path, methods in hand.document["paths"].items():
        # Who enrols does so on the plain listener.
        if not path.startswith("/v1/") or path == ENROLMENTS:
            continue
        for method in methods:
            label = f"{method.upper()} {path}"
            make = recipes.get(label)
            parts = make() if make else {}
            place = path
            for name, value in parts.get("path", {}).items():
                place = place.replace("{" + name + "}", value)
            body = parts.get("body", "")
            body = (json.dumps(body) if "kind" not in parts and body else body).encode()
            headers = [("content-type", parts.get("kind", "application/json")), ("idempotency-key", parts.get("key", fresh("key")))]
            answer = attempt(wire.send, method.upper(), place, body, headers)
            # What may be read by membership id is not there by a brand's own reference.
            may = label in OPERATOR_MAY
            wanted = ["200", "201", "404 not_found", "422 invalid"] if may else "403 forbidden"
            # A partner's to answer.
            yield label, "403 forbidden" if label == "POST /v1/disputes/{id}/answers" else wanted, answer
    untouched = things.own.must("GET", f"/v1/memberships/{ref}")["balance"]
    yield "nothing was moved", "5000", str(untouched)


def certificates(hand):
    """Certificates that nobody should accept"""
    address, folder = hand.address, hand.exchange.folder / "forged"
    pki = hand.exchange.pki
    ours, foreign = Forge(pki, folder), Forge(pki, folder / "foreign", foreign=True)
    uri = f"spiffe://{TRUST_DOMAIN}/partner/{OWN}"
    unknown, misnamed = "401 certificate_unknown", "403 forbidden"
    tries = [
        ("none", None, "closed"),
        ("of another authority of the same name", foreign.issue("foreign", [uri]), "closed"),
        ("signed by itself", ours.issue("itself", [uri], by_itself=True), "closed"),
        ("expired", ours.issue("expired", [uri], days=(-30, -1)), "closed"),
        ("not valid yet", ours.issue("early", [uri], days=(1, 30)), "closed"),
        ("for a server", ours.issue("server-kind", [uri], usage=ExtendedKeyUsageOID.SERVER_AUTH), "closed"),
        ("the server's own", (pki / "server.crt", pki / "server.key"), "closed"),
        ("never registered", ours.issue("unregistered", [uri]), unknown),
        ("never registered, an operator's", ours.issue("root", [f"spiffe://{TRUST_DOMAIN}/operator/root"]), unknown),
        ("of no name", ours.issue("nameless", []), misnamed),
        ("of another trust domain", ours.issue("abroad", ["spiffe://other.example/partner/lumen"]), misnamed),
        ("of two names", ours.issue("two", [uri, f"spiffe://{TRUST_DOMAIN}/operator/ops"]), misnamed),
        ("of no kind known", ours.issue("kind", [f"spiffe://{TRUST_DOMAIN}/member/lumen"]), misnamed),
        ("of a path that goes up", ours.issue("up", [f"spiffe://{TRUST_DOMAIN}/partner/../operator/ops"]), misnamed),
        ("of upper case", ours.issue("upper", [f"spiffe://{TRUST_DOMAIN}/partner/LUMEN"]), misnamed),
    ]
    for what, files, wanted in tries:
        wire = Wire(address, *(files or ()))
        for method, path in (("GET", "/v1/events"), ("POST", "/v1/conversions"), ("GET", "/v1/nothing")):
            yield f"a certificate {what}", wanted, attempt(wire.send, method, path)
    good = Wire(address, pki / f"{OWN}.crt", pki / f"{OWN}.key", newest=ssl.TLSVersion.TLSv1_2)
    yield "TLS 1.2", "closed", attempt(good.send, "GET", "/v1/events")
    yield "plain HTTP", "closed", attempt(plain, address, b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    yield from revoked(hand)


def plain(address, data):
    place = urlsplit(address["api"])
    with socket.create_connection((place.hostname, place.port), timeout=30) as raw:
        raw.sendall(data)
        answer = http.client.HTTPResponse(raw)
        try:
            answer.begin()
        except (OSError, http.client.HTTPException) as cause:
            raise Closed(str(cause)) from None
        return Answer(answer.status, answer.getheaders(), answer.read())


def revoked(hand):
    """A certificate that was good is put out: on its open connection, and at the door."""
    code, printed = hand.exchange.beside("pki", "issue", "operator/eve")
    yield "an operator's certificate issued beside the server", "0", str(code) if code == 0 else printed
    wire = Wire.of(hand.address, "eve")
    connection = wire.open()
    yield "while it is good", "200", attempt(wire.send, "GET", "/v1/certificates", connection=connection)
    code, printed = hand.exchange.beside("pki", "revoke", "operator/eve")
    yield "revoked beside the server", "0", str(code) if code == 0 else printed
    yield "revoked, on the open connection", "401 certificate_revoked", until(
        lambda: attempt(wire.send, "GET", "/v1/certificates", connection=connection), 401
    )
    connection.close()
    yield "revoked, at the door", "closed", until(lambda: attempt(wire.send, "GET", "/v1/certificates"), None)


def until(ask, status):
    """Asks again until the answer has this status (`None`: until there is none), for so long."""
    give_up = time.monotonic() + REVOKED_WITHIN_S
    while True:
        answer = ask()
        if getattr(answer, "status", None) == status or time.monotonic() > give_up:
            return answer
        time.sleep(0.05)
