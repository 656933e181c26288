"""What a schema cannot say, tried by hand: broken bodies, foreign ids, wrong certificates, odd addresses.

Each family of tries is a function that yields `(what, wanted, answer)`: wanted is `"422 invalid"`, several of these, or
`"closed"` for no answer at all. The table has a line for each try, or one for many alike; a line that does not hold
says what came instead.
"""

import json
import traceback
from collections import OrderedDict

import by_hand_addresses as addresses
import by_hand_benefits as benefits
import by_hand_bodies as bodies
import by_hand_callers as callers
import by_hand_lists as lists
import by_hand_pages as pages
import by_hand_settlement as settlement
import by_hand_webhooks as webhooks
from rules import fault_of_answer
from things import Things
from wire import Closed

FAMILIES = [
    bodies.numbers,
    bodies.amounts,
    bodies.texts,
    bodies.forms,
    bodies.media_types,
    bodies.keys,
    bodies.batches,
    addresses.methods,
    addresses.cursors,
    addresses.references,
    addresses.ids,
    addresses.heads,
    callers.foreign_ids,
    callers.foreign_fields,
    callers.operator,
    settlement.windows,
    settlement.signatures,
    settlement.log,
    settlement.disputes,
    settlement.reports,
    settlement.readers,
    lists.broken,
    lists.carried,
    lists.slow,
    lists.foreign,
    benefits.bounds,
    benefits.codes,
    benefits.tills,
    benefits.callers,
    benefits.race,
    pages.strangers,
    pages.consoles,
    pages.members,
    pages.foreign,
    webhooks.places,
    webhooks.bounds,
    webhooks.fed,
    callers.certificates,
]


class Hand:
    """What the families work with."""

    def __init__(self, exchange, document):
        self.exchange, self.document = exchange, document
        self.address = exchange.address()
        self.things = Things(self.address)


def run(exchange, document):
    """Prints the table; what did not hold."""
    hand = Hand(exchange, document)
    failed, tries = [], 0
    for family in FAMILIES:
        print(f"\n{family.__doc__.splitlines()[0]}")
        lines = OrderedDict()
        for what, wanted, answer in tried(family, hand):
            tries += 1
            got, held = judge(wanted, answer)
            line = lines.setdefault((what, str(wanted)), {"answers": [], "bad": []})
            if got not in line["answers"]:
                line["answers"].append(got)
            if not held:
                line["bad"].append(got)
        for (what, wanted), line in lines.items():
            answered = ", ".join(line["answers"][:4])
            print(f"  {'held ' if not line['bad'] else 'BROKE'} {what:58} {answered[:90]}")
            if line["bad"]:
                failed.append(f"{what}: wanted {wanted}, got {line['bad'][0]}")
    print(f"\n{tries} tries by hand, {len(failed)} lines did not hold")
    return failed


def tried(family, hand):
    """What a family tries; what it stumbles over is a line that does not hold."""
    try:
        yield from family(hand)
    except Exception as cause:  # noqa: BLE001
        traceback.print_exc()
        yield f"{family.__name__} to its end", "so", f"{type(cause).__name__}: {cause}"


def judge(wanted, answer):
    """What came, in a word, and whether it was wanted."""
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(answer, (Closed, str)):
        got = answer if isinstance(answer, str) else "closed"
        return got, got in wanted
    code = ""
    if answer.status >= 400:
        try:
            code = json.loads(answer.content).get("code", "")
        except (ValueError, AttributeError):
            pass
    got = f"{answer.status} {code}".strip()
    # Heads that are no HTTP never reach the code that names requests.
    fault = None if answer.status in (400, 431) and not answer.content else fault_of_answer(answer)
    return f"{got} ({fault})" if fault else got, not fault and got in wanted
