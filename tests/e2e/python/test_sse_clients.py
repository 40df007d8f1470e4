"""The stream as the SSE clients of Python read it."""

import asyncio
import json
import threading
import unittest

import aiosseclient
import httpx
import httpx_sse
import requests
import sseclient
from rig import DEADLINE, Proxy, Server, until


def read_by_sseclient_py(url, last_id, take):
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    with requests.get(url, headers=headers, stream=True, timeout=DEADLINE) as response:
        response.raise_for_status()
        for event in sseclient.SSEClient(response).events():
            take(event)


def read_by_httpx_sse(url, last_id, take):
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with httpx.Client(timeout=DEADLINE) as client, httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
        source.response.raise_for_status()
        for event in source.iter_sse():
            take(event)


def read_by_aiosseclient(url, last_id, take):
    async def read():
        async for event in aiosseclient.aiosseclient(url, last_id=last_id, raise_for_status=True):
            take(event)

    asyncio.run(read())


CUTS = (requests.RequestException, httpx.TransportError, aiosseclient.aiohttp.ClientError, OSError)


class Reading:
    """One connection, read in a thread until it is cut."""

    def __init__(self, read, url, last_id=None):
        self.events = []
        self.failure = None
        self._thread = threading.Thread(target=self._run, args=(read, url, last_id), daemon=True)
        self._thread.start()

    def _run(self, read, url, last_id):
        try:
            read(url, last_id, self.events.append)
        except CUTS as cut:
            self.failure = cut

    def has(self, count):
        until(f"{count} events ({self.failure})", lambda: len(self.events) >= count)
        return [(event.event, json.loads(event.data)) for event in self.events]

    def ends(self):
        self._thread.join(DEADLINE)
        return not self._thread.is_alive()


class Cases:
    """The same for every client; see below."""

    def setUp(self):
        self.server = Server(self)
        self.proxy = Proxy(self, self.server.port)
        self.path = f"{self.proxy.url}/v1/users/ana/stream?device_id=python"

    def read(self, url, last_id=None):
        return Reading(type(self).client, url, last_id)

    def messages(self, events):
        return [args[0]["message"] for name, args in events if name == "send_notification"]

    def test_reads_what_waits_and_what_comes_without_an_empty_message(self):
        self.server.send("ana", "waiting")
        reading = self.read(self.path)
        reading.has(2)
        self.server.send("ana", "live")
        # An empty message would not be JSON.
        events = reading.has(3)
        self.assertEqual([name for name, _ in events], ["inbox_ready", "send_notification", "send_notification"])
        self.assertEqual(self.messages(events), ["waiting", "live"])
        self.assertTrue(all(event.id for event in reading.events))

    def test_resumes_from_the_last_id_after_a_cut(self):
        for number, place in enumerate(("header", "query")):
            with self.subTest(place):
                user = f"user-{number}"
                path = f"{self.proxy.url}/v1/users/{user}/stream?device_id=python"
                reading = self.read(path)
                reading.has(1)
                self.server.send(user, "before")
                reading.has(2)
                self.proxy.cut()
                self.assertTrue(reading.ends(), "it sees the cut")
                for message in ("during 1", "during 2"):
                    self.server.send(user, message)
                self.proxy.mend()
                last_id = reading.events[-1].id
                url = path if place == "header" else str(httpx.URL(path).copy_add_param("lastEventId", last_id))
                again = self.read(url, last_id if place == "header" else None)
                again.has(3)
                self.server.send(user, "after")
                events = again.has(4)
                self.assertEqual(events[0][1][0]["mode"], "resume")
                self.assertEqual(self.messages(events), ["during 1", "during 2", "after"])

    def test_is_told_to_sync_when_its_last_id_says_nothing(self):
        self.server.send("ana", "missed")
        reading = self.read(self.path, "42")
        events = reading.has(2)
        self.assertEqual([name for name, _ in events], ["inbox_ready", "sync_required"])
        self.server.send("ana", "live")
        self.assertEqual(self.messages(reading.has(3)), ["live"])


class SseclientPy(Cases, unittest.TestCase):
    client = staticmethod(read_by_sseclient_py)


class HttpxSse(Cases, unittest.TestCase):
    client = staticmethod(read_by_httpx_sse)


class Aiosseclient(Cases, unittest.TestCase):
    client = staticmethod(read_by_aiosseclient)


if __name__ == "__main__":
    unittest.main()
