// What an unmodified official JavaScript client does, on every transport.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { next, startEcho, startProxy } from "./echo.js";

const ways = [
  { name: "websocket", transports: ["websocket"], ends: "websocket" },
  { name: "polling", transports: ["polling"], ends: "polling" },
  { name: "polling, then upgraded", transports: ["polling", "websocket"], ends: "websocket" },
];

for (const way of ways) {
  describe(way.name, () => {
    let echo;
    before(async () => (echo = await startEcho()));
    after(() => echo.stop());

    // Closed however a test ends, so that a failure does not hang the run.
    const open = [];
    afterEach(() => open.splice(0).forEach((thing) => thing.close()));

    function client(url, options) {
      const socket = io(url, { transports: way.transports, forceNew: true, reconnectionDelay: 20, ...options });
      open.push(socket);
      return socket;
    }

    /** A client that is connected and has the transport it ends with. */
    async function connected(options = {}, url = echo.url) {
      const socket = client(url, options);
      const auth = next(socket, "auth");
      await next(socket, "connect");
      const [sent] = await auth;
      if (way.transports.length > 1 && socket.io.engine.transport.name !== way.ends) {
        await next(socket.io.engine, "upgrade");
      }
      assert.equal(socket.io.engine.transport.name, way.ends);
      return { socket, auth: sent };
    }

    test("connects with auth", async () => {
      const { socket, auth } = await connected({ auth: { token: "t", nested: { a: [1, null] } } });
      assert.deepEqual(auth, { token: "t", nested: { a: [1, null] } });
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
    });

    test("is refused with a message and data", async () => {
      const socket = client(echo.url, { auth: { refuse: true } });
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "refused");
      assert.deepEqual(error.data, { code: "forbidden" });
      assert.equal(socket.active, false);
    });

    test("is refused in a namespace that does not exist", async () => {
      const socket = client(`${echo.url}/other`);
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace");
    });

    test("emits and receives", async () => {
      const { socket } = await connected();
      socket.emit("message", 1, "zwei é \u001e \u{1f600}", { three: [true, null] });
      assert.deepEqual(await next(socket, "message-back"), [1, "zwei é \u001e \u{1f600}", { three: [true, null] }]);
    });

    test("gets answers and answers", async () => {
      const { socket } = await connected();
      assert.deepEqual(await socket.timeout(5_000).emitWithAck("ask", { a: 1 }), { a: 1 });
      socket.on("question", (one, two, answer) => answer(two, one));
      socket.emit("ask-me", "first", "second");
      assert.deepEqual(await next(socket, "said"), ["second", "first"]);
    });

    test("sends and receives binary", async () => {
      const { socket } = await connected();
      const bytes = Buffer.from([0, 1, 254, 255, 30]);
      socket.emit("binary", bytes, { inside: [bytes] }, Buffer.alloc(0));
      const [one, two, empty] = await next(socket, "binary");
      assert.deepEqual(Buffer.from(one), bytes);
      assert.deepEqual(Buffer.from(two.inside[0]), bytes);
      assert.equal(empty.byteLength ?? empty.length, 0);

      assert.deepEqual(Buffer.from(await socket.timeout(5_000).emitWithAck("binary", bytes)), bytes);
      socket.on("question", (sent, answer) => answer(Buffer.concat([Buffer.from(sent), bytes])));
      socket.emit("ask-me", bytes);
      const [said] = await next(socket, "said");
      assert.deepEqual(Buffer.from(said), Buffer.concat([bytes, bytes]));
    });

    test("sends a message of nearly the greatest size", async () => {
      const { socket } = await connected();
      const text = "x".repeat(65_536 - 40);
      const [back] = await Promise.all([next(socket, "large"), socket.emit("large", text)]);
      assert.equal(back[0].length, text.length);
    });

    test("sends much at once, in order", async () => {
      const { socket } = await connected();
      const seen = [];
      const all = new Promise((resolve) => socket.on("n", (n) => seen.push(n) === 2_000 && resolve()));
      for (let n = 0; n < 2_000; n++) socket.emit("n", n, "some text that makes it more than one body");
      await all;
      assert.deepEqual(seen, [...seen.keys()]);
    });

    test("loses nothing while its transport may change", async () => {
      for (let round = 0; round < 10; round++) {
        const socket = client(echo.url);
        const seen = [];
        const answered = [];
        const all = new Promise((resolve) => socket.on("n", (n) => seen.push(n) === 300 && resolve()));
        await next(socket, "connect");
        const answers = [];
        for (let n = 0; n < 300; n++) {
          socket.emit("n", n);
          answers.push(socket.timeout(5_000).emitWithAck("ask", n).then((back) => answered.push(back)));
          if (n % 5 === 0) await new Promise(setImmediate);
        }
        await all;
        await Promise.all(answers);
        assert.deepEqual(seen, [...seen.keys()]);
        assert.deepEqual(answered, [...answered.keys()]);
        socket.close();
      }
    });

    test("is disconnected by the server and stays away", async () => {
      const { socket } = await connected();
      socket.emit("disconnect-me");
      const [reason] = await next(socket, "disconnect");
      assert.equal(reason, "io server disconnect");
      assert.equal(socket.active, false);
    });

    test("comes back by itself when the server closes the transport", async () => {
      const { socket } = await connected();
      const gone = next(socket, "disconnect");
      socket.emit("close-me");
      assert.match((await gone)[0], /^transport (close|error)$/);
      await next(socket, "connect");
    });

    test("comes back after a cut, with its pid and offset", async () => {
      const proxy = await startProxy(echo.port);
      open.push(proxy);
      const { socket } = await connected({ auth: { want_pid: "device" } }, proxy.url);
      socket.emit("offset", "a");
      assert.deepEqual(await next(socket, "offset"), [["a"], "epoch:7"]);
      const auth = next(socket, "auth");
      const gone = next(socket, "disconnect");
      // Again and again: between two polls there is no connection to cut.
      const cutting = setInterval(() => proxy.cut(), 10);
      gone.finally(() => clearInterval(cutting));
      assert.match((await gone)[0], /^transport (close|error)$/);
      await next(socket, "connect");
      assert.deepEqual(await auth, [{ pid: "device", offset: "epoch:7", want_pid: "device" }]);
    });

    test("leaves and comes again", async () => {
      const { socket } = await connected();
      const first = socket.id;
      socket.disconnect();
      assert.equal(socket.connected, false);
      socket.connect();
      await next(socket, "connect");
      assert.notEqual(socket.id, first);
    });
  });
}

describe("heartbeat", () => {
  let echo;
  before(async () => (echo = await startEcho({ PING_INTERVAL_MS: "100", PING_TIMEOUT_MS: "1000" })));
  after(() => echo.stop());

  for (const transport of ["websocket", "polling"]) {
    test(`is kept on ${transport}`, async () => {
      const socket = io(echo.url, { transports: [transport], forceNew: true });
      await next(socket, "connect");
      const id = socket.id;
      for (let n = 0; n < 15; n++) await next(socket.io, "ping");
      assert.equal(socket.id, id);
      socket.close();
    });
  }
});
