"""python-socketio's synchronous client; see agent.js for what it takes and prints."""

import json
import sys
import threading

import socketio

ENDS = {"connect", "disconnect", "connect_error"}
# Its own is 1 s, which a machine that starts many programs at once may take.
WAIT = 20
writing = threading.Lock()


def say(**line):
    with writing:
        print(json.dumps(line), flush=True)


class InOrder:
    """This client handles each message in a thread of its own, so that two may change places. Each event says by `prev` what
    it follows: it waits until that was told."""

    def __init__(self, tell):
        self._tell = tell
        self._lock = threading.Lock()
        self._served = None
        self._waiting = {}

    def begin(self):
        with self._lock:
            self._served = None
            self._waiting.clear()

    def take(self, event, args):
        with self._lock:
            if event == "inbox_ready":
                self._served = args[0]["cursor"]
                self._tell(event, args)
            elif event in ("send_notification", "notification_updated"):
                self._waiting[args[1 if event == "send_notification" else 0]["prev"]] = (event, args)
            else:
                self._tell(event, args)
            while self._served in self._waiting:
                event, args = self._waiting.pop(self._served)
                self._served = args[0]["rev"]
                self._tell(event, args)


class Agent:
    def __init__(self, url, name, transports, auth):
        self.name = name
        self.auth = auth
        self.events = InOrder(lambda event, args: say(client=name, event=event, args=args))
        self.client = socketio.Client()
        self.client.on("*", self.heard)
        for event in ENDS:
            self.client.on(event, lambda *args, event=event: self.ended(event, args))
        self.client.connect(url, auth=lambda: self.auth, transports=transports, retry=True, wait_timeout=WAIT)

    def ended(self, event, args):
        if event == "disconnect":
            self.events.begin()
        say(client=self.name, event=event, args=[str(arg) for arg in args])

    def heard(self, event, *args):
        self.events.take(event, args)

    def emit(self, id, event, args):
        self.client.emit(event, tuple(args), callback=lambda *answer: say(client=self.name, answer=id, args=answer))


url, clients = sys.argv[1:]
agents = {one["name"]: Agent(url, **one) for one in json.loads(clients)}
for line in sys.stdin:
    told = json.loads(line)
    agent = agents[told["client"]]
    if "auth" in told:
        agent.auth = told["auth"]
    else:
        agent.emit(told["id"], told["emit"], told["args"])
