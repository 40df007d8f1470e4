// How much memory readers who do not read can pin: 150 requests for `changes?since=0` of 500 notifications of 20 KB, whose
// answers nobody takes. `TIDINGS_BIN=… node figures/deaf-readers.js`

import net from 'node:net';
import { userPath } from '../rig/server.js';
import { peak, resident, withServer } from './rig.js';

const READERS = 150;

await withServer({}, async (server) => {
  const data = { filling: 'x'.repeat(16_000) };
  const message = 'm'.repeat(4_000);
  for (let at = 0; at < 500; at += 50) await server.sendMany('ana', 50, () => ({ message, data }));
  await new Promise((settle) => setTimeout(settle, 2_000));
  const before = await resident(server);
  const stop = peak(server);
  const sockets = await Promise.all(Array.from({ length: READERS }, () => new Promise((settle, fail) => {
    const socket = net.connect(server.port, '127.0.0.1', () => {
      socket.pause();
      socket.write(`GET ${userPath('ana')}/inbox/changes?since=0 HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\n\r\n`);
      settle(socket);
    });
    socket.on('error', fail);
  })));
  await new Promise((settle) => setTimeout(settle, 8_000));
  const most = await stop();
  console.log(`deaf: ${READERS} readers: ${before.toFixed(0)} MB before, at most ${most.toFixed(0)} MB, grown by ${(most - before).toFixed(0)} MB`);
  sockets.forEach((socket) => socket.destroy());
});
process.exit(0);
