// Runs the echo example and what stands between it and a client.

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import readline from "node:readline";

/** Starts the binary named by TIDINGS_ECHO_BIN on a free port. */
export async function startEcho(env = {}) {
  const binary = process.env.TIDINGS_ECHO_BIN;
  if (!binary) throw new Error("TIDINGS_ECHO_BIN must name the echo example of tidings-socketio");
  const child = spawn(binary, ["0"], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(readline.createInterface(child.stdout), "line");
  return {
    url: `http://127.0.0.1:${port}`,
    port: Number(port),
    async stop() {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

/** A TCP proxy whose connections can be cut, as a network does it. */
export async function startProxy(target) {
  const sockets = new Set();
  const server = net.createServer((down) => {
    const up = net.connect(target, "127.0.0.1");
    for (const [from, to] of [[down, up], [up, down]]) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    close() {
      this.cut();
      server.close();
    },
  };
}

/** The arguments of the next `event`. */
export function next(emitter, event, ms = 10_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} in time`)), ms);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}
