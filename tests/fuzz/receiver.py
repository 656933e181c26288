"""Where webhooks are sent to: an endpoint of this machine that takes all it is sent, for whoever calls for the alliance."""

import http.server
import ssl
import threading
from pathlib import Path


class Receiver:
    """Answers from when it is made until `stop`; `url` is where."""

    def __init__(self, pki):
        pki = Path(pki)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.crt"))
        tls.minimum_version, tls.verify_mode = ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED
        # The alliance's authority has issued it for this machine.
        tls.load_cert_chain(pki / "server.crt", pki / "server.key")
        self.server = Server(("127.0.0.1", 0), Taking)
        self.server.tls = tls
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}/hanse"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        # Here and not where it listens: who is slow to say hello holds up nobody else.
        try:
            with self.tls.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError:
            # Whoever has called tells what became of it.
            pass


class Taking(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass
