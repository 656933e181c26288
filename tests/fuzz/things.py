"""Things of the exchange, made through its API when they are wanted: members, links, quotes, conversions, reversals.

`Things` keeps what may be spent by random requests apart from what a good request needs for itself.
"""

import base64
import hashlib
import json
import struct
import time

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import Client, fresh
from things_benefits import Benefits

# The brand whose certificate the fuzzer uses, its usual other side, and one that shares nothing with either's members.
OWN, OTHER, STRANGER = "lumen", "harvest", "sprout"
CONSENT = {"version": "2026-01", "purpose": "exchange of points", "method": "app", "pull": True}
# What an operator decides of a dispute.
DECISION = {"outcome": "rejected", "reason": "the receipt shows it"}
# The other side of the proposal that waits for approvals.
PROPOSED = "nest"
# Webhooks that a partner may have.
WEBHOOKS_MAX = 4
PUSHED_WITHIN_S = 30
# Lumen lets a member convert 200 points a day: ten times twenty.
CONVERSIONS_OF_A_PAIR = 10


class Things(Benefits):
    def __init__(self, address):
        self.own, self.other, self.stranger = (Client(address, name) for name in (OWN, OTHER, STRANGER))
        self.operator, self.second = Client(address, "ops"), Client(address, "two")
        self.address, self.public = address, address["public"]
        self.signed = {}
        self.pair_left = 0
        self.keys = []
        self.approvers = {}
        self.hooks = []
        self.fed = None

    # Members and links.

    def member(self, client=None, points=5_000):
        client = client or self.own
        ref = fresh(client.name)
        tier = "ordinary" if client is self.own else "l1"
        client.must("PUT", f"/v1/memberships/{ref}", {"tier": tier, "status": "active"})
        if points:
            self.credit(ref, points, client)
        return ref

    def link_asked(self, asking, to):
        """A pending link from a new member at `asking`: its id and its code."""
        ref = self.member(asking)
        body = {"member_ref": ref, "to": to.name, "consent": CONSENT}
        return ref, asking.must("POST", "/v1/links", body)

    def pair(self):
        """Two linked members, and their link."""
        own_ref, asked = self.link_asked(self.own, self.other)
        other_ref = self.member(self.other)
        body = {"code": asked["code"], "member_ref": other_ref, "consent": CONSENT}
        self.other.must("POST", "/v1/links/accept", body)
        return own_ref, other_ref, asked["link_id"]

    def rich(self, asking, to, points):
        """A member of so many points, linked to a new one at another brand."""
        ref = self.member(asking, points=0)
        self.credit(ref, points, asking)
        asked = asking.must("POST", "/v1/links", {"member_ref": ref, "to": to.name, "consent": CONSENT})
        body = {"code": asked["code"], "member_ref": self.member(to, points=0), "consent": CONSENT}
        to.must("POST", "/v1/links/accept", body)
        return ref

    def ready_pair(self):
        """A linked pair that can still convert twenty points today."""
        if self.pair_left == 0:
            self.current, self.pair_left = self.pair(), CONVERSIONS_OF_A_PAIR
        self.pair_left -= 1
        return self.current

    # Points.

    def credit(self, ref, points=100, client=None):
        body = {"points": points, "kind": "opening", "reason": "opening", "external_reference": fresh("ref")}
        client = client or self.own
        return client.must("POST", f"/v1/memberships/{ref}/credits", body, fresh("key"))["credit_id"]

    def debit(self, ref):
        body = {"points": 50, "reason": "spent in the shop", "external_reference": fresh("ref")}
        return self.own.must("POST", f"/v1/memberships/{ref}/debits", body, fresh("key"))["debit_id"]

    # Conversions.

    def quote(self):
        own_ref, _, _ = self.ready_pair()
        return self.own.must("POST", "/v1/quotes", {"member_ref": own_ref, "to": OTHER, "points": 20})

    def conversion(self):
        own_ref, _, _ = self.ready_pair()
        body = {"member_ref": own_ref, "to": OTHER, "points": 20, "external_reference": fresh("ref")}
        return self.own.must("POST", "/v1/conversions", body, fresh("key"))

    def reversal(self):
        """A reversal that the other brand has asked for and that waits for ours to confirm."""
        path = f"/v1/conversions/{self.conversion()['conversion_id']}/reversals"
        body = {"credit_points": 2, "reason": "goods returned", "external_reference": fresh("ref")}
        return self.other.must("POST", path, body, fresh("key"))["reversal_id"]

    # Certificates: beside the one in use there is room for one.

    def new_certificate_body(self, operator=False):
        """A body for `POST /v1/certificates`; makes room for the certificate it asks for."""
        client = self.operator if operator else self.own
        for one in client.must("GET", "/v1/certificates?limit=200")["items"]:
            if one["status"] == "active" and not one["current"]:
                client.send("DELETE", f"/v1/certificates/{one['x5t']}")
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        return {"csr": csr.public_bytes(serialization.Encoding.PEM).decode()}

    def certificate(self, operator=False):
        """The thumbprint of a certificate just issued, beside the one in use."""
        body = self.new_certificate_body(operator)
        return (self.operator if operator else self.own).must("POST", "/v1/certificates", body)["x5t"]

    # Webhooks.

    def new_webhook_body(self):
        """A body for `POST /v1/webhooks`; makes room for the webhook it asks for."""
        there = [one["webhook_id"] for one in self.own.must("GET", "/v1/webhooks")["items"]]
        for one in [one for one in there if one not in self.hooks][: max(0, len(there) + 1 - WEBHOOKS_MAX)]:
            self.own.send("DELETE", f"/v1/webhooks/{one}")
        return {"url": self.address["receiver"], "types": ["link.ended"]}

    def webhook(self, keep=False, **more):
        """The id of a new one; it makes way for another unless it is kept."""
        made = self.own.must("POST", "/v1/webhooks", {**self.new_webhook_body(), **more})["webhook_id"]
        self.hooks += [made] if keep else []
        return made

    def fed_webhook(self):
        """The id of one that is kept and sent everything there is."""
        if self.fed is None:
            self.fed = self.webhook(keep=True, types=None, from_sequence=1)
        return self.fed

    def delivery(self):
        """The id of an event that was sent, and is not the only one."""
        path = f"/v1/webhooks/{self.fed_webhook()}/deliveries?state=delivered&limit=2"
        give_up = time.monotonic() + PUSHED_WITHIN_S
        while True:
            found = self.own.must("GET", path)["items"]
            if len(found) == 2:
                return found[0]["delivery_id"]
            assert time.monotonic() < give_up, "no event has been sent to the receiver"
            time.sleep(0.1)

    # Signing keys.

    def proof(self, client, kind):
        """A new signing key and the proof that its holder has it, as `POST /v1/signing-keys` wants them."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64(public)}
        kid = thumbprint(jwk)
        claims = canonical({"kid": kid, kind: client.name})
        return {"jwk": jwk, "proof": jws(key, {"alg": "EdDSA", "kid": kid, "typ": "key-proof+jws"}, claims)}, kid, key

    def new_key_body(self, operator=False):
        """A body for `POST /v1/signing-keys`; makes room for the key it registers."""
        client, kind = (self.operator, "operator") if operator else (self.own, "partner")
        while len([1 for holder, _ in self.keys if holder is client]) >= 10:
            self.retire_oldest(client)
        body, kid, _ = self.proof(client, kind)
        self.keys.append((client, kid))
        return body

    def retire_oldest(self, client):
        kid = next(kid for holder, kid in self.keys if holder is client)
        self.keys.remove((client, kid))
        client.send("POST", f"/v1/signing-keys/{kid}/retire")

    def signing_key(self, operator=False):
        """The id of a key just registered."""
        body = self.new_key_body(operator)
        return self.keys[-1][0].must("POST", "/v1/signing-keys", body)["kid"]

    def kept_key(self, client):
        """The id and the key of one that stays registered."""
        if client not in self.approvers:
            body, kid, key = self.proof(client, "operator" if client is self.operator else "partner")
            client.must("POST", "/v1/signing-keys", body)
            self.approvers[client] = kid, key
        return self.approvers[client]

    # Settlement.

    def window(self):
        """The newest window that is published, as ours sees it."""
        windows = self.own.must("GET", "/v1/settlements")["items"]
        return next(one for one in windows if one["published_at"] and one["statement"])

    def lines(self, client=None):
        """The first lines of a statement of that window."""
        path = f"/v1/settlements/{self.window()['window_id']}/lines"
        answer = (client or self.own).send("GET", path)
        return [json.loads(line) for line in answer.text.splitlines()[:50]]

    def place(self):
        """A window and a conversion in it."""
        line = next(line for line in self.lines() if "conversion_id" in line)
        return {"window": self.window()["window_id"], "conversion_id": line["conversion_id"]}

    def missing(self, counterparty=OTHER):
        """A body that disputes a line that is not there: a new dispute each time."""
        body = {"kind": "missing", "counterparty": counterparty, "claimed_amount": "1.00", "note": "not in it"}
        return {**body, "external_reference": fresh("ref")}

    def dispute(self, opener=None, counterparty=OTHER, answered=False, proposed=False):
        """A new dispute: its id."""
        path = f"/v1/settlements/{self.window()['window_id']}/disputes"
        one = (opener or self.own).must("POST", path, self.missing(counterparty))["dispute_id"]
        if answered:
            self.other.must("POST", f"/v1/disputes/{one}/answers", {"answer": "rejected", "note": "it is not"})
        if proposed:
            self.second.must("POST", f"/v1/disputes/{one}/decision", dict(DECISION))
        return one

    def list_csv(self):
        """A list of ours, another each time."""
        named = next(line["reference"] for line in self.lines() if line.get("reference"))
        return f"external_reference,amount\r\n{named},-1.00\r\n{fresh('ref')},-3.00\r\n"

    def reconciliation(self, client=None):
        """The window and the id of a reconciliation."""
        window = self.window()["window_id"]
        answer = (client or self.own).send_text("POST", f"/v1/settlements/{window}/reconciliations", self.list_csv())
        assert answer.status_code == 201, answer.text
        return {"window": window, "id": answer.json()["reconciliation_id"]}

    def counter_signature(self, payload=None, client=None, key=None, typ="settlement+jws"):
        """A signature over the statement of that window; of ours it is the same one each time."""
        client = client or self.own
        window = self.window()["window_id"]
        if payload is None and key is None and (client, window) in self.signed:
            return self.signed[client, window]
        document = client.must("GET", f"/v1/settlements/{window}/statement")
        kid, signer = key or self.kept_key(client)
        header = b64(canonical({"alg": "EdDSA", "kid": kid, "typ": typ}))
        signature = signer.sign(f"{header}.{payload or document['payload']}".encode())
        made = {"protected": header, "signature": b64(signature)}
        if payload is None and key is None:
            self.signed[client, window] = made
        return made

    def checkpoint(self):
        """The signed note, and the text in it that is signed."""
        note = requests.get(f"{self.public}/checkpoint", timeout=30).text
        return note, note[: note.rindex("\n\n") + 1]

    def cosignature(self, text=None, client=None, name=None, at=None):
        """A line under the checkpoint, or under another text (C2SP tlog-cosignature)."""
        client = client or self.own
        kid, key = self.kept_key(client)
        name, text = name or client.name, text or self.checkpoint()[1]
        point = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        at = int(time.time()) if at is None else at
        signature = key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        named = hashlib.sha256(name.encode() + b"\n\x04" + point).digest()[:4]
        line = base64.b64encode(named + struct.pack(">Q", at) + signature).decode()
        return {"kid": kid, "line": f"\u2014 {name} {line}"}

    # Proposals.

    def proposal(self):
        return self.own.must("GET", "/v1/proposals")["items"][0]

    def approval(self, operator=False):
        """A signature over the open proposal, by a key that stays registered."""
        client = self.operator if operator else self.own
        kid, key = self.kept_key(client)
        return jws(key, {"alg": "EdDSA", "kid": kid, "typ": "proposal+jws"}, self.proposal()["canonical"].encode())

    def business(self, count=2 * CONVERSIONS_OF_A_PAIR):
        """Conversions for a window that is to be closed."""
        for _ in range(count):
            self.conversion()

    def crowd(self, batches=8, of=1_000):
        """So many conversions between two brands that are not ours: a statement with as many lines."""
        ref = self.rich(self.stranger, Client(self.address, "nest"), 10**9)
        for _ in range(batches):
            items = [
                {"member_ref": ref, "to": "nest", "points": 1_000, "idempotency_key": fresh("key")} for _ in range(of)
            ]
            done = self.stranger.must("POST", "/v1/conversions/batch", {"items": items})["items"]
            assert all(one["status"] == 201 for one in done), done[0]

    def stock(self, members=6, pairs=4):
        """Fills the spare things, which random requests may freeze, empty and close."""
        spare = {
            name: [] for name in ("refs", "mem", "cnv", "rev", "lnk", "prp", "credits", "debits", "kids", "codes")
        }
        spare["prp"].append(self.proposal()["id"])
        for _ in range(members):
            ref = self.member()
            spare["refs"].append(ref)
            spare["credits"].append(self.credit(ref))
            spare["debits"].append(self.debit(ref))
            spare["mem"].append(self.own.must("GET", f"/v1/memberships/{ref}")["membership_id"])
        for _ in range(pairs):
            own_ref, _, link = self.pair()
            spare["refs"].append(own_ref)
            spare["lnk"].append(link)
            spare["cnv"].append(self.conversion()["conversion_id"])
            spare["rev"].append(self.reversal())
            spare["codes"].append(self.link_asked(self.other, self.own)[1]["code"])
        spare["kids"].append(self.signing_key())
        spare["whk"], spare["dlv"] = [self.webhook(keep=True)], [self.delivery()]
        page = self.own.must("GET", "/v1/memberships?limit=1")
        entries = self.own.must("GET", f"/v1/memberships/{spare['refs'][0]}/entries?limit=1")
        spare["cursors"] = [page["next_cursor"], entries["next_cursor"]]
        spare["dis"] = [self.dispute() for _ in range(pairs)] + [self.dispute(answered=True)]
        spare["rec"] = [self.reconciliation()["id"]]
        cursor = self.own.must("GET", "/v1/disputes?limit=1")["next_cursor"]
        spare["cursors"] += [cursor, self.own.must("GET", "/v1/settlements?limit=1")["next_cursor"]]
        spare["windows"] = [self.window()["window_id"]]
        spare["lines"] = [line["line_id"] for line in self.lines()]
        self.spare_benefits(spare)
        spare["settled"] = [line["conversion_id"] for line in self.lines() if "conversion_id" in line]
        return spare


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def canonical(value):
    """RFC 8785 for what is used here: short ASCII texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def thumbprint(jwk):
    return b64(hashlib.sha256(canonical(jwk)).digest())


def jws(key, header, payload):
    signed = f"{b64(canonical(header))}.{b64(payload)}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"
