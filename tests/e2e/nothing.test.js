// Inboxes that nobody has written to: nothing is kept of them, and who attached there misses nothing of what comes.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runToEnd, Server, temporaryFolder, userPath } from './rig/server.js';
import { connect } from './rig/socket.js';
import { stream } from './rig/stream.js';
import { until } from './rig/until.js';

/** What the store keeps of inboxes, as its export tells. */
async function kept(t, server) {
  const file = join(await temporaryFolder(t), 'export');
  const { TIDINGS_DATA_DIR, MONGODB_URI } = server.env;
  const env = MONGODB_URI ? { MONGODB_URI } : { TIDINGS_DATA_DIR };
  const { code, stderr } = await runToEnd(t, { args: ['export', file], env });
  assert.equal(code, 0, stderr);
  const lines = (await readFile(file, 'utf8')).trim().split('\n').map((line) => JSON.parse(line));
  return lines.filter((line) => 'inbox' in line || 'device' in line);
}

/** Ways to attach ana's phone, which says who it is and nothing else: what came, and how it leaves. */
const WAYS = {
  socket: async (t, server) => {
    const phone = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'phone', acks: true } });
    const { mode } = await phone.ready();
    return { mode, count: (count) => phone.count(count), messages: () => phone.messages, leave: () => phone.socket.disconnect() };
  },
  stream: async (t, server) => {
    const phone = await stream(t, server, 'ana', 'device_id=phone');
    const [{ args: [{ mode }] }] = await phone.count('inbox_ready', 1);
    const sent = () => phone.events.filter(({ event }) => event === 'send_notification');
    return {
      mode,
      count: (count) => phone.count('send_notification', count),
      messages: () => sent().map(({ args: [{ message }] }) => message),
      leave: () => phone.close(),
    };
  },
};

describe('an inbox that nobody has written to', { concurrency: 4 }, () => {
  test('leaves nothing in the store, whoever asks, acknowledges, marks or attaches', async (t) => {
    const server = await Server.start(t);
    for (let number = 0; number < 50; number += 1) {
      const user = `user-${number}`;
      assert.deepEqual(await server.ask('POST', `${userPath(user)}/inbox/ack`, { rev: 0 }), { rev: 0 });
      const ack = { rev: 0, device_id: 'phone' };
      assert.deepEqual(await server.ask('POST', `${userPath(user)}/inbox/ack`, ack), { rev: 0 });
      assert.equal((await server.mark(user, { op: 'read', all: true })).changed, 0);
      assert.equal((await server.inbox(user)).meta.head, 0);
    }
    for (let number = 0; number < 10; number += 1) {
      const feed = await stream(t, server, `user-${number}`, 'device_id=feed');
      await feed.count('inbox_ready', 1);
      const socket = connect(t, server.url, { auth: { user_id: `user-${number}`, device_id: 'laptop', acks: true } });
      await socket.ready();
      assert.deepEqual(await socket.emit('ack_notifications', { rev: 0 }), { ok: true, rev: 0 });
      const devices = await server.devices(`user-${number}`);
      assert.deepEqual(devices.map(({ device_id, cursor }) => [device_id, cursor]).sort(), [['feed', 0], ['laptop', 0], ['phone', 0]]);
    }
    await server.terminate();
    assert.deepEqual(await kept(t, server), []);
  });

  for (const [name, attach] of Object.entries(WAYS)) {
    test(`a phone that was there and is cut gets all that another device confirms meanwhile: by ${name}`, async (t) => {
      const server = await Server.start(t);
      const phone = await attach(t, server);
      assert.equal(phone.mode, 'pending');
      phone.leave();
      await until('the phone is away', async () => (await server.devices('ana')).every(({ online }) => !online));
      await server.sendMany('ana', 3);
      const laptop = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'laptop', acks: true } });
      await laptop.count(3);
      assert.deepEqual(await laptop.emit('ack_notifications', { rev: 3 }), { ok: true, rev: 3 });

      const back = await attach(t, server);
      assert.equal(back.mode, 'resume');
      await back.count(3);
      assert.deepEqual(back.messages(), ['1', '2', '3']);
      // As a device of its own from the first notification on: a restart changes nothing.
      back.leave();
      await server.terminate();
      await server.restart();
      const again = await attach(t, server);
      assert.equal(again.mode, 'resume');
      await again.count(3);
      assert.deepEqual(again.messages(), ['1', '2', '3']);
    });
  }

  test('a client that registered once, as the original does, is served after a restart', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url);
    await client.connected();
    assert.equal((await client.emit('register_user', 'ana')).ok, true);
    await server.kill();
    await client.disconnected();
    await server.restart();
    await client.event('inbox_ready', 2);
    await server.send('ana', 'the first');
    await client.count(1);
    assert.deepEqual(client.messages, ['the first']);
  });
});
