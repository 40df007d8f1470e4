// A client that says goodbye may come back for somebody else; one whose connection was cut comes back as who it was.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from './rig/socket.js';
import { Server } from './rig/server.js';
import { until } from './rig/until.js';

/** An app that registers whoever is signed in, each time it is connected. Open mode. */
function app(t, server, transport) {
  const client = connect(t, server.url, { transports: [transport] });
  client.user = 'ana';
  client.socket.on('connect', () => client.socket.emit('register_user', client.user));
  return client;
}

describe('a goodbye', { concurrency: 4 }, () => {
  for (const transport of ['websocket', 'polling']) {
    test(`the next user of the app is shown nothing of the one before, ${transport}`, async (t) => {
      const server = await Server.start(t);
      const client = app(t, server, transport);
      await client.ready();
      await server.send('ana', 'for ana');
      await client.count(1);
      const since = (from) => client.received.slice(from).flatMap(({ event, args: [about] }) => (about?.user_id ? [[event, about.user_id]] : []));
      for (let round = 0; round < 10; round += 1) {
        const away = client.received.length;
        client.user = 'ana';
        client.socket.disconnect();
        client.socket.connect();
        await until('ana is back', () => since(away).some(([event, user]) => event === 'inbox_ready' && user === 'ana'));
        // At once: the new connection may be there before the goodbye of the old one was dealt with.
        const left = client.received.length;
        client.socket.disconnect();
        await Promise.all(['ana', 'bo'].map((user) => server.send(user, `for ${user}`)));
        client.user = 'bo';
        client.socket.connect();
        await until('bo has it', () => since(left).some(([event, user]) => event === 'send_notification' && user === 'bo'));
        assert.deepEqual(new Set(since(left).map(([, user]) => user)), new Set(['bo']), `in round ${round}`);
      }
    });
  }

  test('a connection that was cut is restored', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url, { transports: ['websocket'] });
    await client.connected();
    await client.emit('register_user', 'ana');
    client.socket.io.engine.close();
    const [info] = await client.event('inbox_ready', 2);
    assert.equal(info.user_id, 'ana');
    await server.send('ana', 'hello');
    await client.count(1);
  });
});
