"""python-socketio's asynchronous client; see agent.js for what it takes and prints."""

import asyncio
import json
import sys

import socketio

ENDS = {"connect", "disconnect", "connect_error"}
# Its own is 1 s, which a machine that starts many programs at once may take.
WAIT = 20


def say(**line):
    print(json.dumps(line), flush=True)


class Agent:
    def __init__(self, name, transports, auth):
        self.name = name
        self.transports = transports
        self.auth = auth
        self.client = socketio.AsyncClient()
        self.client.on("*", self.heard)
        for event in ENDS:
            self.client.on(event, self.ended(event))

    def ended(self, event):
        async def handle(*args):
            say(client=self.name, event=event, args=[str(arg) for arg in args])

        return handle

    async def heard(self, event, *args):
        say(client=self.name, event=event, args=args)

    async def connect(self, url):
        await self.client.connect(url, auth=lambda: self.auth, transports=self.transports, retry=True, wait_timeout=WAIT)

    async def emit(self, id, event, args):
        await self.client.emit(event, tuple(args), callback=lambda *answer: say(client=self.name, answer=id, args=answer))


async def main(url, clients):
    agents = {one["name"]: Agent(**one) for one in json.loads(clients)}
    await asyncio.gather(*(agent.connect(url) for agent in agents.values()))
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        told = json.loads(line)
        agent = agents[told["client"]]
        if "auth" in told:
            agent.auth = told["auth"]
        else:
            await agent.emit(told["id"], told["emit"], told["args"])
    for agent in agents.values():
        await agent.client.shutdown()


asyncio.run(main(*sys.argv[1:]))
