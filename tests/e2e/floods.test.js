// A client that sends much at once is slowed down. Nothing that it sent is refused or lost, and it stays connected.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from './rig/socket.js';
import { Server } from './rig/server.js';
import { until } from './rig/until.js';

/** A database that the tests can install takes ten times as long for a mark as a real one. */
const WAITING = process.env.TIDINGS_E2E_STORE ? 100 : 1_000;

/** Ten seconds' worth of events, at the default limit of 100 a second, on a busy machine. */
const LONG = { deadline: 60_000 };

/** A device that catches up: for each notification that comes it confirms and does what `also` says. */
async function catchUp(t, transport, also) {
  const server = await Server.start(t);
  await server.sendMany('ana', WAITING);
  const client = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'phone', acks: true }, transports: [transport] });
  const ends = [];
  client.socket.on('disconnect', (reason) => ends.push(reason));
  const answers = [];
  client.socket.on('send_notification', (notification) => {
    client.socket.emit('ack_notifications', { rev: notification.rev }, (answer) => answers.push(answer));
    also?.(client, notification);
  });
  await client.ready();
  await until('every acknowledgement is answered', () => answers.length === WAITING, LONG);
  assert.deepEqual(answers.filter(({ ok }) => !ok), []);
  await until('all are delivered', async () => (await server.status(client.notifications.at(-1).id)) === 'delivered');
  return { server, client, ends };
}

describe('a device that catches up', { concurrency: 4 }, () => {
  for (const transport of ['websocket', 'polling']) {
    test(`one acknowledgement for each notification, ${transport}`, async (t) => {
      const { server, client, ends } = await catchUp(t, transport);
      assert.equal(new Set(client.notifications.map(({ id }) => id)).size, WAITING);
      const [device] = await server.devices('ana');
      assert.equal(device.cursor, WAITING);
      assert.deepEqual(ends, []);
    });

    test(`a mark for each, every other one with a callback, ${transport}`, async (t) => {
      const answers = [];
      const { server, ends } = await catchUp(t, transport, ({ socket }, { id, seq }) => {
        const callback = seq % 2 ? [] : [(answer) => answers.push(answer)];
        socket.emit('mark', { op: 'read', ids: [id] }, ...callback);
      });
      await until('all are read', async () => (await server.counts('ana')).unread === 0, LONG);
      await until('every callback is answered', () => answers.length === WAITING / 2, LONG);
      assert.ok(answers.every(({ ok, changed }) => ok && changed === 1));
      assert.deepEqual(ends, []);
    });
  }

  // With a high limit the goodbye has come before most marks are carried out and told back.
  for (const limit of [WAITING / 20, WAITING]) {
    test(`marks without a callback, and the client says goodbye at once; at most ${limit} a second`, async (t) => {
      const server = await Server.start(t, { env: { TIDINGS_MAX_EVENTS_PER_SECOND: `${limit}` } });
      const sent = await server.sendMany('ana', WAITING / 5);
      const client = connect(t, server.url, { auth: { user_id: 'ana' }, transports: ['websocket'] });
      await client.count(WAITING / 5);
      for (const { id } of sent) client.socket.emit('mark', { op: 'read', ids: [id] });
      client.socket.disconnect();
      await until('all are read', async () => (await server.counts('ana')).unread === 0);
    });
  }
});

test('who sends too much is slowed down, and nobody else is', async (t) => {
  const server = await Server.start(t, { env: { TIDINGS_MAX_EVENTS_PER_SECOND: '10' } });
  const [flood, calm] = await Promise.all(['ana', 'bo'].map(async (user_id) => {
    const client = connect(t, server.url, { auth: { user_id }, transports: ['websocket'], reconnection: false });
    await client.ready();
    return client;
  }));
  const answers = [];
  for (let n = 0; n < 60; n += 1) flood.socket.emit('mark', { op: 'seen', up_to: n }, (answer) => answers.push(answer));
  for (let n = 0; n < 5; n += 1) assert.ok((await calm.emit('mark', { op: 'seen', all: true })).ok);
  assert.ok(answers.length < 60, 'the second socket waited for the first one, or the first one was not slowed down');
  await until('all are answered', () => answers.length === 60);
  assert.ok(answers.every(({ ok }) => ok), 'none is refused');
  assert.ok(flood.socket.connected);
});
