"""What schemathesis is told about this API: real things in its requests, our own checks, and a tally of every answer.

Loaded by schemathesis (`hooks` of its configuration). `HANSE_FUZZ` is a JSON object: `address`, `caller` (`lumen`, `ops`
or `public`), `seed`, `tally` (the file that gets one line per answer).
"""

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.generation.meta import TestPhase

sys.path.insert(0, str(Path(__file__).resolve().parent))

import good
from exchange import fresh
from rules import fault_of_answer, fault_of_outcomes
from things import Things

TOLD = json.loads(os.environ["HANSE_FUZZ"])
# The first valid requests of an operation are made good, then one in so many; of the rest every second gets real things.
GOOD_FIRST, GOOD_EVERY = 3, 6
# Rules between fields, and of values, that the contract says in words: what a valid request may still be refused for.
IN_WORDS = [
    "unless",
    "must be left out",
    "is required with",
    "is required, or",
    "the other formats have every section",
    "must be another partner",
    "must be a tier of the programme",
    "must be the last day of",
    "must not be after the points expire",
    "must be earned for an earned tier",
    "must not be closed for a membership that is new",
    "is not a cursor",
    "is not a partner's slug",
    "is no approval of this proposal",
    "is not a JWK",
    "is not of a kind known here",
    "has a coordinate that",
    "is a point that anybody",
    "has a kid that",
    "is not a proof",
    "is not a PKCS#10 request",
    # JSON Schema takes 12.0 for a whole number; the API wants digits.
    "written in digits alone",
    # RFC 3339 with an offset reaches years that UTC cannot write.
    "of a year from 0 to 9999 in UTC",
    "must be an RFC 3339 instant",
    # Disputes: what a line, a claim and a decision have to do with each other.
    "must be another partner, or operator",
    "is required for",
    "is required: the dispute",
    "is what the line says already",
    "of this line have no price",
    "is not missing",
    # Reported points.
    "must not be more than points",
    "must not be after today",
    "must be between zero and the claim",
    "must be above or below zero",
    "is beyond the range of money",
    # Signatures: what the schema calls base64url may be no signature, or nobody's.
    "the kid is not that of",
    "is not base64url",
    "of exactly alg, kid and typ",
    "does not hold",
    "signs twice",
    "the note ",
    "a key's name is",
    "the signature is not the key's",
    "must not have control characters",
    "the time of a cosignature",
    # Lists: rows and columns are no part of a schema.
    "must have one of",
    "must be pairs",
    "names a field",
    "must name each",
    "has amount and payable",
    "has a column",
    "has no column",
    "has no heading",
    "has a member that is no field",
    "names neither a line",
    # Which sections there are is another matter for every report.
    "?section must be one of",
    # Webhooks: where they may be sent to, how many there are, and what their partner's feed has.
    "must be a URL in its usual spelling",
    "must not carry a user name",
    "must not have a fragment",
    "must name a host by its plain name",
    "must be on port 443",
    "must be an address of the public internet",
    "must not be at the endpoint of another partner",
    "this partner has four webhooks already",
    "must be 1 to the sequence that comes next",
    "four secrets sign already",
    # Members: words of lists.
    "must be at most 32 words",
    "must be convert, claim, consent or pass",
    # Benefits: what its parts have to do with each other, whose tiers there are, and what is no text of a schema.
    "must be there for a coupon",
    "must be there, or else use_days",
    "must have amount or percent",
    "must be null beside an amount",
    "must be above 0, at most 100",
    "must be a decimal of 0 to 1000000000",
    "must be 0 where the giver pays itself",
    "must be after claims_from",
    "must not be before from",
    "must be of the years 1 to 9999",
    "none of them a control character",
    "must be at most 64 codes of tiers",
    "must be tiers of that ladder",
    "must be a partner of the alliance",
    "must be the version that stands",
    "must stay as it is: vouchers have been claimed",
    "must be 1 to 64 visible ASCII characters",
    "must not be uploaded",
    "must lead from tiers of that brand",
    # Where a browser is sent back to.
    "must be an https:// address",
]
# Under a name of the caller's own, and of so many parts that hardly any document made at random holds: ours, with some of
# its parts as generated.
MIXED = "PUT /v1/benefits/{id}"
# Whose elements the contract does not describe.
BARE = "/categories"

rng = random.Random(TOLD["seed"])
tally = open(TOLD["tally"], "a", buffering=1)
asked = Counter()
things = spare = None
GOOD, FIELDS = {}, {}

if TOLD["caller"] != "public":
    things = Things(TOLD["address"])
    spare = things.stock()
    GOOD = good.as_partner(things) if TOLD["caller"] == "lumen" else good.as_operator(things)
    FIELDS = good.fields(things, spare, rng)


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_text(ctx, value):
    """A list of somebody's is text: it goes as it is."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    """Every line is alike: what the schema says is of one."""
    return json.loads(response.content.split(b"\n")[0])


@schemathesis.hook
def before_call(ctx, case, kwargs):
    label = case.operation.label
    kwargs["allow_redirects"] = False
    if case.method.upper() != case.operation.method.upper():
        return
    if not is_valid(case):
        # What makes it wrong stays; where it is sent to becomes real.
        case.path_parameters = {name: real(name, value) for name, value in case.path_parameters.items()}
        return
    if is_step(case) and case.path_parameters:
        # The id comes from the step before.
        strew(case, addresses=False)
        return
    asked[label] += 1
    make = GOOD.get(label)
    if make and (asked[label] <= GOOD_FIRST or rng.randrange(GOOD_EVERY) == 0):
        make_good(case, make())
    elif make and label == MIXED and rng.random() < 0.7:
        mix(case, make()["body"])
    elif things and rng.random() < 0.5:
        strew(case, addresses=label != MIXED)


def is_step(case):
    return case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL


def is_valid(case):
    return case.meta is None or case.meta.generation.mode.is_positive


def make_good(case, parts):
    if "path" in parts:
        case.path_parameters = parts["path"]
    if "query" in parts:
        case.query = parts["query"]
    if "key" in parts:
        case.headers["Idempotency-Key"] = parts["key"]
    if "body" in parts:
        case.body, case.media_type = parts["body"], parts.get("kind", "application/json")


def mix(case, body):
    if isinstance(case.body, dict) and case.body:
        some = rng.sample(sorted(case.body), rng.randint(1, min(3, len(case.body))))
        case.body = body | {name: strewn(case.body[name], 0) for name in some}


def strew(case, addresses=True):
    """Puts real things where a part of the right name already is; the rest stays as generated."""
    if addresses:
        case.path_parameters = {name: real(name, value) for name, value in case.path_parameters.items()}
    case.query = {name: real(name, value) for name, value in case.query.items()}
    if "Idempotency-Key" in case.headers and rng.random() < 0.7:
        case.headers["Idempotency-Key"] = fresh("key")
    if case.body is not NOT_SET:
        case.body = strewn(case.body, 0)


def strewn(value, depth):
    if depth > 8:
        return value
    if isinstance(value, dict):
        # In a body it is the beginning of something, and no brand.
        return {name: strewn(inner if name == "from" else real(name, inner), depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [strewn(inner, depth + 1) for inner in value]
    return value


def real(name, value):
    # A value of a wrong type stays: that is what the case is about.
    make = FIELDS.get(name)
    if make is None or not isinstance(value, (str, int)) or isinstance(value, bool) or rng.random() < 0.4:
        return value
    return make()


@schemathesis.hook
def after_call(ctx, case, response):
    status = response.status_code
    done = 200 <= status < 300
    if done and case.path.endswith("/batch"):
        # A batch is answered whatever becomes of its items: done is what did something.
        done = any(item.get("status", 500) < 300 for item in answer_of(response).get("items", []))
    if done and case.operation.label == "POST /v1/webhooks/{id}/test":
        # A test is answered whatever becomes of it, too.
        done = answer_of(response).get("delivered") is True
    tally.write(json.dumps({"operation": case.operation.label, "status": status, "done": done}) + "\n")


def answer_of(response):
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


@schemathesis.check
def house_rules(ctx, response, case):
    """An `X-Request-Id` on every answer, a problem of the catalogue for every no, no 5xx but a 503 that says when."""
    fault = fault_of_answer(Seen(response))
    if not fault and response.status_code == 200 and case.path.endswith("/batch"):
        fault = fault_of_outcomes(response.json()["items"], case.body)
    if fault:
        raise AssertionError(fault)


class Seen:
    def __init__(self, response):
        self.status, self.content = response.status_code, response.content
        self.headers = {name.lower(): values[0] for name, values in response.headers.items()}


@schemathesis.check
def a_valid_request_is_read(ctx, response, case):
    """What the contract calls valid may be refused by the book, but is not `malformed` and not `invalid`."""
    if case.method.upper() != case.operation.method.upper() or not is_valid(case) or response.status_code >= 500:
        return
    answer = answer_of(response)
    outcomes = [one.get("problem", {}) for one in answer.get("items", []) if isinstance(one, dict)]
    for problem in [answer, *outcomes]:
        errors = [error for error in problem.get("errors", []) if BARE not in error["pointer"]]
        told = [f"{error['pointer']} {error['detail']}" for error in errors]
        unsaid = [detail for detail in told if not any(words in detail for words in IN_WORDS)]
        # Of a list the contract says no more than that it is text.
        is_list = case.path.endswith("/reconciliations")
        if problem.get("code") == "malformed" and not is_list or unsaid:
            raise AssertionError(f"valid by the contract, and yet {problem.get('code')}: {unsaid or problem}")
