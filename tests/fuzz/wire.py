"""Requests byte by byte over TLS, for what no client library would send; and certificates that nobody should accept."""

import contextlib
import http.client
import json
import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PATIENCE_S = 30


def place_of(url):
    place = urlsplit(url)
    return place.hostname, place.port


class Answer:
    def __init__(self, status, headers, content):
        self.status, self.content = status, content
        self.headers = {name.lower(): value for name, value in headers}
        self.cookies = [value for name, value in headers if name.lower() == "set-cookie"]

    def json(self):
        return json.loads(self.content)


class Closed(Exception):
    """No answer: the connection was refused or ended."""


class Wire:
    """One caller; every request takes a connection of its own unless `open` is used."""

    # From where it calls: an address and a port of this machine.
    source = None

    def __init__(self, address, certificate=None, key=None, newest=None):
        self.place = place_of(address["api"])
        self.context = ssl.create_default_context(cafile=str(Path(address["pki"]) / "ca.crt"))
        if newest:
            self.context.maximum_version = newest
        if certificate:
            self.context.load_cert_chain(certificate, key)

    @classmethod
    def of(cls, address, name):
        pki = Path(address["pki"])
        return cls(address, pki / f"{name}.crt", pki / f"{name}.key")

    @classmethod
    def plain(cls, address):
        """A caller of the listener for everybody, which speaks no TLS."""
        wire = cls(address)
        wire.place, wire.context = place_of(address["public"]), None
        return wire

    def open(self):
        try:
            raw = socket.create_connection(self.place, PATIENCE_S, self.source)
            return self.context.wrap_socket(raw, server_hostname="localhost") if self.context else raw
        except (OSError, ssl.SSLError) as cause:
            raise Closed(str(cause)) from None

    def exchange(self, data, connection=None):
        """Sends bytes and reads one answer."""
        own = connection is None
        connection = connection or self.open()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # Who is cut off while still sending may have been told why.
                connection.sendall(data)
            answer = http.client.HTTPResponse(connection, method=data.split(b" ", 1)[0].decode("latin-1"))
            answer.begin()
            return Answer(answer.status, answer.getheaders(), answer.read())
        except (OSError, ssl.SSLError, http.client.HTTPException) as cause:
            raise Closed(f"{type(cause).__name__}: {cause}") from None
        finally:
            if own:
                connection.close()

    def send(self, method, target, body=b"", headers=(), connection=None):
        """A request whose head is well formed. `headers` may repeat; `body` of `None` sends no length."""
        target = target if isinstance(target, bytes) else target.encode()
        head = [method.encode() + b" " + target + b" HTTP/1.1", b"host: localhost"]
        head += [
            name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
        ]
        if body is not None:
            head.append(b"content-length: %d" % len(body))
        return self.exchange(b"\r\n".join(head) + b"\r\n\r\n" + (body or b""), connection)


def attempt(send, *told, **more):
    """The answer, or that there was none."""
    try:
        return send(*told, **more)
    except Closed as closed:
        return closed


class Forge:
    """Issues client certificates, by the alliance's own authority or by another of the same name."""

    def __init__(self, pki, folder, foreign=False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = x509.load_pem_x509_certificate((Path(pki) / "ca.crt").read_bytes())
        self.issuer = authority.subject
        if foreign:
            self.key = ec.generate_private_key(ec.SECP256R1())
        else:
            self.key = serialization.load_pem_private_key((Path(pki) / "ca.key").read_bytes(), None)

    def issue(self, name, uris, days=(-1, 1), usage=ExtendedKeyUsageOID.CLIENT_AUTH, by_itself=False):
        """Files of a certificate and its key, valid from and to so many days from now."""
        now, key = datetime.now(timezone.utc), ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if by_itself else self.issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(key if by_itself else self.key, hashes.SHA256())
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        return files
