"""What every answer must be, whoever asked: used by the schema fuzzer and by hand."""

import json
import uuid

from catalogue import fault_of_body, fault_of_problem


SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Beyond it readers of JSON disagree.
WHOLE_MAX = 2**53 - 1


def fault_of_numbers(content):
    """An answer has whole numbers alone, and none that a reader might round."""
    odd = []

    def whole(text):
        odd.extend([text] if abs(int(text)) > WHOLE_MAX else [])

    try:
        json.loads(content, parse_int=whole, parse_float=odd.append, parse_constant=odd.append)
    except ValueError:
        return "an answer that is not JSON"
    return f"numbers nobody should send: {odd[:3]}" if odd else None


def fault_of_answer(answer):
    """What is wrong with an answer (`status`, `headers` in lower case, `content`), or `None`."""
    try:
        uuid.UUID(answer.headers.get("x-request-id", ""))
    except ValueError:
        return "no X-Request-Id"
    if answer.status >= 400:
        fault = fault_of_problem(answer.status, answer.headers, answer.content)
        return fault or fault_of_numbers(answer.content)
    if 300 <= answer.status:
        return f"a status nobody documented: {answer.status}"
    return fault_of_content(answer)


def fault_of_content(answer):
    """An answer is what it says it is."""
    kind, content = answer.headers.get("content-type"), answer.content
    if not content and kind is None:
        return None
    if kind in ("application/json", "application/jose+json"):
        return fault_of_numbers(content)
    if kind == "application/x-ndjson":
        whole = not content or content.endswith(b"\n")
        faults = (fault_of_numbers(line) for line in content.split(b"\n")[:-1])
        return next(filter(None, faults), None) if whole else "a last line without an end"
    if kind == SPREADSHEET:
        return None if content.startswith(b"PK\x03\x04") else "a spreadsheet that is none"
    if not kind or not kind.startswith("text/"):
        return f"an answer of the type {kind}"
    if "charset=utf-8" not in kind:
        return f"text of the type {kind}"
    try:
        text = content.decode()
    except ValueError:
        return "text that is not UTF-8"
    if kind.startswith("text/csv") and not text.endswith("\r\n"):
        return "a table whose last row has no end"
    if kind.startswith("text/html") and not text.lower().startswith("<!doctype html>"):
        return "a page that is none"
    return None


def fault_of_outcomes(outcomes, sent):
    """What is wrong with the outcomes of a batch."""
    if len(outcomes) != len(sent["items"]):
        return f"{len(outcomes)} outcomes of {len(sent['items'])} items"
    for index, outcome in enumerate(outcomes):
        if outcome["status"] < 400:
            continue
        fault = fault_of_body(outcome["status"], outcome["problem"])
        astray = [e for e in outcome["problem"].get("errors", []) if not e["pointer"].startswith(f"/items/{index}")]
        if fault or astray:
            return f"item {index}: {fault or astray}"
    return None
