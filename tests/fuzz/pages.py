"""What the pages are made of for the fuzzer: their addresses, as the sources register them, and browsers that are somebody."""

import base64
import hashlib
import hmac
import json
import re
import struct
import time
from html import unescape
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from exchange import CHECKOUT
from wire import Closed, Wire

FORM = ("content-type", "application/x-www-form-urlencoded")
PASSWORD = "a herring in every barrel 4417"
STAFF, MEMBER = "__Host-hanse-staff", "__Host-hanse-member"
# What every page forbids: `src/web/page.rs` says how.
FORBIDS = ("content-security-policy", "cache-control", "x-content-type-options", "referrer-policy")
# Pages of a session are as many a second; who has asked for more comes again.
AGAIN_S = 0.3
TRIES = 100


def routes():
    """Every `METHOD /address/{of}/a/page`, as its file registers it (`tests/it/web/roles.rs` reads them alike)."""
    found = set()
    for file in sorted((CHECKOUT / "src/web").rglob("*.rs")):
        text = file.read_text().replace('large("', 'one("')
        scope = re.search(r'web::scope\("([^"]*)"', text)
        scope = scope.group(1) if scope else "/console"
        for part in text.split('one("')[1:]:
            path, _, rest = part.partition('"')
            path = path if path.startswith("/sign-in") else scope + path
            here = rest.split(".service(")[0]
            found |= {f"{one.upper()} {path}" for one in ("get", "post") if f"web::{one}()" in here}
    return sorted(found)


class Browser:
    """Keeps cookies and follows nothing. Each comes from an address of its own, so that none is asked to wait for another."""

    made = 0

    def __init__(self, address):
        Browser.made += 1
        self.wire = Wire.plain(address)
        self.wire.source = f"127.7.{Browser.made // 250}.{Browser.made % 250 + 1}", 0
        self.cookies, self.token = {}, "none"

    def ask(self, method, path, form=None, headers=()):
        """The answer, once it is not too early for one; or that there was none."""
        headers = [*headers, *([FORM] if form is not None and not headers else [])]
        if self.cookies:
            headers.append(("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        body = urlencode(form).encode() if isinstance(form, dict) else form or b""
        for _ in range(TRIES):
            try:
                answer = self.wire.send(method, path, body, headers)
            except Closed as closed:
                return closed
            if answer.status != 429:
                break
            time.sleep(AGAIN_S)
        self.keep(answer)
        return answer

    def keep(self, answer):
        for name, _, value in (one.partition("=") for one in answer.cookies):
            self.cookies[name] = value.split(";")[0]

    def read_token(self, path):
        """Of the forms of this session."""
        page = self.ask("GET", path).content.decode()
        found = re.search(r'name="form_token" value="([^"]*)"', page)
        assert found, f"no form on {path}: {page[:500]}"
        self.token = unescape(found.group(1))
        return self


def staff(exchange, login, role, partner=None):
    """The browser of somebody new who has signed in."""
    whose = ["--partner", partner] if partner else ["--operator"]
    code, printed = exchange.beside(
        "staff", "add", login, "--role", role, *whose, "--password-stdin", "--json", told=PASSWORD
    )
    assert code == 0, printed
    secret = parse_qs(urlsplit(json.loads(printed.splitlines()[0])["otpauth_uri"]).query)["secret"][0]
    browser = Browser(exchange.address())
    answer = browser.ask("POST", "/sign-in", {"login": login, "password": PASSWORD, "code": totp(secret)})
    assert answer.status == 303, answer.content.decode()
    return browser.read_token("/console")


def totp(secret):
    """The code of this half minute (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def member(address, client, ref):
    """The browser of a member whose brand's app has opened its page."""
    opened = client.must("POST", "/v1/member-sessions", {"member_ref": ref})
    browser = Browser(address)
    answer = browser.ask("GET", urlsplit(opened["url"]).path)
    assert answer.status == 303, answer.content.decode()
    return browser.read_token("/member")


def fault_of_page(answer, secrets=()):
    """What is wrong with an answer to a browser, whoever it is and whatever it has asked for, or `None`."""
    if isinstance(answer, Closed):
        return f"no answer: {answer}"
    kind, text = answer.headers.get("content-type", ""), answer.content.decode(errors="replace")
    if answer.status >= 500 and not (answer.status == 503 and "retry-after" in answer.headers):
        return f"a {answer.status}: {text[:300]}"
    if answer.status >= 300 and answer.status not in (303, 400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 503):
        return f"a status of no page: {answer.status}"
    missing = [name for name in FORBIDS if name not in answer.headers]
    if missing:
        return f"a {answer.status} without {missing}: {text[:100]}"
    if answer.status >= 400 and not (
        kind == "text/html; charset=utf-8" and text.lower().startswith("<!doctype html>")
    ):
        return f"a {answer.status} that is no page: {kind} {text[:100]}"
    told = [secret for secret in secrets if secret in text]
    return f"a {answer.status} that tells {told}" if told else None


def filled(route, things):
    """Its method and its address with these in its places, one after the other."""
    method, path = route.split(" ")
    things = iter(things)
    parts = (quote(next(things), safe="%") if part.startswith("{") else part for part in path.split("/"))
    return method, "/".join(parts)
