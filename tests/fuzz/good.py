"""For each operation of the contract, how a request that must succeed is made; and what fields of any request may hold.

An operation without an entry is sent as generated: it must reach a 2xx by itself. Each entry makes the parts of the
request it wants to set.
"""

import itertools
from datetime import datetime, timezone

from exchange import fresh
from things import CONSENT, DECISION, OTHER

REPORTS = "statement pairs journal invoices exposures liability points ageing rates".split()
OF_A_WINDOW = "statement pairs journal invoices".split()
FORMATS = ["json", "csv", "xlsx", "html"]
# What the spare things are called that have an id.
OF_AN_ID = "cnv rev prp lnk credits debits dis rec whk dlv bnf use".split()
MEMBER = {"tier": "ordinary", "status": "active"}


class Request(dict):
    """Parts: `path` parameters, `query`, `body` and its `kind` where that is not JSON, `key`."""


def as_partner(things):
    """Operation label → request, for Lumen's certificate."""

    def of_member(body=None, keyed=False, ref=None):
        parts = Request(path={"member_ref": ref or things.member()}, query={})
        return with_body(parts, body, keyed)

    def of_id(make, body=None, keyed=False):
        return with_body(Request(path={"id": make()}, query={}), body, keyed)

    def with_body(parts, body, keyed):
        if body is not None:
            parts["body"] = body
        if keyed:
            parts["key"] = fresh("key")
        return parts

    def movement(points=5):
        return {"points": points, "reason": "as agreed", "external_reference": fresh("ref")}

    def activity():
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "type": "purchase",
            "occurred_at": now,
            "amount": "12.50",
            "currency": "CNY",
            "external_reference": fresh("ref"),
        }

    def batch(item, keyed=True):
        items = [{**item(), **({"idempotency_key": fresh("key")} if keyed else {})} for _ in range(3)]
        return Request(body={"items": items}, query={})

    def to_own_member(item):
        return {"member_ref": things.member(), **item}

    def conversion():
        return {"member_ref": things.ready_pair()[0], "to": OTHER, "points": 20, "external_reference": fresh("ref")}

    def accept():
        _, asked = things.link_asked(things.other, things.own)
        return Request(body={"code": asked["code"], "member_ref": things.member(), "consent": CONSENT}, query={})

    return {
        "GET /v1/certificates": lambda: Request(query={"limit": 2}),
        "POST /v1/certificates": lambda: Request(body=things.new_certificate_body()),
        "DELETE /v1/certificates/{x5t}": lambda: Request(path={"x5t": things.certificate()}),
        "GET /v1/signing-keys": lambda: Request(query={"limit": 1}),
        "POST /v1/signing-keys": lambda: Request(body=things.new_key_body()),
        "POST /v1/signing-keys/{kid}/retire": lambda: Request(path={"kid": things.signing_key()}),
        "GET /v1/memberships": lambda: Request(query={"limit": 5, "status": "active"}),
        "PUT /v1/memberships/{member_ref}": lambda: of_member(dict(MEMBER), ref=fresh("lumen")),
        "GET /v1/memberships/{member_ref}": of_member,
        "GET /v1/memberships/{member_ref}/entries": of_member,
        "GET /v1/memberships/{member_ref}/export": lambda: of_member(ref=things.ready_pair()[0]),
        "POST /v1/memberships/{member_ref}/erasures": lambda: of_member(ref=things.member(points=0)),
        "POST /v1/memberships/{member_ref}/credits": lambda: of_member(movement(), keyed=True),
        "POST /v1/memberships/{member_ref}/debits": lambda: of_member(movement(), keyed=True),
        "POST /v1/memberships/{member_ref}/activities": lambda: of_member(activity()),
        "POST /v1/memberships/batch": lambda: batch(lambda: {"member_ref": fresh("lumen"), **MEMBER}, keyed=False),
        "POST /v1/credits/batch": lambda: batch(lambda: to_own_member(movement())),
        "POST /v1/debits/batch": lambda: batch(lambda: to_own_member(movement())),
        "POST /v1/activities/batch": lambda: batch(lambda: to_own_member(activity()), keyed=False),
        "POST /v1/credits/{id}/reversals": lambda: of_id(lambda: things.credit(things.member()), movement(), True),
        "POST /v1/debits/{id}/reversals": lambda: of_id(lambda: things.debit(things.member()), movement(), True),
        "POST /v1/links": lambda: Request(body={"member_ref": things.member(), "to": OTHER, "consent": CONSENT}),
        "POST /v1/links/accept": accept,
        "GET /v1/links/{id}": lambda: of_id(lambda: things.ready_pair()[2]),
        "DELETE /v1/links/{id}": lambda: of_id(lambda: things.pair()[2]),
        "POST /v1/quotes": lambda: Request(body={"member_ref": things.ready_pair()[0], "to": OTHER, "points": 20}),
        "POST /v1/conversions": lambda: Request(body=conversion(), key=fresh("key")),
        "POST /v1/conversions/batch": lambda: batch(conversion),
        "GET /v1/conversions": lambda: Request(query={"confirmation": things.conversion()["confirmation"]}),
        "GET /v1/conversions/{id}": lambda: of_id(lambda: things.conversion()["conversion_id"]),
        "POST /v1/conversions/{id}/undo": lambda: of_id(lambda: things.conversion()["conversion_id"], keyed=True),
        "POST /v1/conversions/{id}/reversals": lambda: of_id(
            lambda: things.conversion()["conversion_id"],
            {"credit_points": 2, "reason": "goods returned", "external_reference": fresh("ref")},
            True,
        ),
        "POST /v1/reversals/{id}/confirmation": lambda: of_id(things.reversal, keyed=True),
        "GET /v1/events": lambda: Request(query={"limit": 10}),
        **webhooks(things),
        **catalogue(things),
        **settlement(things),
        **disputes(things),
        **benefits(things),
        **tills(things),
    }


def benefits(things):
    """Of what is offered to members, and of vouchers until a till takes them."""

    def of(make, body=None, keyed=False, name="id"):
        parts = Request(path={name: make()}, query={})
        if body is not None:
            parts["body"] = body()
        if keyed:
            parts["key"] = fresh("key")
        return parts

    def approve():
        made = things.paid_benefit()
        return Request(path={"id": made["benefit_id"]}, body={"version": made["version"]})

    def codes():
        return {"codes": [fresh("CODE") for _ in range(2)]}

    def of_voucher(body=None, **how):
        return of(lambda: things.voucher(**how)["voucher_id"], body, name="code")

    one = "/v1/benefits/{id}"
    return {
        "GET /v1/benefits": lambda: Request(query={"giver": "lumen", "limit": 3}),
        f"PUT {one}": lambda: of(lambda: fresh("fuzz"), things.benefit_body),
        f"GET {one}": lambda: of(things.claimable),
        f"POST {one}/approvals": approve,
        f"DELETE {one}/approvals": lambda: of(lambda: things.paid_benefit(approved=True)["benefit_id"]),
        f"POST {one}/codes": lambda: of(things.pool, codes),
        f"GET {one}/codes": lambda: of(things.pool),
        f"POST {one}/claims": lambda: of(things.claimable, things.claim_body, keyed=True),
        "PUT /v1/tier-maps/{brand}": lambda: of(lambda: OTHER, lambda: {"tiers": {"l3": "gold"}}, name="brand"),
        "GET /v1/memberships/{member_ref}/vouchers": lambda: of(things.taken_by, name="member_ref"),
        "GET /v1/vouchers/{code}": of_voucher,
        "POST /v1/vouchers/{code}/confirmation": lambda: of_voucher(reserve=True),
        "POST /v1/vouchers/{code}/cancellations": lambda: of_voucher(lambda: {"reason": "another mind"}),
    }


def tills(things):
    """Of what a till does, and of the page that a member opens."""

    def of_member():
        return Request(path={"member_ref": things.taken_by()}, query={})

    def redeem():
        code = things.voucher()["code"]
        return Request(path={"code": code}, query={}, body=things.redemption_body(), key=fresh("key"))

    def reverse():
        return Request(path={"id": things.redemption()}, query={}, body={"reason": "by mistake"}, key=fresh("key"))

    return {
        "POST /v1/vouchers/{code}/redemptions": redeem,
        "POST /v1/redemptions/{id}/reversals": reverse,
        "POST /v1/memberships/{member_ref}/passes": of_member,
        "GET /v1/passes/{code}": lambda: Request(path={"code": things.pass_code()}, query={}),
        "POST /v1/member-sessions": lambda: Request(body={"member_ref": things.taken_by(), "scopes": ["claim", "pass"]}),
        "DELETE /v1/memberships/{member_ref}/member-sessions": of_member,
    }


def settlement(things, whose=None):
    """Of windows and reports: `whose` for the operator, who names a partner."""

    def window():
        return {"window": things.window()["window_id"]}

    def of_window(make=None):
        return lambda: Request(path=window(), query=dict(named), **({"body": make()} if make else {}))

    named = {"participant": whose} if whose else {}
    # One after the other, in every format.
    reports = (
        Request(
            path={"name": name},
            query={**({"window": things.window()["number"]} if name in OF_A_WINDOW else {}), "format": form, **named},
        )
        for name, form in itertools.cycle(itertools.product(REPORTS, FORMATS))
    )
    return {
        "GET /v1/settlements": lambda: Request(query={"limit": 2, **named}),
        "GET /v1/settlements/{window}": of_window(),
        "GET /v1/settlements/{window}/statement": of_window(),
        "GET /v1/settlements/{window}/lines": of_window(),
        "GET /v1/settlements/{window}/proofs/{conversion_id}": lambda: Request(path=things.place(), query=dict(named)),
        # Refused: every brand's accounts are kept here.
        "POST /v1/settlements/{window}/liabilities": of_window(lambda: {"points": 5, "as_of": "2026-01-05"}),
        "POST /v1/settlements/{window}/signatures": lambda: Request(path=window(), body=things.counter_signature()),
        "POST /checkpoint/cosignatures": lambda: Request(body=things.cosignature()),
        "GET /v1/reports/{name}": lambda: next(reports),
    }


def disputes(things):
    """Of what is wrong with lines, as a partner."""

    def window():
        return {"window": things.window()["window_id"]}

    def of_dispute(body=None, **how):
        parts = Request(path={"id": things.dispute(**how)}, query={})
        return Request(parts, body=body) if body else parts

    def of_list():
        return Request(path=window(), query={}, body=things.list_csv(), kind="text/csv")

    answer = {"answer": "accepted", "note": "so it is"}
    one = "/v1/settlements/{window}/reconciliations/{id}"
    return {
        "POST /v1/settlements/{window}/disputes": lambda: Request(path=window(), body=things.missing()),
        "GET /v1/disputes": lambda: Request(query={"limit": 3}),
        "GET /v1/disputes/{id}": of_dispute,
        "POST /v1/disputes/{id}/answers": lambda: of_dispute(dict(answer), opener=things.other, counterparty="lumen"),
        "POST /v1/disputes/{id}/withdrawal": of_dispute,
        "POST /v1/settlements/{window}/reconciliations": of_list,
        f"GET {one}": lambda: Request(path=things.reconciliation(), query={}),
        f"GET {one}/differences": lambda: Request(path=things.reconciliation(), query={}),
        f"POST {one}/disputes": lambda: Request(path=things.reconciliation(), query={}),
    }


def webhooks(things):
    """Of where events are pushed to, and of what was pushed."""

    def of(make, body=None, **query):
        parts = Request(path={"id": make()}, query=query)
        return Request(parts, body=body) if body else parts

    def changed():
        return {"url": things.address["receiver"], "types": ["conversion.completed"], "state": "active"}

    one = "/v1/webhooks/{id}"
    return {
        "GET /v1/webhooks": Request,
        "POST /v1/webhooks": lambda: Request(body=things.new_webhook_body()),
        f"GET {one}": lambda: of(things.webhook),
        f"PUT {one}": lambda: of(things.webhook, changed()),
        f"DELETE {one}": lambda: of(things.webhook),
        f"GET {one}/deliveries": lambda: of(things.fed_webhook, state="delivered", limit=2),
        f"POST {one}/recover": lambda: of(things.fed_webhook, {"since": "2026-01-05T08:00:00Z"}),
        f"POST {one}/secret-rotations": lambda: of(things.webhook, {"overlap_hours": 1}),
        f"POST {one}/test": lambda: of(things.webhook),
        "POST /v1/deliveries/{id}/resend": lambda: of(things.delivery),
    }


def catalogue(things, operator=False):
    def approve():
        return Request(path={"id": things.proposal()["id"]}, body={"jws": things.approval(operator)})

    return {
        "GET /v1/alliance": Request,
        "GET /v1/partners": lambda: Request(query={"limit": 3}),
        "GET /v1/rates": lambda: Request(query={"from": "lumen", "at": "2026-03-01T00:00:00Z"}),
        "GET /v1/proposals": lambda: Request(query={"limit": 1}),
        "GET /v1/proposals/{id}": lambda: Request(path={"id": things.proposal()["id"]}),
        "POST /v1/proposals/{id}/approvals": approve,
    }


def as_operator(things):
    """The same for the operator's certificate, which may read everything and moves nothing."""

    def membership():
        return {"member_ref": things.own.must("GET", f"/v1/memberships/{things.member()}")["membership_id"]}

    def approve():
        made = things.paid_benefit("operator")
        return Request(path={"id": made["benefit_id"]}, body={"version": made["version"]})

    good = {
        "GET /v1/certificates": lambda: Request(query={}),
        "POST /v1/certificates": lambda: Request(body=things.new_certificate_body(operator=True)),
        "DELETE /v1/certificates/{x5t}": lambda: Request(path={"x5t": things.certificate(operator=True)}),
        "GET /v1/signing-keys": lambda: Request(query={}),
        "POST /v1/signing-keys": lambda: Request(body=things.new_key_body(operator=True)),
        "POST /v1/signing-keys/{kid}/retire": lambda: Request(path={"kid": things.signing_key(operator=True)}),
        "GET /v1/memberships": lambda: Request(query={"limit": 5}),
        "GET /v1/links/{id}": lambda: Request(path={"id": things.ready_pair()[2]}),
        "GET /v1/conversions": lambda: Request(query={"confirmation": things.conversion()["confirmation"]}),
        "GET /v1/conversions/{id}": lambda: Request(path={"id": things.conversion()["conversion_id"]}),
        "GET /v1/crossings": lambda: Request(query={"limit": 3}),
        "GET /v1/crossings/backlog": Request,
        "GET /v1/benefits": lambda: Request(query={"limit": 3}),
        "GET /v1/benefits/{id}": lambda: Request(path={"id": things.claimable()}, query={}),
        "POST /v1/benefits/{id}/approvals": approve,
        "DELETE /v1/benefits/{id}/approvals": lambda: Request(
            path={"id": things.paid_benefit("operator", approved=True)["benefit_id"]}
        ),
        "GET /v1/vouchers/{code}": lambda: Request(path={"code": things.voucher()["voucher_id"]}, query={}),
        **catalogue(things, operator=True),
        **settlement(things, whose="lumen"),
        "GET /v1/disputes": lambda: Request(query={"limit": 3}),
        "GET /v1/disputes/{id}": lambda: Request(path={"id": things.dispute()}),
        "POST /v1/disputes/{id}/answers": lambda: Request(
            path={"id": things.dispute(counterparty="operator")}, body={"answer": "accepted", "note": "so it is"}
        ),
        # Proposed by the other operator: this one decides.
        # Kept here on both sides: it is not on its way, and never was.
        "POST /v1/conversions/{id}/resolution": lambda: Request(
            path={"id": things.conversion()["conversion_id"]}, body={"outcome": "released", "reason": "r"}
        ),
        "POST /v1/disputes/{id}/decision": lambda: Request(
            path={"id": things.dispute(answered=True, proposed=True)}, body=dict(DECISION)
        ),
        "DELETE /v1/disputes/{id}/decision": lambda: Request(
            path={"id": things.dispute(answered=True, proposed=True)}
        ),
    }
    for tail in ("", "/entries", "/export", "/vouchers"):
        good[f"GET /v1/memberships/{{member_ref}}{tail}"] = lambda: Request(path=membership(), query={})
    return good


def fields(things, spare, rng):
    """What a field of this name may be set to, wherever it stands in a request."""
    pick = rng.choice

    def quote():
        return things.quote()["token"]

    return {
        "member_ref": lambda: pick(spare["refs"] + spare["mem"]),
        "external_reference": lambda: fresh("ref"),
        "idempotency_key": lambda: fresh("key"),
        "to": lambda: pick([OTHER, "sprout", "kettle", "lumen"]),
        "from": lambda: pick([OTHER, "sprout"]),
        "tier": lambda: pick(["ordinary", "silver", "gold", "diamond"]),
        "status": lambda: pick(["active", "active", "frozen", "closed"]),
        "quote": quote,
        "code": lambda: pick(spare["codes"] + spare["shown"]),
        "brand": lambda: pick([OTHER, "sprout", "kettle"]),
        "giver": lambda: pick(["lumen", OTHER, "sprout"]),
        "version": lambda: pick([1, 1, 2, 2**53 - 1]),
        "cost": lambda: pick(["0", "0.000001", "2.50", "1000000000"]),
        "quota": lambda: pick([0, 1, 2, 1_000_000_000]),
        "count": lambda: pick([1, 2, 65_535]),
        "use_until": lambda: pick(["2026-12-31", "0001-01-01", "9999-12-31"]),
        "expires_on": lambda: pick(["2099-12-31", "2026-12-31", "0000-01-31", "9999-12-31"]),
        "available_on": lambda: pick(["2026-02-01", "9999-12-31", "0000-01-01"]),
        "occurred_at": lambda: pick(
            ["2026-01-05T08:00:00Z", "0000-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
        ),
        "as_of": lambda: pick(["2026-01-05T08:00:00Z", "9999-12-31T23:59:59-12:00"]),
        "points": lambda: pick([1, 2, 20, 20, 136, 10_000, 2**53 - 1]),
        "credit_points": lambda: pick([1, 2, 10, 2**53 - 1]),
        "confirmation": lambda: things.conversion()["confirmation"],
        "cursor": lambda: pick(spare["cursors"]),
        "id": lambda: pick([one for kind in OF_AN_ID for one in spare[kind]]),
        "window": lambda: pick(spare["windows"]),
        "conversion_id": lambda: pick(spare["settled"] + spare["cnv"]),
        "line_id": lambda: pick(spare["lines"]),
        "counterparty": lambda: pick([OTHER, "operator", "sprout"]),
        "participant": lambda: pick(["lumen", OTHER, "operator"]),
        "name": lambda: pick([*REPORTS, "summary"]),
        "protected": lambda: things.counter_signature()["protected"],
        "signature": lambda: things.counter_signature()["signature"],
        "line": lambda: things.cosignature()["line"],
        "at": lambda: pick(["2026-03-01T00:00:00Z", "1999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"]),
        "kid": lambda: pick(spare["kids"]),
        "url": lambda: things.address["receiver"],
        "from_sequence": lambda: pick([1, 1, 2, 2**53 - 1]),
        "since": lambda: pick(["2026-01-05T08:00:00Z", "0000-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]),
    }
