"""The server as python-socketio sees it."""

import unittest

import socketio
from rig import DEADLINE, Proxy, Server, place_of, until


class Device:
    """A python-socketio client with a log; it keeps its own cursor and gives it when it comes back."""

    def __init__(self, test, url, user=None, device="python", transports=None, **auth):
        self.notifications = []
        self.updates = []
        self.ready = []
        self.position = {}
        self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)
        self.client.on("inbox_ready", self._on_ready)
        self.client.on("send_notification", self._on_notification)
        self.client.on("notification_updated", self._on_update)
        test.addCleanup(self.client.disconnect)

        def say():
            return {"user_id": user, "device_id": device, **auth, **self.position} if user else None

        self.client.connect(url, auth=say, transports=transports, wait_timeout=DEADLINE)

    def _on_ready(self, info, offset):
        self.ready.append((info, offset))

    def _on_notification(self, notification, meta, offset):
        self.notifications.append((notification, meta, offset))
        self._moved(offset)

    def _on_update(self, change, counts, offset):
        self.updates.append((change, counts, offset))
        self._moved(offset)

    def _moved(self, offset):
        epoch, rev = place_of(offset)
        self.position = {"epoch": epoch, "cursor": rev}

    @property
    def messages(self):
        return [notification["message"] for notification, _, _ in self.notifications]

    def has(self, count):
        until(f"{count} notifications", lambda: len(self.notifications) >= count)
        return self.messages

    def call(self, event, data):
        return self.client.call(event, data, timeout=DEADLINE)


class PythonClient(unittest.TestCase):
    def test_attaches_by_auth_over_each_transport(self):
        for transports in (["websocket"], ["polling"], None):
            with self.subTest(transports=transports):
                server = Server(self)
                server.send("ana", "waiting")
                device = Device(self, server.url, "ana", transports=transports)
                self.assertEqual(device.has(1), ["waiting"])
                info, offset = device.ready[0]
                self.assertEqual((info["user_id"], info["device_id"], info["mode"]), ("ana", "python", "pending"))
                self.assertEqual(offset, f"{info['epoch']}:0")
                server.send("ana", "live")
                self.assertEqual(device.has(2), ["waiting", "live"])

    def test_registers(self):
        server = Server(self)
        server.send("ana", "waiting")
        device = Device(self, server.url)
        answer = device.call("register_user", "ana")
        self.assertTrue(answer["ok"])
        self.assertEqual((answer["user_id"], answer["cursor"], answer["head"]), ("ana", 0, 1))
        self.assertEqual(device.has(1), ["waiting"])
        self.assertFalse(device.call("register_user", "")["ok"])

    def test_is_refused_with_a_code(self):
        server = Server(self)
        client = socketio.Client(reconnection=False)
        refusals = []
        client.on("connect_error", refusals.append)
        with self.assertRaises(socketio.exceptions.ConnectionError):
            client.connect(server.url, auth={"user_id": ""}, transports=["websocket"], wait_timeout=DEADLINE)
        client.disconnect()
        self.assertEqual(refusals[0]["data"]["code"], "invalid_request")

    def test_acknowledges_and_marks(self):
        server = Server(self)
        device = Device(self, server.url, "ana", acks=True)
        other = Device(self, server.url, "ana", device="other", acks=True)
        until("both are ready", lambda: device.ready and other.ready)
        sent = server.send("ana", "hello")
        device.has(1)
        self.assertEqual(server.notification(sent["id"])["status"], "pending")
        self.assertEqual(device.call("ack_notifications", {"rev": 1}), {"ok": True, "rev": 1})
        self.assertEqual(server.notification(sent["id"])["status"], "delivered")

        answer = device.call("mark", {"op": "read", "ids": [sent["id"]]})
        self.assertEqual(answer, {"ok": True, "rev": 2, "changed": 1, "unread": 0, "unseen": 0, "total": 1})
        until("the other device is told", lambda: other.updates)
        change, counts, _ = other.updates[0]
        self.assertEqual(change, {"rev": 2, "prev": 1, "op": "read", "ids": [sent["id"]]})
        self.assertEqual(counts, {"unread": 0, "unseen": 0, "total": 1})
        self.assertEqual(server.counts("ana"), {"total": 1, "unread": 0, "unseen": 0})

    def test_resumes_after_a_cut_connection(self):
        server = Server(self)
        proxy = Proxy(self, server.port)
        for transports in (["websocket"], ["polling"]):
            with self.subTest(transports=transports):
                user = transports[0]
                proxy.mend()
                device = Device(self, proxy.url, user, device=f"{user}-python", transports=transports)
                until("it is ready", lambda: device.ready)
                server.send(user, "before")
                device.has(1)
                proxy.cut()
                until("it sees the cut", lambda: not device.client.connected)
                server.send(user, "during 1")
                server.send(user, "during 2")
                proxy.mend()
                device.has(3)
                server.send(user, "after")
                self.assertEqual(device.has(4), ["before", "during 1", "during 2", "after"])
                self.assertEqual((device.ready[-1][0]["mode"], device.ready[-1][0]["cursor"]), ("resume", 1))

    def test_resumes_after_a_killed_server(self):
        server = Server(self)
        device = Device(self, server.url, "ana")
        until("it is ready", lambda: device.ready)
        server.send("ana", "before")
        device.has(1)
        server.kill()
        server.start()
        server.send("ana", "after")
        self.assertEqual(device.has(2), ["before", "after"])


if __name__ == "__main__":
    unittest.main()
