// Clients that cannot get in as they are: what the operator is told. And one that can, if it is answered as it asks.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { connect } from './rig/socket.js';
import { Server } from './rig/server.js';
import { until } from './rig/until.js';

const TRIES = 5;

/** Each tries in vain, again and again, and the log is told why, once. */
const MISFITS = {
  'of Engine.IO 3': [/Engine\.IO/, async (t, server) => {
    for (let n = 0; n < TRIES; n += 1) {
      const { status } = await server.request('GET', '/socket.io/?EIO=3&transport=polling');
      assert.equal(status, 400);
    }
  }],
  'with the msgpack parser': [/msgpack/, async (t, server) => {
    for (let n = 0; n < TRIES; n += 1) {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      await once(socket, 'message');
      // {type: 0, nsp: '/'}
      socket.send(Buffer.from('82a474797065 00a36e7370a12f'.replace(' ', ''), 'hex'));
      await once(socket, 'close');
    }
  }],
  'whose auth is a string': [/auth/, async (t, server) => {
    const client = connect(t, server.url, { auth: 'a token', transports: ['websocket'] });
    let tries = 0;
    client.socket.io.on('reconnect_attempt', () => (tries += 1));
    await until('it has tried again', () => tries >= TRIES);
    assert.equal(client.socket.connected, false);
  }],
};

for (const [name, [cause, attempt]] of Object.entries(MISFITS)) {
  test(`a client ${name}: one line in the log`, async (t) => {
    const server = await Server.start(t);
    await attempt(t, server);
    const lines = await until('a warning', () => {
      const found = server.log.split('\n').filter((line) => line.includes('a client cannot connect'));
      return found.length > 0 && found;
    });
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0], /WARN/);
    assert.match(lines[0], cause);
    assert.match(lines[0], /127\.0\.0\.1|::1/);
  });
}

for (const transports of [['websocket'], ['polling', 'websocket']]) {
  test(`a client that offers subprotocols connects by ${transports.join(' and ')}`, async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url, { auth: { user_id: 'ana' }, protocols: ['chat', 'superchat'], transports });
    await client.ready();
    await until('it is a websocket', () => client.socket.io.engine.transport.name === 'websocket');
    assert.equal(client.socket.io.engine.transport.ws.protocol, 'chat');
    await server.send('ana', 'hello');
    await client.count(1);
  });
}
