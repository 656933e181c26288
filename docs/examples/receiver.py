"""A receiver of Hanse's webhooks. Python 3.10 or later, `pip install standardwebhooks cryptography`.

    receiver.py CERTIFICATE KEY AUTHORITY SECRET PUBLIC_KEY [PORT]

SECRET is `whsec_…` of the webhook, PUBLIC_KEY `whpk_…` of the alliance: `whpk_` and the `x` of its JWK of purpose `webhook`, in
base64 with padding. Listens on PORT of this machine, or on any that is free, and prints what it took.
"""
import base64, http.server, ssl, sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

if len(sys.argv) not in (6, 7):
    sys.exit(__doc__)
certificate, key, authority, secret, public, port = (*sys.argv[1:], "0")[:6]
alliance = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
seen = set()  # Yours outlives a restart, and keeps ids for eight days.


def is_ours(headers, body):
    """The alliance's own signature, which not even whoever knows the secret can make."""
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    for part in headers["webhook-signature"].split(" "):
        version, _, signature = part.partition(",")
        try:
            if version == "v1a":
                alliance.verify(base64.b64decode(signature, validate=True), signed)
                return True
        except (InvalidSignature, ValueError):
            pass
    return False


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(secret).verify(body, dict(self.headers))  # The secret's signature, five minutes either way.
            status = 200 if is_ours(self.headers, body) else 401
        except WebhookVerificationError:
            status = 401
        if status == 200 and event["id"] not in seen:
            seen.add(event["id"])
            print(event["sequence"], event["type"], flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
tls.minimum_version, tls.verify_mode = ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED
tls.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
server.socket = tls.wrap_socket(server.socket, server_side=True)
print("listening", server.server_address[1], flush=True)
server.serve_forever()
