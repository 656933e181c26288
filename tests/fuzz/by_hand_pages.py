"""Pages: every address of consoles, tills and members, by nobody, by forged sessions, by every role, by another brand's."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pages
from exchange import CHECKOUT, fresh
from pages import MEMBER, STAFF, Browser, fault_of_page, filled
from things import OTHER, OWN, STRANGER
from wire import Closed

ROLES = ["viewer", "clerk", "finance", "engineer", "admin"]
# Open to everybody, with checks of their own.
DOORS = ("/sign-in", "/member/open/")
# What ends a session is tried where that is no loss.
WAYS_OUT = ("/sign-out", "/sign-out-everywhere", "/end")
ODD = [
    "",
    "%00",
    "%ff",
    "-1",
    "9" * 40,
    "1e308",
    "NaN",
    "%E7%A7%AF%F0%9F%98%80",
    "a" * 130,
    "..%2F..%2Fetc",
    "'%20OR%201=1%20--",
]
ODD += [
    "0000-01-01",
    "9999-12-31",
    "-262143-01-01",
    "%2B262142-12-31",
    "%3Cscript%3E",
    "win_" + "0" * 32,
    "-0",
    "%D9%A1",
]
NOTHING = [
    "x",
    "%00",
    "%FF",
    "..%2F..%2Fetc",
    "a" * 3_000,
    "cnv_0198c0de0000700080000000000000ab",
    "'%20OR%201=1%20--",
]
# Of a form that is too large no more may be read than what it says of itself: who still sends is cut off.
CUT_OFF = "10 MB"
LARGE = b"form_token=x&store=" + b"a" * 10_000_000


def held(answer, allowed, secrets=()):
    """`so`, or what is wrong: a fault of any page, or a status that is not for whoever asks."""
    fault = fault_of_page(answer, secrets)
    return fault or (
        "so" if answer.status in allowed else f"{answer.status}: {answer.content.decode(errors='replace')[:200]}"
    )


NO = (401, 403, 404, 413, 422)
ANY = (200, 303, 400, 409, *NO)


def is_door(route):
    return route.split(" ")[1].startswith(DOORS)


def strangers(hand):
    """Nobody, and cookies that are no session: no page of anybody's"""
    member = pages.member(hand.address, hand.things.own, hand.things.taken_by())
    ended = pages.member(hand.address, hand.things.own, hand.things.taken_by())
    ended.ask("POST", "/member/end", {"form_token": ended.token})
    told = member.cookies[MEMBER]
    cookies = {
        "nobody": {},
        "an empty cookie": {STAFF: "", MEMBER: ""},
        "a forged cookie": {STAFF: "A" * 43, MEMBER: "A" * 43},
        "a cookie of 4 kB": {STAFF: "A" * 4_000, MEMBER: "A" * 4_000},
        "a cookie that is no text": {STAFF: '%ff%00\\";é', MEMBER: '%ff%00\\";é'},
        "a member's cookie as staff's": {STAFF: told, MEMBER: told[:-1] + ("A" if told[-1] != "A" else "B")},
        "a session that has ended": {STAFF: told, MEMBER: ended.cookies.get(MEMBER) or told[::-1]},
    }
    for who, given in cookies.items():
        for route in pages.routes():
            browser = Browser(hand.address)
            method, path = filled(route, [hand.things.window()["window_id"]] * 3 if "{window}" in route else ["x"] * 3)
            asks = [("", {"form_token": "x"} if method == "POST" else None)]
            asks += [("?%ff=%00&after=%ff&lang=%ff", asks[0][1])] + (
                [("", LARGE)] if method == "POST" and who == "nobody" else []
            )
            for query, form in asks:
                browser.cookies = dict(given)
                # A query that is odd, or missing, may be looked at first.
                allowed = (200, 400, 410, *NO) if is_door(route) else (401, 400)
                where, answer = "at a door" if is_door(route) else "asking for a page", browser.ask(
                    method, path + query, form
                )
                yield f"{who}, {where}", "so", (
                    "so" if form is LARGE and isinstance(answer, Closed) else held(answer, allowed)
                )


def names(route):
    """What any form or query of staff's pages, or of members', is made of."""
    struct = r"#\[derive\([^)]*Deserialize[^)]*\)\]\s*(?:pub )?struct \w+[^{]*\{([^}]*)\}"
    folder = CHECKOUT / "src/web" / ("member" if "/member" in route else "staff")
    told = "\n".join(one for file in folder.rglob("*.rs") for one in re.findall(struct, file.read_text()))
    return sorted(set(re.findall(r"^\s*(?:pub )?(\w+):", told, re.MULTILINE)))


def real_of(things):
    """Things of ours, by where they are in an address."""
    voucher, conversion = things.voucher(), things.conversion()["conversion_id"]
    window = things.window()["window_id"]
    return {
        "benefits": things.claimable(),
        "conversions": conversion,
        "crossings": conversion,
        "disputes": things.dispute(),
        "deliveries": things.delivery(),
        "webhooks": things.fed_webhook(),
        "people": "nobody-here",
        "proposals": things.proposal()["id"],
        "redemptions": things.redemption(),
        "vouchers": voucher["voucher_id"],
        "links": things.pair()[2],
        "windows": window,
        "payments": window,
    }


def places(things, route, real):
    """What may be in the places of a route, beside what is odd."""
    path = route.split(" ")[1]
    family = path.split("/")[2] if path.count("/") > 1 else ""
    if family == "reconciliations":
        made = things.reconciliation()
        return [made["window"], made["id"]]
    if family == "windows":
        name = "statement" if "/reports/" in path else f"{OWN}-{OTHER}"
        return [real["windows"], name]
    return [real.get(family, "x"), "x"]


def tries(browser, route, things, real, seed):
    """Everything odd that one session asks of a route; each as what it is, and its answer."""
    pick, known = random.Random(f"{seed} {route}"), names(route)
    method, path = filled(route, places(things, route, real))
    large = dict.fromkeys(known, "x" * 2_000)
    if method == "GET":
        first = browser.ask("GET", path)
        yield "as it is", first
        if first.status == 403:
            return
        for value in ODD:
            yield "every parameter odd", browser.ask("GET", path + "?" + "&".join(f"{name}={value}" for name in known))
        for _ in range(8):
            yield "one parameter odd", browser.ask("GET", f"{path}?{pick.choice(known)}={pick.choice(ODD)}")
        for query in ("?&&==&%", "?lang=zh&lang=en", "?" + "a=1&" * 800, "?" + "a" * 5_000):
            yield "a query of an odd form", browser.ask("GET", path + query)
    else:
        yield "a form without its token", browser.ask("POST", path, {})
        yield "another session's token", browser.ask("POST", path, {"form_token": things.foreign_token, **large})
        yield CUT_OFF, browser.ask("POST", path, LARGE)
        yield "a form that is JSON", browser.ask(
            "POST", path, b'{"form_token":"x"}', [("content-type", "application/json")]
        )
        own = f"form_token={quote(browser.token)}"
        first = browser.ask("POST", path, own.encode())
        yield "nothing but its token", first
        if first.status == 403 or path.endswith(WAYS_OUT):
            return
        for value in ODD:
            yield "every field odd", browser.ask(
                "POST", path, "&".join([own, *(f"{name}={value[:500]}" for name in known)]).encode()
            )
        for raw in (own + "&" + own, own + "&%ff=%ff", own + "&a" * 3_000, own + "&key=k&code=%00&reason=%00"):
            yield "a form of an odd form", browser.ask("POST", path, raw.encode())
    for value in NOTHING if "{" in route else ():
        odd = filled(route, [value] * 3)[1]
        form = {"form_token": browser.token, **dict.fromkeys(known, "x")} if method == "POST" else None
        yield "an odd place", browser.ask(method, odd, form)


def at_work(hand, browsers, routes, allowed=ANY):
    """What everybody tries, each at its own pace."""
    things, real = hand.things, real_of(hand.things)
    things.foreign_token = pages.member(hand.address, things.own, things.member()).token

    def one(named):
        who, browser = named
        return [
            (f"{who}: {what}", "so" if what == CUT_OFF and isinstance(answer, Closed) else held(answer, allowed))
            for route in routes
            if not (route.endswith(WAYS_OUT) and "sign-out-everywhere" not in route) and not is_door(route)
            for what, answer in tries(browser, route, things, real, who)
        ]

    with ThreadPoolExecutor(len(browsers)) as pool:
        for done in pool.map(one, browsers.items()):
            for what, so in done:
                yield what, "so", so


def consoles(hand):
    """Every role of a brand, and of the operator, at consoles and tills"""
    browsers = {f"{role} of ours": pages.staff(hand.exchange, fresh(role[:3])[:20], role, OWN) for role in ROLES}
    for role in ("finance", "engineer"):
        browsers[f"{role} of the operator's"] = pages.staff(hand.exchange, fresh(role[:3])[:20], role)
    for browser in browsers.values():
        browser.ask("POST", "/till/place", {"form_token": browser.token, "store": "Bund 外滩", "till": "3"})
    routes = [one for one in pages.routes() if "/member" not in one]
    yield from at_work(hand, browsers, routes)


def members(hand):
    """Two members, each at its page"""
    things = hand.things
    browsers = {
        "a member": pages.member(hand.address, things.own, things.taken_by()),
        "another": pages.member(hand.address, things.own, things.member()),
    }
    yield from at_work(hand, browsers, [one for one in pages.routes() if "/member" in one])


def foreign(hand):
    """Another brand's things on every page: neither shown nor moved"""
    things = hand.things
    secret = things.voucher(external_reference=fresh("secret"))
    use = things.redemption_body(store=fresh("secret"))
    redeemed = things.own.must("POST", f"/v1/vouchers/{secret['code']}/redemptions", use, fresh("key"))[
        "redemption_id"
    ]
    conversion = things.conversion()
    secrets = [secret["code"], use["store"], conversion["confirmation"], things.taken_by(), things.address["receiver"]]
    people = {role: pages.staff(hand.exchange, fresh(role[:3])[:20], role, STRANGER) for role in ROLES}
    member = pages.member(hand.address, things.stranger, things.member(things.stranger))
    real = real_of(things) | {"redemptions": redeemed, "conversions": conversion["conversion_id"]}
    real["vouchers"] = things.voucher()["voucher_id"]
    for route in pages.routes():
        if "{" not in route or is_door(route):
            continue
        method, path = filled(route, places(things, route, real))
        # Windows are everybody's.
        allowed = ANY if "/windows/" in path else NO
        for who, browser in (
            {"a member of": member, **people}.items() if "/member/" not in path else (("a member", member),)
        ):
            if ("/member/" in path) != (browser is member):
                continue
            form = {
                "form_token": browser.token,
                "version": "1",
                "state": "closed",
                "reason": "r",
                "key": "k",
                "note": "n",
                "answer": "accept",
            }
            form |= {
                "role": "viewer",
                "outcome": "released",
                "jws": "a.b.c",
                "webhook": real["webhooks"],
                "amount": "",
                "store": "s",
            }
            answer = browser.ask(method, path, form if method == "POST" else None)
            yield f"{who} another brand's", "so", held(answer, allowed, secrets)
    for code in (secret["code"], things.voucher()["code"]):
        clerk = people["clerk"]
        clerk.ask("POST", "/till/place", {"form_token": clerk.token, "store": "Bund", "till": "3"})
        for path in ("/till/look", "/till/redemptions"):
            answer = clerk.ask("POST", path, {"form_token": clerk.token, "code": code, "key": fresh("k"), "bill": ""})
            yield "another brand's voucher at a till", "so", held(answer, NO, [code, *secrets])
    state = things.own.must("GET", f"/v1/vouchers/{real['vouchers']}")["state"]
    yield "a voucher stays", "issued", state
