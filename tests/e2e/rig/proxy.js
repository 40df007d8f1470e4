import { once } from 'node:events';
import net from 'node:net';
import { PassThrough } from 'node:stream';

/** A TCP proxy on loopback that can cut what runs through it, and stay cut. */
export class Proxy {
  /** What comes back from `port` runs through a stream of `between`, one a connection. */
  static async start(t, port, between = () => new PassThrough()) {
    const proxy = new Proxy();
    proxy.pairs = new Set();
    proxy.open = true;
    proxy.connections = 0;
    proxy.server = net.createServer((client) => {
      if (!proxy.open) {
        client.resetAndDestroy();
        return;
      }
      proxy.connections += 1;
      const upstream = net.connect(port, '127.0.0.1');
      const pair = { client, upstream };
      proxy.pairs.add(pair);
      const end = () => {
        proxy.pairs.delete(pair);
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) {
        socket.setNoDelay(true);
        socket.on('error', end);
        socket.on('close', end);
      }
      client.pipe(upstream);
      upstream.pipe(between()).pipe(client);
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    t.after(() => {
      proxy.cut();
      proxy.server.close();
    });
    return proxy;
  }

  /** Ends every connection and refuses new ones. */
  cut() {
    this.open = false;
    for (const { client, upstream } of this.pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  mend() {
    this.open = true;
  }
}
