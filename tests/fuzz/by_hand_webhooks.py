"""Webhooks: places that are not called, more of them than there may be, and a whole feed that arrives."""

import json
import time

from by_hand_bodies import INVALID, JSON
from things import OWN, WEBHOOKS_MAX
from wire import Wire, attempt

ARRIVES_WITHIN_S = 120


def places(hand):
    """URLs that are not called, in a new webhook and in a change of one"""
    wire, one = Wire.of(hand.address, OWN), hand.things.webhook()
    urls = {
        "no TLS": "http://hooks.example/",
        "another scheme": "ftp://hooks.example/",
        "a user": "https://a:b@hooks.example/",
        "a fragment": "https://hooks.example/#a",
        "no host": "https://",
        "a host and a dot": "https://hooks.example./",
        "a host in upper case": "https://HOOKS.example/",
        "a host that is not ASCII": "https://例.example/",
        "a path that goes up": "https://hooks.example/../x",
        "a space": "https://hooks.example/a b",
        "513 characters": "https://hooks.example/" + "a" * 491,
        "the port of another service": "https://hooks.example:5432/",
        "a low port": "https://hooks.example:22/",
        "a private address": "https://10.0.0.1/",
        "an address of this link": "https://169.254.169.254/latest/meta-data",
        "no address at all": "https://0.0.0.0/",
        "the loopback of IPv6": "https://[::1]:8443/",
        "a private address of IPv4 in IPv6": "https://[::ffff:10.0.0.1]/",
        "an address as one number": "https://2130706433:8443/",
        "an address in hexadecimal": "https://0x7f.0.0.1:8443/",
    }
    for what, url in urls.items():
        for method, path, more in (("POST", "/v1/webhooks", {}), ("PUT", f"/v1/webhooks/{one}", {"state": "active"})):
            body = json.dumps({"url": url, **more}).encode()
            yield f"a URL with {what}", INVALID, attempt(wire.send, method, path, body, [JSON])
    changed = hand.things.own.must("GET", f"/v1/webhooks/{one}")["url"]
    yield "it is sent to where it was", hand.address["receiver"], changed


def bounds(hand):
    """A fifth webhook, a fifth secret, types and states and numbers that are none"""
    wire, things = Wire.of(hand.address, OWN), hand.things
    body = things.new_webhook_body()
    for more in (
        {"types": []},
        {"types": ["conversion.compleated"]},
        {"types": ["link.ended"] * 65},
        {"types": "link.ended"},
        {"from_sequence": 0},
        {"from_sequence": 2**53 - 1},
    ):
        said = json.dumps({**body, **more}).encode()
        yield f"a webhook of {json.dumps(more)[:40]}", INVALID, attempt(wire.send, "POST", "/v1/webhooks", said, [JSON])
    one = things.webhook()
    there = len(things.own.must("GET", "/v1/webhooks")["items"])
    said = json.dumps(body).encode()
    for count in range(there + 1, WEBHOOKS_MAX + 2):
        wanted = "201" if count <= WEBHOOKS_MAX else INVALID
        yield f"a webhook that is number {count}", wanted, attempt(wire.send, "POST", "/v1/webhooks", said, [JSON])
    path = f"/v1/webhooks/{one}"
    for hours in ("-1", "73", "1.0", '"1"', "9007199254740992"):
        said = f'{{"overlap_hours":{hours}}}'.encode()
        yield f"a secret that overlaps {hours} hours", INVALID, attempt(
            wire.send, "POST", f"{path}/secret-rotations", said, [JSON]
        )
    for hours, wanted in ((72, "201"), (72, "201"), (72, "201"), (72, INVALID), (0, "201")):
        said = json.dumps({"overlap_hours": hours}).encode()
        yield f"one secret more, {hours} hours", [wanted], attempt(
            wire.send, "POST", f"{path}/secret-rotations", said, [JSON]
        )
    for state in ("ended", "", "ACTIVE"):
        said = json.dumps({"url": body["url"], "state": state}).encode()
        yield f"the state {state!r}", INVALID, attempt(wire.send, "PUT", path, said, [JSON])
    for query in ("state=lost", "state=", "limit=0", "limit=201", "cursor=AAAA", "cursor=", "states=dead"):
        yield f"deliveries?{query}", INVALID, attempt(wire.send, "GET", f"{path}/deliveries?{query}")
    for since in ("yesterday", "2026-01-05", "2026-01-05T08:00:00", "9999-12-31T23:59:59-12:00"):
        said = json.dumps({"since": since}).encode()
        yield f"recovering since {since}", INVALID, attempt(wire.send, "POST", f"{path}/recover", said, [JSON])


def fed(hand):
    """All that has happened so far, to one webhook from its first event on"""
    things = hand.things
    one, give_up = things.fed_webhook(), time.monotonic() + ARRIVES_WITHIN_S

    def waiting():
        listed = [
            found
            for state in ("due", "retrying")
            for found in things.own.must("GET", f"/v1/webhooks/{one}/deliveries?state={state}")["items"]
        ]
        return things.own.must("GET", f"/v1/webhooks/{one}")["backlog"] + len(listed)

    while waiting() and time.monotonic() < give_up:
        time.sleep(0.5)
    yield "what waits", "0", str(waiting())
    shown = things.own.must("GET", f"/v1/webhooks/{one}")
    yield "how it fares", "active, closed, 0", f"{shown['state']}, {shown['breaker']}, {shown['failures']}"
    dead = things.own.must("GET", f"/v1/webhooks/{one}/deliveries?state=dead")["items"]
    yield "what nobody could be told", "[]", str(dead[:1])
    tested = things.own.must("POST", f"/v1/webhooks/{one}/test")
    yield "a test arrives", "True", str(tested["delivered"])
