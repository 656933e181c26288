"""One exchange for the fuzzer: a demo of its own on free ports, its clients, its audit, and its end.

Whatever happens, leaving the `with` block stops the server, its database and removes their folder.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import requests

from receiver import Receiver

CHECKOUT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 120
STOPPED_WITHIN_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Exchange:
    """A running `hanse demo --quiet`, in which every brand's accounts are kept here."""

    def __init__(self, binary, folder):
        self.binary, self.folder = Path(binary).resolve(), Path(folder).resolve()
        self.api = f"https://127.0.0.1:{free_port()}"
        self.public = f"http://127.0.0.1:{free_port()}"
        self.process = self.receiver = None

    @property
    def data_dir(self):
        return self.folder / "hosted"

    @property
    def pki(self):
        return self.data_dir / "pki"

    def __enter__(self):
        self.remove()
        self.folder.mkdir(parents=True)
        listen = {"--api-listen": self.api, "--public-listen": self.public}
        flags = [word for flag, url in listen.items() for word in (flag, url.split("//")[1])]
        command = [self.binary, "demo", "--quiet", "--hosted", "--data-dir", self.folder, "--log", "warn", *flags]
        self.log = open(self.folder / "server.log", "w")
        self.process = subprocess.Popen(command, cwd=CHECKOUT, stdout=self.log, stderr=subprocess.STDOUT)
        self.await_ready()
        self.receiver = Receiver(self.pki)
        return self

    def await_ready(self):
        give_up = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                break
            try:
                if requests.get(f"{self.public}/readyz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        self.stop()
        sys.exit(f"the demo is not ready; its log:\n{(self.folder / 'server.log').read_text()[-4000:]}")

    def run(self, *words, told=None):
        """Runs a subcommand beside the server, with this to read; its exit code and all it printed."""
        done = subprocess.run([self.binary, *words], cwd=CHECKOUT, input=told, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def beside(self, *words, told=None):
        """The same on this exchange's own data."""
        return self.run(*words, "--data-dir", self.data_dir, told=told)

    def propose(self, to):
        """Proposes a change of the terms from our brand to another, so that there is something to approve."""
        folder = self.folder / "manifests"
        shutil.copytree(CHECKOUT / "partners" / "lumen", folder)
        for manifest in folder.glob("*.toml"):
            # As in the demo: every brand's accounts are kept here.
            lines = manifest.read_text().splitlines(keepends=True)
            manifest.write_text("".join(line for line in lines if not line.startswith("endpoint = ")))
        file, terms = folder / "lumen.toml", f'to = "{to}"\nexposure_limit = "1000000000.00"'
        text = file.read_text()
        assert terms in text, f"lumen.toml has other terms for {to} now"
        file.write_text(text.replace(terms, terms.replace("1000000000.00", "1000000001.00")))
        code, printed = self.beside("partners", "apply", folder)
        assert code == 0, printed

    def close_window(self):
        """Ends the open window of settlement: it is closed, signed and published when this returns."""
        code, printed = self.beside("settle", "close")
        assert code == 0, printed

    def second_operator(self):
        """A certificate of another operator: what needs four eyes needs two."""
        code, printed = self.beside("pki", "issue", "operator/two")
        assert code == 0, printed

    def address(self):
        """What another process needs to reach this exchange."""
        return {"api": self.api, "public": self.public, "pki": str(self.pki), "receiver": self.receiver.url}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return False
        return self.process is None or self.process.returncode == 0

    def remove(self):
        # Where root's home is closed to the database's user, the cluster is elsewhere and says so.
        for note in self.folder.rglob("elsewhere"):
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, *_):
        self.stop()
        if self.receiver:
            self.receiver.stop()
        self.log.close()
        if not os.environ.get("HANSE_FUZZ_KEEP"):
            self.remove()


class Client:
    """A caller of the partner API by its certificate; `https` is verified against the alliance's authority."""

    def __init__(self, address, name):
        pki = Path(address["pki"])
        self.name, self.api = name, address["api"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(pki / "ca.crt")
        self.session.cert = (str(pki / f"{name}.crt"), str(pki / f"{name}.key"))

    def send(self, method, path, body=None, key=None):
        headers = {"Idempotency-Key": key} if key else {}
        return self.session.request(method, self.api + path, json=body, headers=headers, timeout=60)

    def send_text(self, method, path, text, kind="text/csv"):
        headers = {"Content-Type": kind}
        return self.session.request(method, self.api + path, data=text.encode(), headers=headers, timeout=60)

    def must(self, method, path, body=None, key=None):
        """The answer's JSON; anything but a 2xx ends the run with what was answered."""
        answer = self.send(method, path, body, key)
        if not answer.ok:
            raise AssertionError(
                f"{self.name}: {method} {path} {json.dumps(body)}: {answer.status_code} {answer.text}"
            )
        return answer.json()


def fresh(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:20]}"
