"""The catalogue of problems as the design names it, apart from the code that answers with it."""

import json

CODES = {
    400: {"malformed", "idempotency_key_missing"},
    401: {"certificate_revoked", "certificate_unknown"},
    403: {"forbidden"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    408: {"request_timeout"},
    409: set(
        "in_flight duplicate_reference stale already_linked quote_used undo_window_closed dispute_closed".split()
    ),
    410: {"quote_expired"},
    413: {"too_large"},
    415: {"unsupported_media_type"},
    422: set(
        "invalid idempotency_mismatch insufficient_points points_owed below_minimum above_maximum not_a_multiple"
        " limit_exceeded exposure_exceeded member_not_linked link_cooling_off link_code_invalid membership_frozen"
        " membership_closed partner_suspended no_rate rate_worse_than_asked quote_invalid points_spent"
        " reversal_exceeds balance_not_zero open_business not_eligible sold_out already_claimed voucher_used voucher_expired"
        " voucher_cancelled voucher_not_issued not_today not_stackable below_threshold".split()
    ),
    429: {"rate_limited"},
    431: {"headers_too_large"},
    503: {"queue_full", "busy", "outcome_unknown", "unavailable"},
}
RETRYABLE = CODES[408] | CODES[429] | CODES[503] | {"in_flight"}
KNOWN = set(
    "type title status detail code retryable request_id errors nearest_below nearest_above points_left first_id unmet".split()
)


def fault_of_problem(status, headers, content):
    """What is wrong with a no, or `None`."""
    if status >= 500 and status != 503:
        return f"a {status}: {content[:300]!r}"
    if status in (429, 503) and not headers.get("retry-after", "").isdigit():
        return f"a {status} that does not say when to come back"
    if headers.get("content-type") != "application/problem+json":
        return f"a {status} of the type {headers.get('content-type')}"
    try:
        problem = json.loads(content)
    except ValueError:
        return f"a {status} that is not JSON: {content[:300]!r}"
    return fault_of_body(status, problem)


def fault_of_body(status, problem):
    code = problem.get("code")
    if code not in CODES.get(status, set()):
        return f"the code {code} under the status {status}"
    wrong = [
        (problem.get("status") != status, "another status in the body"),
        (problem.get("type") != f"urn:hanse:problem:{code}", "a type that is not of its code"),
        (not isinstance(problem.get("title"), str) or not problem["title"], "no title"),
        (problem.get("retryable") is not (code in RETRYABLE), "a wrong retryable"),
        (not problem.get("request_id"), "no request_id"),
        (bool(set(problem) - KNOWN), f"members nobody knows: {set(problem) - KNOWN}"),
        ((code == "invalid") != bool(problem.get("errors")), "errors without invalid, or invalid without errors"),
        (any(set(one) != {"pointer", "detail"} for one in problem.get("errors", [])), "an error of another form"),
    ]
    return next((f"a problem with {what}: {problem}" for is_so, what in wrong if is_so), None)
