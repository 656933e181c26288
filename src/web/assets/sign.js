// Signs a statement in the browser: the key file is read here, used here and never sent; what is sent is the form's text.
"use strict";
(() => {
  const box = document.querySelector("[data-sign]");
  const file = document.querySelector("#key");
  const field = document.querySelector("#signed");
  if (!box || !file || !field) return;
  box.hidden = false;
  const told = box.querySelector("[data-told]");
  const say = (what) => { told.textContent = box.dataset[what] || ""; told.dataset.what = what; };
  const encode = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

  // The seed of an Ed25519 key: of a JWK (RFC 8037), or of PKCS#8 (RFC 8410) in PEM or DER, whichever version has it.
  const seedOf = (bytes) => {
    const text = new TextDecoder().decode(bytes).trim();
    if (text.startsWith("{")) {
      const jwk = JSON.parse(text);
      return jwk.kty === "OKP" && jwk.crv === "Ed25519" && typeof jwk.d === "string" ? decode(jwk.d) : null;
    }
    const pem = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(text);
    const der = pem ? decode(pem[1].replaceAll(/\s/g, "")) : bytes;
    const mark = [0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    for (let at = 0; at + mark.length + 32 <= der.length && at < 16; at += 1) {
      if (mark.every((one, more) => der[at + more] === one)) return der.slice(at + mark.length, at + mark.length + 32);
    }
    return null;
  };

  const keyOf = async (seed) => {
    const head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    const key = await crypto.subtle.importKey("pkcs8", new Uint8Array([...head, ...seed]), "Ed25519", true, ["sign"]);
    const { x } = await crypto.subtle.exportKey("jwk", key);
    // RFC 7638: the members of a public key in their sequence, and nothing else.
    const thumb = new TextEncoder().encode(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }));
    return { key, kid: encode(await crypto.subtle.digest("SHA-256", thumb)) };
  };

  const sign = async () => {
    field.value = "";
    say("busy");
    let seed = null;
    try {
      seed = seedOf(new Uint8Array(await file.files[0].arrayBuffer()));
    } catch { /* said below */ }
    if (!seed || seed.length !== 32) return say("none");
    let own;
    try {
      own = await keyOf(seed);
    } catch {
      return say("browser");
    }
    const protectedHeader = [...document.querySelectorAll("[data-kid]")].find((one) => one.dataset.kid === own.kid)?.dataset.protected;
    if (!protectedHeader) return say("strange");
    // Nothing but the statement itself is signed: not a page that says why there is none.
    const answer = await fetch(box.dataset.payload, { credentials: "same-origin" }).catch(() => null);
    if (!answer || !answer.ok) return say("unread");
    const payload = await answer.text();
    const bytes = new TextEncoder().encode(protectedHeader + "." + payload);
    const signature = encode(await crypto.subtle.sign("Ed25519", own.key, bytes));
    field.value = JSON.stringify({ protected: protectedHeader, signature });
    say("done");
  };

  file.addEventListener("change", () => {
    if (file.files.length) sign().catch(() => say("browser"));
  });
})();
