"""Shared benefits: values at their bounds, what tills send, who else asks, a suspended partner, and many at once."""

import json
import random
import threading
import time
from collections import Counter

from by_hand_bodies import INVALID, JSON, MALFORMED
from exchange import Client, fresh
from things import OTHER, OWN, STRANGER
from wire import Wire, attempt

NOTHING, FORBIDDEN = "404 not_found", "403 forbidden"
# Seconds that many take, give back and cancel the same vouchers, and how many.
RACE_S, THREADS = 20, 12
# The brand that is suspended for a while, with whom nobody else here has business.
SUSPENDED = "velvet"


def send(wire, method, path, body=None, key=None):
    body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return attempt(wire.send, method, path, body, [JSON, ("idempotency-key", key or fresh("key"))])


def bounds(hand):
    """Benefits with values at their bounds"""
    things, wire = hand.things, Wire.of(hand.address, OWN)

    def put(**changes):
        return send(wire, "PUT", f"/v1/benefits/{fresh('fuzz')}", things.benefit_body(**changes))

    def offer(**more):
        return [{"to": OWN, "funder": "brand", **more}]

    no_amount = ["-0", "-1", "1e3", "1e308", "0.0000001", "9007199254740992", "9" * 5_000, "00000000001", "٣", "１"]
    no_amount += ["1.", ".1", "+1", " 1", "1,0", "1_0", "0x1", "NaN", "", "1000000000.000001"]
    for wanted, texts in ((INVALID, no_amount), ("200", ["0", "0.000001", "1000000000", "999999999.999999"])):
        for text in texts:
            for changes in (
                {"face_value": text},
                {"offers": offer(cash=text)},
                {"offers": offer(cost=text)},
                {"kind": "coupon", "discount": {"amount": text}},
                {"kind": "coupon", "discount": {"amount": "1", "from": text}},
                {"kind": "coupon", "discount": {"percent": "1", "at_most": text}},
            ):
                yield f"the amount {text[:20]!r}", wanted, put(**changes)
    for text in ("0", "-0", "-1", "0.001", "100.01", "1e1", "٣", "101", "0000000000100"):
        yield f"{text[:12]} per cent", INVALID, put(kind="coupon", discount={"percent": text})
    for text in (
        "0000-01-01",
        "10000-01-01",
        "+10000-01-01",
        "-0001-01-01",
        "2026-02-30",
        "2026-1-5",
        "262142-12-31",
        "2026-01-01T00:00:00Z",
    ):
        yield f"the day {text}", INVALID, put(use_days=None, use_until=text)
        yield f"the day {text}", INVALID, put(blackouts=[{"from": text, "to": text}])
    for text in (
        "0000-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "2026-01-01",
        "2026-01-01 00:00:00Z",
        "+262142-12-31T23:59:59Z",
    ):
        for changes in ({"claims_from": text}, {"claims_until": text}, {"offers": offer(claims_from=text)}):
            yield f"the moment {text}", INVALID, put(**changes)
    for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"):
        made = put(claims_until=text)
        yield f"the moment {text}", "200", made
        claim = send(wire, "POST", f"/v1/benefits/{made.json()['benefit_id']}/claims", things.claim_body())
        yield f"a claim until {text[:4]}", "422 not_eligible" if text < "1" else "201", claim
    made = put(use_days=None, use_until="9999-12-31").json()["benefit_id"]
    code = things.voucher(made)["code"]
    yield "used until the last day there is", "201", send(
        wire, "POST", f"/v1/vouchers/{code}/redemptions", things.redemption_body()
    )
    for quota, wanted in ((0, "422 sold_out"), (1, "201"), (10**9, "201"), (None, "201")):
        made = put(quota=quota).json()["benefit_id"]
        yield f"a claim of {quota}", wanted, send(wire, "POST", f"/v1/benefits/{made}/claims", things.claim_body())
    for count in (1, 65_535):
        made = put(offers=offer(per_member={"count": count, "period": "ever"})).json()["benefit_id"]
        path = f"/v1/benefits/{made}/claims"
        yield "the first of so many a member", "201", send(wire, "POST", path, things.claim_body())
        yield f"the second of {count}", "422 already_claimed" if count == 1 else "201", send(
            wire, "POST", path, things.claim_body()
        )
    day = {"from": "2026-01-01", "to": "2026-01-01"}
    for count, wanted in ((64, "200"), (65, INVALID), (10_000, INVALID)):
        yield f"{count} offers", wanted, put(offers=[{"to": OWN, "tag": "x"}] * count)
        yield f"{count} tiers", wanted, put(offers=offer(tiers=["gold"] * count))
        yield f"{count} days on which it is not good", wanted, put(blackouts=[day] * count)
    long = {"en": "😀" * 1_000, "zh": "积" * 1_000}
    whole = [{"to": OWN, "tag": "a" * 32, "tiers": ["gold"] * 64}] * 64
    yield "everything as long as it may be", "200", put(description=long, offers=whole, blackouts=[day] * 64)
    yield "a description that is longer", INVALID, put(description={"en": "a" * 1_001, "zh": "b"})
    twice = b'{"kind":"ticket","%s":"coupon","name":{"en":"a","zh":"b"},"use_days":1,"offers":[{"to":"lumen"}]}'
    for name in (b"kind", b"\\u006bind"):
        yield "a member twice", MALFORMED, send(wire, "PUT", f"/v1/benefits/{fresh('fuzz')}", twice % name)


def codes(hand):
    """Pools of codes: as many and as odd as they come, and tier maps"""
    things, wire = hand.things, Wire.of(hand.address, OWN)
    pool = f"/v1/benefits/{things.pool()}/codes"
    for count, wanted in (
        (0, INVALID),
        (9_999, "200"),
        (10_000, "200"),
        (10_001, INVALID),
        (40_000, [INVALID, "413 too_large"]),
    ):
        yield f"{count} codes", wanted, send(wire, "POST", pool, {"codes": [fresh("C") for _ in range(count)]})
    made = things.pool(1)
    pool = f"/v1/benefits/{made}/codes"
    yield "one code ten thousand times is one", "1", str(
        send(wire, "POST", pool, {"codes": ["SAME"] * 10_000}).json()["added"]
    )
    for code in ("积分", "e\u0301", "\u202eX", "a b", " a", "A" * 65, "", "\0", "１２"):
        yield f"the code {code[:4]!r}", INVALID, send(wire, "POST", pool, {"codes": ["fine", code]})
    yield "none of them was taken", "200", send(wire, "GET", pool)
    odd = ["%00", "../../x", "7q2k-m0xr-4d9v-81bt", "<script>", "'\"\\", "=1+1", "A" * 64, "?a#b", "vch_" + "0" * 32]
    yield "codes of odd characters", "200", send(wire, "POST", pool, {"codes": odd})
    for _ in range(len(odd) + 2):
        held = things.voucher(made)
        # A voucher's id is no code.
        wanted = "404 not_found" if held["code"].startswith("vch_") else "200"
        path = "/v1/vouchers/" + "".join(f"%{byte:02x}" for byte in held["code"].encode())
        found = send(wire, "GET", path)
        same = getattr(found, "status", 0) != 200 or found.json()["voucher_id"] == held["voucher_id"]
        yield "a code of a pool at a till", wanted, found if same else "another voucher"
        yield "and taken", ["201"], send(wire, "POST", path + "/redemptions", things.redemption_body())
    yield "the pool is empty", "422 sold_out", send(wire, "POST", f"/v1/benefits/{made}/claims", things.claim_body())
    for tiers, wanted in (({}, "200"), ({"l1": "nothing"}, INVALID), ({f"t{n}": "gold" for n in range(60)}, INVALID)):
        yield "a map of tiers", wanted, send(wire, "PUT", f"/v1/tier-maps/{OTHER}", {"tiers": tiers})
    yield "a tier twice", MALFORMED, send(
        wire, "PUT", f"/v1/tier-maps/{OTHER}", b'{"tiers":{"l1":"gold","l1":"silver"}}'
    )
    for brand in (OWN, "nowhere"):
        yield "a map of nobody's tiers", NOTHING, send(wire, "PUT", f"/v1/tier-maps/{brand}", {"tiers": {}})


def tills(hand):
    """What tills send: receipts, bills, and keys that were used for something else"""
    things, wire = hand.things, Wire.of(hand.address, OWN)

    def take(code, key=None, **more):
        return send(wire, "POST", f"/v1/vouchers/{code}/redemptions", things.redemption_body(**more), key)

    for field in ("store", "till", "receipt", "external_reference"):
        code = things.voucher()["code"]
        for text in ("R" * 10_240, "积" * 129, "", "\n"):
            yield f"a {field} that is none", INVALID, take(code, **{field: text})
        yield f"a {field} of 128", "201", take(code, **{field: fresh("积") + "积" * 100})
    made = things.benefit(uses=1_000, stacks=True, kind="coupon", discount={"percent": "100"})["benefit_id"]
    code = things.voucher(made)["code"]
    for text in ("-0", "-0.01", "1e3", "1e308", "1000000000000", "0.0000001", "٣", "", "NaN"):
        yield f"a bill of {text!r}", INVALID, take(code, amount=text)
    yield "no bill, for a coupon", INVALID, take(code)
    for text in ("0", "0.000001", "999999999999.999999"):
        yield f"a bill of {text}", "201", take(code, amount=text)
    receipt = fresh("receipt")
    first, second = things.voucher()["code"], things.voucher()["code"]
    yield "the first of a receipt", "201", take(first, receipt=receipt)
    yield "another of it, that does not stack", "422 not_stackable", take(second, receipt=receipt)
    key = fresh("key")
    claim = f"/v1/benefits/{things.claimable()}/claims"
    body = things.claim_body()
    yield "a key", "201", send(wire, "POST", claim, body, key)
    yield "the same again", "201", send(wire, "POST", claim, body, key)
    yield "for another claim", "422 idempotency_mismatch", send(wire, "POST", claim, things.claim_body(), key)
    # Each operation has keys of its own.
    taken = take(second, key)
    yield "for a till", "201", taken
    yield "for another voucher", "422 idempotency_mismatch", take(first, key)
    back = f"/v1/redemptions/{taken.json()['redemption_id']}/reversals"
    yield "for taking it back", "201", send(wire, "POST", back, {"reason": "by mistake"}, key)
    yield "for a credit", "201", send(
        wire,
        "POST",
        f"/v1/memberships/{things.taken_by()}/credits",
        {"points": 1, "reason": "r", "external_reference": fresh("r")},
        key,
    )
    paid = things.paid_benefit()
    for version in (2, 2**53 - 1):
        yield "a version far away", INVALID, send(
            wire, "POST", f"/v1/benefits/{paid['benefit_id']}/approvals", {"version": version}
        )
        yield "a claim of a version far away", ["422 stale", INVALID], send(
            wire, "POST", claim, things.claim_body(version=version)
        )


def callers(hand):
    """Who else asks: another partner, the operator, a suspended one"""
    things = hand.things
    ticket, voucher = things.claimable(), things.voucher()
    harvest, stranger, operator = (Wire.of(hand.address, name) for name in (OTHER, STRANGER, "ops"))
    own, shown = f"/v1/vouchers/{voucher['voucher_id']}", f"/v1/vouchers/{voucher['code']}"
    for who, wire in (("the brand it is offered to", harvest), ("a stranger", stranger)):
        yield f"codes, by {who}", NOTHING, send(wire, "POST", f"/v1/benefits/{ticket}/codes", {"codes": ["C"]})
        yield f"the pool, by {who}", NOTHING, send(wire, "GET", f"/v1/benefits/{ticket}/codes")
        for path in (own, shown):
            yield f"a voucher, by {who}", NOTHING, send(wire, "GET", path)
        yield f"a voucher at a till of {who}", NOTHING, send(
            wire, "POST", f"{shown}/redemptions", things.redemption_body()
        )
        yield f"cancelled by {who}", NOTHING, send(wire, "POST", f"{own}/cancellations", {"reason": "r"})
        yield f"confirmed by {who}", NOTHING, send(wire, "POST", f"{own}/confirmation")
    yield "a yes of who does not pay", FORBIDDEN, send(
        harvest, "POST", f"/v1/benefits/{ticket}/approvals", {"version": 1}
    )
    yield "a yes of a stranger", NOTHING, send(stranger, "POST", f"/v1/benefits/{ticket}/approvals", {"version": 1})
    yield "a yes of the operator, who does not pay", FORBIDDEN, send(
        operator, "POST", f"/v1/benefits/{ticket}/approvals", {"version": 1}
    )
    yield "a voucher by its code, by the operator", FORBIDDEN, send(operator, "GET", shown)
    recognised = send(stranger, "GET", f"/v1/passes/{things.pass_code()}")
    told = recognised.json()
    yield "a pass at anybody's till", "200", (
        recognised if told["shared"] == {} and "token" not in told else f"it tells {told}"
    )
    yield from suspended(hand)


def suspended(hand):
    """A partner that is suspended gives and takes nothing new; what is held goes on."""
    things, brand = hand.things, Client(hand.address, SUSPENDED)
    wire, ours = Wire.of(hand.address, SUSPENDED), Wire.of(hand.address, OWN)
    given = things.benefit(brand, offers=[{"to": OWN}, {"to": SUSPENDED}])["benefit_id"]
    before, member = things.voucher(given), things.member(brand)
    code, printed = hand.exchange.beside("partners", "suspend", SUSPENDED, "--reason", "for a while")
    yield "suspended beside the server", "0", str(code) if code == 0 else printed
    body = {"points": 1, "reason": "r", "external_reference": fresh("r")}
    give_up = time.monotonic() + 15
    while True:
        claim = send(ours, "POST", f"/v1/benefits/{given}/claims", things.claim_body())
        if claim.status != 201 or time.monotonic() > give_up:
            break
        time.sleep(0.2)
    yield "a claim of what it gives", "422 partner_suspended", claim
    mine = {"member_ref": member}
    yield "a claim by its member", "422 partner_suspended", send(wire, "POST", f"/v1/benefits/{given}/claims", mine)
    yield "a voucher of before at its till", "201", send(
        wire, "POST", f"/v1/vouchers/{before['code']}/redemptions", things.redemption_body()
    )
    yield "its member is credited", "201", send(wire, "POST", f"/v1/memberships/{member}/credits", body)
    yield "a pass of its member's", ["201", "422 partner_suspended"], send(
        wire, "POST", f"/v1/memberships/{member}/passes"
    )
    yield "a benefit that it puts", ["200", FORBIDDEN, "422 partner_suspended"], send(
        wire, "PUT", f"/v1/benefits/{fresh('fuzz')}", things.benefit_body()
    )
    code, printed = hand.exchange.beside("partners", "resume", SUSPENDED, "--reason", "it was for a while")
    yield "resumed", "0", str(code) if code == 0 else printed


def race(hand):
    """Many take, give back, confirm and cancel the same vouchers, and say yes and no to the same benefits"""
    things = hand.things
    made = things.benefit(
        things.other,
        quota=60,
        uses=2,
        stacks=True,
        offers=[{"to": OWN, "points": 1, "funder": "brand", "cost": "0.03"}],
    )
    benefit, version = made["benefit_id"], {"version": made["version"]}
    things.own.must("POST", f"/v1/benefits/{benefit}/approvals", version)
    refs = [things.member() for _ in range(4)]
    vouchers, uses, seen, slow = [], [], Counter(), []
    until = time.monotonic() + RACE_S

    def one(seed):
        rng, brand, giver = random.Random(seed), Client(hand.address, OWN), Client(hand.address, OTHER)
        while time.monotonic() < until:
            held, used = rng.choice(vouchers or [None]), rng.choice(uses or [None])
            at = f"/v1/vouchers/{held and held['voucher_id']}"
            acts = [
                (
                    "claim",
                    brand,
                    "POST",
                    f"/v1/benefits/{benefit}/claims",
                    {"member_ref": rng.choice(refs), "reserve": rng.random() < 0.3},
                )
            ]
            acts += [("yes", brand, "POST", f"/v1/benefits/{benefit}/approvals", version)] * (rng.random() < 0.2)
            acts += [("no", brand, "DELETE", f"/v1/benefits/{benefit}/approvals", None)] * (rng.random() < 0.1)
            if held:
                acts += [("cancel", rng.choice([brand, giver]), "POST", f"{at}/cancellations", {"reason": "r"})]
                acts += [("confirm", brand, "POST", f"{at}/confirmation", None)]
                taken = things.redemption_body(receipt=rng.choice("abc"))
                acts += [("take", giver, "POST", f"/v1/vouchers/{held.get('code', 'x')}/redemptions", taken)] * 3
            if used:
                acts += [("back", giver, "POST", f"/v1/redemptions/{used}/reversals", {"reason": "r"})] * 2
            what, client, method, path, body = rng.choice(acts)
            began = time.monotonic()
            answer = client.send(method, path, body, fresh("key"))
            slow.extend([f"{what}: {time.monotonic() - began:.0f} s"] if time.monotonic() - began > 10 else [])
            told = answer.json()
            seen[f"{what}: {answer.status_code} {told.get('code', '') if not answer.ok else ''}".strip()] += 1
            if answer.ok and what in ("claim", "confirm"):
                vouchers.append(told)
            if answer.ok and what == "take":
                uses.append(told["redemption_id"])

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("  " + ", ".join(f"{what} ×{count}" for what, count in sorted(seen.items())))
    for what in seen:
        # A decision waits for what is on its way, and says when to come again.
        yield "what came of it", what, what if " 5" not in what or " 503 " in what else f"a 5xx: {what}"
    yield "nobody waits for ten seconds", "so", ", ".join(slow) or "so"
    for what in ("claim: 201", "take: 201", "back: 201", "cancel: 200", "no: 200"):
        yield "each has come to pass", what, what if seen[what] else f"never {what}"
    left = things.other.must("GET", f"/v1/benefits/{benefit}")
    states = Counter(
        things.own.must("GET", f"/v1/vouchers/{one}")["state"] for one in {one["voucher_id"] for one in vouchers}
    )
    standing = sum(count for state, count in states.items() if state != "cancelled")
    yield "as many are taken as stand", str(left["taken"]), str(standing)
    yield "no more than there are", "so", "so" if left["taken"] <= 60 else str(left["taken"])
