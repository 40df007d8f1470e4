"""Starts the real binary for one test, and a TCP proxy whose connections can be cut."""

import json
import os
import re
import select
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("TIDINGS_BIN", ROOT / "target/debug/tidings")).resolve()
DEADLINE = 20.0


def place_of(offset):
    """The epoch and the revision in an offset. What follows the revision after a `;` is the server's own."""
    epoch, rev = re.fullmatch(r"(.+?):(\d+)(?:;.*)?", offset).groups()
    return epoch, int(rev)


def until(what, probe, deadline=DEADLINE):
    """Asks again and again until `probe` gives something truthy, and gives that."""
    end = time.monotonic() + deadline
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what} (last: {found!r})")
        time.sleep(0.02)


class Server:
    """One server with a data folder of its own; it ends with the test."""

    def __init__(self, test):
        self._folder = tempfile.TemporaryDirectory(prefix="tidings-e2e-")
        test.addCleanup(self._folder.cleanup)
        self.port = 0
        self._process = None
        self.start()
        test.addCleanup(self.kill)

    def start(self):
        env = {"PATH": os.environ["PATH"], "PORT": str(self.port), "TIDINGS_DATA_DIR": f"{self._folder.name}/data"}
        self._log = open(f"{self._folder.name}/log", "w+", encoding="utf-8")
        self._process = subprocess.Popen([BINARY], cwd=self._folder.name, env=env, stdout=self._log, stderr=self._log)
        listening = until("the server listens", self._listening)
        self.url, self.port = listening[1], int(listening[2])

    def _listening(self):
        text = Path(self._log.name).read_text(encoding="utf-8")
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended at its start: {text}")
        return re.search(r"listening on (http://\S+?:(\d+))", text)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._log.close()

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.load(response)

    def send(self, to, message):
        return self.request("POST", "/v1/notifications", {"to": to, "message": message})["notifications"][0]

    def notification(self, id):
        return self.request("GET", f"/v1/notifications/{id}")

    def counts(self, user):
        return self.request("GET", f"/v1/users/{user}/inbox/counts")


class Proxy:
    """Passes bytes between its clients and a port of this machine, until it is cut."""

    def __init__(self, test, port):
        self._port = port
        self._open = True
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        test.addCleanup(self._listener.close)
        test.addCleanup(self.cut)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                client.close()
                continue
            upstream = socket.create_connection(("127.0.0.1", self._port))
            self._pairs.append((client, upstream))
            threading.Thread(target=self._pass, args=(client, upstream), daemon=True).start()

    @staticmethod
    def _pass(client, upstream):
        other = {client: upstream, upstream: client}
        try:
            while True:
                for side in select.select([client, upstream], [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            for side in other:
                side.close()

    def cut(self):
        """Ends every connection and takes no new ones."""
        self._open = False
        for pair in self._pairs:
            for side in pair:
                try:
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._pairs.clear()

    def mend(self):
        self._open = True
