"""What python-socketio does, on every transport, against the echo example named by TIDINGS_ECHO_BIN."""

import os
import queue
import subprocess
import unittest

import socketio

DEADLINE = 10


class Echo:
    """The echo example on a free port."""

    def __init__(self, **env):
        binary = os.environ["TIDINGS_ECHO_BIN"]
        self.process = subprocess.Popen(
            [binary, "0"], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Client:
    """A client whose events can be waited for."""

    def __init__(self, **options):
        self.socket = socketio.Client(**options)
        self.events = queue.Queue()
        self.socket.on("*", lambda name, *args: self.events.put((name, args)))
        for name in ("connect", "disconnect", "connect_error"):
            self.socket.on(name, lambda *args, name=name: self.events.put((name, args)))

    def next(self, wanted):
        while True:
            name, args = self.events.get(timeout=DEADLINE)
            if name == wanted:
                return args


class Cases:
    """The same for every transport; see below."""

    transports = None
    ends = None

    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()

    @classmethod
    def tearDownClass(cls):
        cls.echo.stop()

    def connect(self, auth=None, **options):
        client = Client(**options)
        self.addCleanup(client.socket.shutdown)
        client.socket.connect(self.echo.url, auth=auth, transports=self.transports, wait_timeout=DEADLINE)
        self.assertEqual(client.socket.transport(), self.ends)
        return client

    def test_connects_with_auth(self):
        client = self.connect(auth={"token": "t", "nested": {"a": [1, None]}})
        self.assertEqual(client.next("auth"), ({"token": "t", "nested": {"a": [1, None]}},))
        self.assertEqual(len(client.socket.get_sid()), 20)

    def test_is_refused_with_a_message_and_data(self):
        client = Client(reconnection=False)
        self.addCleanup(client.socket.shutdown)
        with self.assertRaises(socketio.exceptions.ConnectionError):
            client.socket.connect(self.echo.url, auth={"refuse": True}, transports=self.transports)
        self.assertEqual(client.next("connect_error"), ({"message": "refused", "data": {"code": "forbidden"}},))

    def test_emits_and_receives(self):
        client = self.connect()
        client.socket.emit("message", (1, "zwei é \u001e", {"three": [True, None]}))
        self.assertEqual(client.next("message-back"), (1, "zwei é \u001e", {"three": [True, None]}))

    def test_gets_answers_and_answers(self):
        client = self.connect()
        self.assertEqual(client.socket.call("ask", {"a": 1}, timeout=DEADLINE), {"a": 1})
        client.socket.on("question", lambda one, two: (two, one))
        client.socket.emit("ask-me", ("first", "second"))
        self.assertEqual(client.next("said"), ("second", "first"))

    def test_sends_and_receives_binary(self):
        client = self.connect()
        data = bytes([0, 1, 254, 255, 30])
        client.socket.emit("binary", (data, {"inside": [data]}))
        self.assertEqual(client.next("binary"), (data, {"inside": [data]}))
        self.assertEqual(client.socket.call("binary", data, timeout=DEADLINE), data)
        client.socket.on("question", lambda sent: sent + data)
        client.socket.emit("ask-me", data)
        self.assertEqual(client.next("said"), (data + data,))

    def test_sends_a_message_of_nearly_the_greatest_size(self):
        client = self.connect()
        text = "x" * (65_536 - 40)
        client.socket.emit("large", text)
        self.assertEqual(client.next("large"), (text,))

    def test_sends_much_at_once_in_order(self):
        client = self.connect()
        for n in range(500):
            client.socket.emit("n", n)
        self.assertEqual([client.next("n")[0] for _ in range(500)], list(range(500)))

    def test_is_disconnected_by_the_server(self):
        client = self.connect()
        client.socket.emit("disconnect-me")
        client.next("disconnect")
        self.assertFalse(client.socket.connected)

    def test_comes_back_when_the_server_closes_the_transport(self):
        client = self.connect(reconnection_delay=0.05, randomization_factor=0)
        client.next("connect")
        client.socket.emit("close-me")
        client.next("disconnect")
        client.next("connect")


class Websocket(Cases, unittest.TestCase):
    transports = ["websocket"]
    ends = "websocket"


class Polling(Cases, unittest.TestCase):
    transports = ["polling"]
    ends = "polling"


class Upgraded(Cases, unittest.TestCase):
    transports = ["polling", "websocket"]
    ends = "websocket"


class Heartbeat(unittest.TestCase):
    def test_is_kept(self):
        echo = Echo(PING_INTERVAL_MS="100", PING_TIMEOUT_MS="1000")
        self.addCleanup(echo.stop)
        for transport in ("websocket", "polling"):
            with self.subTest(transport):
                client = Client()
                client.socket.connect(echo.url, transports=[transport])
                sid = client.socket.get_sid()
                # Well past the interval and the timeout; the sleep is the time under test.
                client.socket.sleep(1.5)
                client.socket.emit("still")
                client.next("still")
                self.assertEqual(client.socket.get_sid(), sid)
                client.socket.shutdown()


if __name__ == "__main__":
    unittest.main()
