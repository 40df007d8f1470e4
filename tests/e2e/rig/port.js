import { once } from 'node:events';
import net from 'node:net';
import { until } from './until.js';

/** How long a program may take to start. */
const START = 60_000;

/** A port of loopback that nobody listened on a moment ago, for programs that cannot say which one they took. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until somebody listens on it, or fails with what `failure` gives. */
export async function listens(name, port, failure) {
  const error = await until(`${name} listens`, async () => {
    if (failure()) return failure();
    const socket = net.connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return 'yes';
    } finally {
      socket.destroy();
    }
  }, { deadline: START });
  if (error instanceof Error) throw error;
}
