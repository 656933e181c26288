// A receiver of Hanse's webhooks. Node 18 or later, `npm install standardwebhooks`.
//
//     node receiver.mjs CERTIFICATE KEY AUTHORITY SECRET PUBLIC_KEY [PORT]
//
// SECRET is `whsec_…` of the webhook, PUBLIC_KEY `whpk_…` of the alliance: `whpk_` and the `x` of its JWK of purpose `webhook`, in
// base64 with padding. Listens on PORT of this machine, or on any that is free, and prints what it took.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Webhook } from "standardwebhooks";

const [certificate, key, authority, secret, publicKey, port = "0"] = process.argv.slice(2);
if (!publicKey) {
  console.error("usage: node receiver.mjs CERTIFICATE KEY AUTHORITY SECRET PUBLIC_KEY [PORT]");
  process.exit(2);
}
const x = Buffer.from(publicKey.replace("whpk_", ""), "base64").toString("base64url");
const alliance = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
const webhook = new Webhook(secret);
const seen = new Set(); // Yours outlives a restart, and keeps ids for eight days.

// The alliance's own signature, which not even whoever knows the secret can make.
function isOurs(headers, body) {
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").filter((part) => part.startsWith("v1a,"));
  return signatures.some((part) => verify(null, signed, alliance, Buffer.from(part.slice(4), "base64")));
}

function take(headers, body) {
  try {
    webhook.verify(body, headers); // The secret's signature, five minutes either way.
    if (!isOurs(headers, body)) return 401;
  } catch {
    return 401;
  }
  const event = JSON.parse(body);
  if (!seen.has(event.id)) console.log(event.sequence, event.type);
  seen.add(event.id);
  return 204;
}

const tls = { cert: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(authority) };
const server = createServer({ ...tls, minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: true }, (request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => response.writeHead(take(request.headers, Buffer.concat(parts).toString())).end());
});
server.listen(Number(port), "127.0.0.1", () => console.log("listening", server.address().port));
