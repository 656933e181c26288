"""Fuzzes the whole contract against a running exchange, then what a schema cannot say, then audits the book.

usage: run.py BINARY FOLDER [--only schema|hand] [--examples N]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import requests

import by_hand
import good
from by_hand_callers import OPERATOR_MAY
from exchange import Exchange
from things import PROPOSED, Things

HERE = Path(__file__).resolve().parent
SEED = 20260101
# Caller, and cases of one operation in a phase.
RUNS = [("public", 10), ("lumen", 30), ("ops", 10)]
# Addresses of the partner API; the rest is for everybody, on the plain listener.
OF_CALLERS = "^/(v1|checkpoint/cosignatures$)"
# On the plain listener, for a secret that is good once, a few attempts a minute: `tests/it/enrolment.rs` has it.
ONCE = "POST /v1/enrolments"
# On the plain listener, for everybody: sent as generated.
FOR_ALL = {f"GET /{name}" for name in ("healthz", "readyz", "metrics", "openapi.json", "checkpoint")}
FOR_ALL |= {f"GET /checkpoint/{name}" for name in ("consistency", "keys")}
FOR_ALL |= {f"GET /.well-known/{name}.json" for name in ("jwks", "key-rotations")}
# For brands that keep their own accounts, which none here does: what it is for is to refuse, and that it must have done.
REFUSED = {"POST /v1/settlements/{window}/liabilities": "403", "POST /v1/conversions/{id}/resolution": "404"}
# Bounds of one run: what takes so long hangs.
SECONDS_MAX = 900


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--only", choices=["schema", "hand"])
    parser.add_argument("--examples", type=int)
    told = parser.parse_args()
    failed = []
    started = time.monotonic()
    # Asked to end, it ends as after a failure: with the server stopped and its folder gone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Exchange(told.binary, told.folder) as exchange:
        exchange.propose(PROPOSED)
        exchange.second_operator()
        # A window with business in it, closed; what comes after is in the next.
        things = Things(exchange.address())
        things.business()
        things.crowd()
        exchange.close_window()
        document = requests.get(f"{exchange.public}/openapi.json", timeout=30).json()
        failed += unknown(document, things)
        if told.only != "hand":
            failed += schema(exchange, document, told.examples)
        if told.only != "schema":
            failed += by_hand.run(exchange, document)
        code, printed = exchange.beside("audit")
        print(f"\nThe audit of what is stored now:\n{printed}")
        if code:
            failed.append("the audit is not green")
        if not exchange.stop():
            failed.append("the server did not stop as asked")
    for one in failed:
        print(f"FAILED: {one}")
    print(f"fuzz: {'failed' if failed else 'all held'}, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def unknown(document, things):
    """Operations that nobody has said how to make a good request for, and requests for what is no operation."""
    known = {*good.as_partner(things), *good.as_operator(things), *FOR_ALL, ONCE}
    there = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    failed = [f"{label} is unknown to the fuzzer: say in good.py what a good request is" for label in there - known]
    return sorted(failed + [f"{label} is in good.py and not in the contract" for label in known - there])


def schema(exchange, document, examples):
    """Runs schemathesis as each caller and prints what every operation answered; what failed."""
    tally = exchange.folder / "tally.jsonl"
    failed = []
    # The document itself is no case of schemathesis, which has just read it.
    tally.write_text(json.dumps({"operation": "GET /openapi.json", "status": 200, "done": True}) + "\n")
    for caller, usual in RUNS:
        if schemathesis(exchange, caller, examples or usual, tally):
            failed.append(f"schemathesis as {caller}")
    return failed + report(document, tally)


def schemathesis(exchange, caller, examples, tally):
    is_public = caller == "public"
    pki = exchange.pki
    words = [Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run"]
    words += [f"{exchange.public}/openapi.json", "--url", exchange.public if is_public else exchange.api]
    words += ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(examples)]
    words += ["--seed", str(SEED), "--no-shrink", "--no-color", "--output-truncate", "true"]
    if caller == "ops":
        # The rest is forbidden to it, which is tried by hand.
        words += [word for label in sorted(OPERATOR_MAY) for word in ("--include-name", label)]
    else:
        words += ["--exclude-path-regex" if is_public else "--include-path-regex", OF_CALLERS]
    if caller != "ops":
        words += ["--exclude-name", ONCE]
    if not is_public:
        words += ["--request-cert", pki / f"{caller}.crt", "--request-cert-key", pki / f"{caller}.key"]
        words += ["--tls-verify", pki / "ca.crt"]
    hooks = {"address": exchange.address(), "caller": caller, "seed": SEED, "tally": str(tally)}
    environment = os.environ | {"HANSE_FUZZ_HOOKS": str(HERE / "hooks.py"), "HANSE_FUZZ": json.dumps(hooks)}
    print(f"\n== schemathesis as {caller}", flush=True)
    started = time.monotonic()
    try:
        code = subprocess.run(words, env=environment, cwd=exchange.folder, timeout=SECONDS_MAX).returncode
    except subprocess.TimeoutExpired:
        code = "not within its time"
    print(f"== {caller}: exit code {code}, {time.monotonic() - started:.0f} s", flush=True)
    return code


def report(document, tally):
    """The table of operations; fails on a 5xx that is none of ours and on an operation without a 2xx."""
    counts, done = defaultdict(Counter), set()
    for path, methods in document["paths"].items():
        for method in methods:
            if f"{method.upper()} {path}" != ONCE:
                counts[f"{method.upper()} {path}"]
    for line in tally.read_text().splitlines():
        one = json.loads(line)
        status = one["status"]
        done.update([one["operation"]] if one["done"] else [])
        counts[one["operation"]]["2xx" if 200 <= status < 300 else str(status)] += 1
    statuses = sorted({status for row in counts.values() for status in row} - {"2xx"})
    width = max(map(len, counts))
    print(f"\n{'operation':{width}}  calls    2xx " + " ".join(f"{status:>5}" for status in statuses))
    failed = []
    for operation, row in sorted(counts.items(), key=lambda item: item[0].split()[::-1]):
        figures = " ".join(f"{row[status] or '':>5}" for status in statuses)
        print(f"{operation:{width}} {sum(row.values()):>6} {row['2xx']:>6} {figures}")
        if operation not in done and not row[REFUSED.get(operation)]:
            failed.append(f"{operation} never did what it is for")
        failed += [f"{operation} answered {status}" for status in row if status.startswith("5") and status != "503"]
    total = sum(sum(row.values()) for row in counts.values())
    print(f"{len(counts)} operations, {total} calls, every one of them answered")
    return failed


if __name__ == "__main__":
    sys.exit(main())
