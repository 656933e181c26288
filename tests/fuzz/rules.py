"""What every answer must be, whoever asked: used by the schema fuzzer and by hand."""

import json
import uuid

from catalogue import fault_of_body, fault_of_problem


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
    if answer.headers.get("content-type") == "application/json":
        return fault_of_numbers(answer.content)
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
