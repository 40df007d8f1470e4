import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** A proxy that serves a server below `prefix` and takes the prefix off; all else is 404. Gives the URL of the prefix. */
export async function below(t, server, prefix) {
  const target = (url) => (url.startsWith(`${prefix}/`) ? url.slice(prefix.length) : null);
  const front = http.createServer((request, response) => {
    const path = target(request.url);
    if (path === null) {
      response.writeHead(404).end();
      return;
    }
    const { method, headers } = request;
    const passed = http.request({ host: '127.0.0.1', port: server.port, method, path, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  });
  front.on('upgrade', (request, socket, head) => {
    const path = target(request.url);
    if (path === null) {
      socket.destroy();
      return;
    }
    const upstream = net.connect(server.port, '127.0.0.1', () => {
      const headers = request.rawHeaders.map((text, index) => (index % 2 ? `${text}\r\n` : `${text}: `)).join('');
      upstream.write(`${request.method} ${path} HTTP/1.1\r\n${headers}\r\n`);
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const one of [socket, upstream]) {
      one.on('error', () => {});
      one.on('close', () => {
        socket.destroy();
        upstream.destroy();
      });
    }
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.after(() => {
    front.close();
    front.closeAllConnections();
  });
  return `http://127.0.0.1:${front.address().port}${prefix}`;
}
