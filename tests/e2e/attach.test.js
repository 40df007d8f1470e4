// Each way to attach, and where each of them starts.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from './rig/socket.js';
import { Server } from './rig/server.js';
import { until } from './rig/until.js';

const CALLBACK = ['cursor', 'device_id', 'epoch', 'head', 'mode', 'ok', 'total', 'unread', 'unseen', 'user_id'];

/** A server with so many notifications for ana, called 1, 2, 3, … */
async function stocked(t, count, options) {
  const server = await Server.start(t, options);
  await server.sendMany('ana', count);
  return server;
}

/** Attaches a device of ana that confirms up to `rev`, and leaves. */
async function confirm(t, server, device, rev) {
  const client = connect(t, server.url, { auth: { user_id: 'ana', device_id: device, acks: true } });
  const info = await client.ready();
  if (rev !== undefined) assert.deepEqual(await client.emit('ack_notifications', { rev }), { ok: true, rev });
  client.socket.disconnect();
  return info;
}

const attach = (t, server, auth, options) => connect(t, server.url, { auth: { user_id: 'ana', acks: true, ...auth }, ...options });

describe('ways to attach', { concurrency: 4 }, () => {
  test('by auth: inbox_ready comes before the first notification', async (t) => {
    const server = await stocked(t, 3);
    const client = attach(t, server, { device_id: 'phone' });
    await client.count(3);
    const [info, offset] = client.all('inbox_ready')[0];
    assert.deepEqual(Object.keys(info).sort(), CALLBACK);
    const { epoch } = info;
    assert.deepEqual(info, {
      ok: true, user_id: 'ana', device_id: 'phone', epoch, cursor: 0, head: 3, mode: 'pending', unread: 3, unseen: 3, total: 3,
    });
    assert.equal(offset, `${epoch}:0`);
    assert.match(epoch, /^[A-Za-z0-9-]{1,64}$/);
    assert.equal(client.received[0].event, 'inbox_ready');
    assert.deepEqual(client.messages, ['1', '2', '3']);
  });

  test('by auth without a device: the server names one, another for each', async (t) => {
    const server = await Server.start(t);
    const [one, two] = await Promise.all([attach(t, server).ready(), attach(t, server).ready()]);
    assert.ok(one.device_id.length > 0);
    assert.notEqual(one.device_id, two.device_id);
  });

  for (const [name, argument] of [['a string', 'ana'], ['an object', { user_id: 'ana', device_id: 'phone', acks: true }]]) {
    test(`by register_user with ${name}, and a callback`, async (t) => {
      const server = await stocked(t, 2);
      const client = connect(t, server.url);
      await client.connected();
      const answer = await client.emit('register_user', argument);
      assert.deepEqual(Object.keys(answer).sort(), CALLBACK);
      assert.equal(answer.ok, true);
      assert.equal(answer.user_id, 'ana');
      assert.equal(answer.mode, 'pending');
      assert.equal(answer.cursor, 0);
      assert.equal(answer.head, 2);
      if (typeof argument === 'object') assert.equal(answer.device_id, 'phone');
      await client.count(2);
      assert.equal(client.received[0].event, 'inbox_ready');
      assert.deepEqual(client.all('inbox_ready')[0], [answer, `${answer.epoch}:0`]);
    });
  }

  test('by register_user without a callback', async (t) => {
    const server = await stocked(t, 2);
    const client = connect(t, server.url);
    client.socket.emit('register_user', 'ana');
    await client.count(2);
    assert.equal(client.all('register_failed').length, 0);
  });

  test('a refused register_user answers the callback, and the socket may try again', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url);
    await client.connected();
    for (const argument of [
      '', 'x'.repeat(129), 'a\u0000b', '..', 'a\u202eb', null, [], {}, { user_id: [] }, { user_id: '.' }, { user_id: 'ana', acks: 'yes' },
      { user_id: 'ana', cursor: -1, epoch: 'e' }, { user_id: 'ana', cursor: 1.5, epoch: 'e' }, { user_id: 'ana', device_id: '' },
    ]) {
      const { ok, code, detail } = await client.emit('register_user', argument);
      assert.equal(ok, false, JSON.stringify(argument));
      assert.equal(code, 'invalid_request', JSON.stringify(argument));
      assert.equal(typeof detail, 'string');
    }
    assert.equal(client.all('register_failed').length, 0);
    assert.equal((await client.emit('register_user', 'ana')).ok, true);
  });

  test('a refused register_user without a callback is told by register_failed', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url);
    client.socket.emit('register_user', '');
    const [failure] = await client.event('register_failed');
    assert.equal(failure.ok, false);
    assert.equal(failure.code, 'invalid_request');
    assert.equal(typeof failure.detail, 'string');
    assert.equal(client.socket.connected, true);
  });

  test('a refused auth is a connect_error with its code', async (t) => {
    const server = await Server.start(t);
    for (const auth of [
      { user_id: '' }, { user_id: 7 }, { user_id: 'ana', device_id: 7 }, { user_id: 'ana', acks: 'yes' },
      { user_id: 'ana', cursor: -1, epoch: 'e' }, { user_id: 'ana', cursor: '1', epoch: 'e' }, { user_id: 'ana', epoch: 7, cursor: 1 },
    ]) {
      const client = connect(t, server.url, { auth });
      const error = await client.refused();
      assert.equal(error.data?.code, 'invalid_request', JSON.stringify(auth));
      assert.equal(typeof error.data.detail, 'string');
      assert.equal(client.all('inbox_ready').length, 0);
      client.socket.disconnect();
    }
  });

  test('the same user again changes nothing; another one moves the socket', async (t) => {
    const server = await stocked(t, 2);
    const client = attach(t, server, { device_id: 'phone' });
    await client.count(2);

    const again = await client.emit('register_user', { user_id: 'ana', device_id: 'phone', acks: true });
    assert.equal(again.ok, true);
    assert.equal(again.user_id, 'ana');
    assert.equal(again.head, 2);
    assert.equal(again.unread, 2);
    await server.send('ana', '3');
    await client.count(3);
    assert.deepEqual(client.messages, ['1', '2', '3'], 'nothing is sent a second time');

    await server.send('bo', 'for bo');
    const moved = await client.emit('register_user', 'bo');
    assert.equal(moved.user_id, 'bo');
    await server.send('ana', 'no longer for this socket');
    await server.send('bo', 'for bo too');
    await client.count(5);
    assert.deepEqual(client.messages.slice(3), ['for bo', 'for bo too']);
  });

  test('a socket that never registers is closed, one that did stays', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_REGISTER_SECONDS: '1' } });
    const silent = connect(t, server.url, { reconnection: false });
    const registered = attach(t, server, {}, { reconnection: false });
    await registered.ready();
    await silent.connected();
    await silent.disconnected();
    assert.equal(registered.socket.connected, true);
    await server.send('ana', 'still here');
    await registered.count(1);
  });
});

describe('more sockets than are allowed', { concurrency: 4 }, () => {
  for (const [name, env] of [['of one user', 'TIDINGS_MAX_SOCKETS_PER_USER'], ['in all', 'TIDINGS_MAX_SOCKETS']]) {
    test(`${name}: the next one is refused, the others stay, and a place that is left can be taken`, async (t) => {
      const server = await Server.start(t, { env: { [env]: '2' } });
      const one = attach(t, server, {}, { transports: ['websocket'] });
      const two = attach(t, server, {}, { transports: ['websocket'] });
      await Promise.all([one.ready(), two.ready()]);
      const three = attach(t, server, {}, { transports: ['websocket'] });
      await three.refused();
      assert.equal(three.socket.connected, false);
      assert.deepEqual([one.socket.connected, two.socket.connected], [true, true]);
      one.socket.disconnect();
      await until('the third comes in', () => {
        // A client that was refused by name does not try again by itself.
        if (!three.socket.active) three.socket.connect();
        return three.all('inbox_ready').length > 0;
      }, { every: 100 });
    });
  }
});

describe('where a device starts', { concurrency: 4 }, () => {
  test('pending: at the furthest revision that any device has confirmed', async (t) => {
    const server = await stocked(t, 5);
    const [phone, tablet] = ['phone', 'tablet'].map((device) => attach(t, server, { device_id: device }));
    await Promise.all([phone.count(5), tablet.count(5)]);
    await phone.emit('ack_notifications', { rev: 3 });
    await tablet.emit('ack_notifications', { rev: 2 });
    const client = attach(t, server, { device_id: 'laptop' });
    const info = await client.ready();
    assert.equal(info.mode, 'pending');
    assert.equal(info.cursor, 3);
    await client.count(2);
    assert.deepEqual(client.messages, ['4', '5']);
  });

  test('pending: at most 1,000 notifications back', async (t) => {
    const server = await stocked(t, 1_005);
    const client = attach(t, server);
    const info = await client.ready();
    assert.equal(info.mode, 'pending');
    assert.equal(info.cursor, 5);
    await client.count(1_000);
    assert.equal(client.messages[0], '6');
    assert.equal(client.messages.at(-1), '1005');
    assert.equal(client.messages.length, 1_000);
  });

  test('resume: at the cursor that was given', async (t) => {
    const server = await stocked(t, 5);
    const { epoch } = (await server.inbox('ana')).meta;
    for (const cursor of [0, 2, 5]) {
      const client = attach(t, server, { epoch, cursor });
      const info = await client.ready();
      assert.equal(info.mode, 'resume');
      assert.equal(info.cursor, cursor);
      assert.equal(info.head, 5);
      await client.count(5 - cursor);
      assert.deepEqual(client.messages, ['1', '2', '3', '4', '5'].slice(cursor));
    }
  });

  test('resume: a given cursor goes before what the device confirmed', async (t) => {
    const server = await stocked(t, 4);
    const { epoch } = await confirm(t, server, 'phone', 4);
    const client = attach(t, server, { device_id: 'phone', epoch, cursor: 1 });
    assert.equal((await client.ready()).cursor, 1);
    await client.count(3);
  });

  test('resume: a known device starts where it last confirmed', async (t) => {
    const server = await stocked(t, 5);
    await confirm(t, server, 'phone', 3);
    await confirm(t, server, 'tablet', 5);
    const info = await attach(t, server, { device_id: 'phone' }).ready();
    assert.equal(info.mode, 'resume');
    assert.equal(info.cursor, 3);
  });

  test('resume: a known device that confirmed nothing starts where it started', async (t) => {
    const server = await stocked(t, 2);
    await confirm(t, server, 'phone', 2);
    assert.equal((await confirm(t, server, 'tablet')).cursor, 2);
    await server.sendMany('ana', 2);
    await confirm(t, server, 'phone', 4);
    const info = await attach(t, server, { device_id: 'tablet' }).ready();
    assert.equal(info.mode, 'resume');
    assert.equal(info.cursor, 2);
  });

  for (const [name, position] of [
    ['above the head', ({ epoch }) => ({ epoch, cursor: 4 })],
    ['of another epoch', () => ({ epoch: 'another-life', cursor: 1 })],
  ]) {
    test(`snapshot: a cursor ${name} cannot be resumed`, async (t) => {
      const server = await stocked(t, 3);
      const { meta } = await server.inbox('ana');
      const client = attach(t, server, position(meta));
      const info = await client.ready();
      assert.equal(info.mode, 'snapshot');
      assert.equal(info.cursor, 3);
      assert.equal(info.head, 3);
      assert.equal(info.epoch, meta.epoch);
      await server.send('ana', '4');
      await client.count(1);
      assert.deepEqual(client.messages, ['4'], 'from the head on');
    });
  }

  test('snapshot: more than 10,000 notifications back; 10,000 are served in full', async (t) => {
    const server = await stocked(t, 10_001);
    const { epoch } = (await server.inbox('ana')).meta;
    const far = await attach(t, server, { epoch, cursor: 0 }).ready();
    assert.equal(far.mode, 'snapshot');
    assert.equal(far.cursor, 10_001);
    const client = attach(t, server, { epoch, cursor: 1 });
    assert.equal((await client.ready()).mode, 'resume');
    await until('all 10,000', () => client.all('send_notification').length >= 10_000, { deadline: 60_000 });
    assert.deepEqual(client.notifications.map(({ seq }) => seq), Array.from({ length: 10_000 }, (_, index) => index + 2));
  });

  test('the last offset of an unmodified client goes before its stale auth', async (t) => {
    const server = await stocked(t, 2);
    const client = attach(t, server, { device_id: 'phone' });
    await client.count(2);
    client.socket.io.engine.close();
    await server.send('ana', '3');
    const [info] = await client.event('inbox_ready', 2);
    assert.equal(info.mode, 'resume');
    assert.equal(info.cursor, 2);
    await client.count(3);
    assert.deepEqual(client.messages, ['1', '2', '3']);
    assert.equal(client.socket.recovered, true);
  });
});

describe('transports', { concurrency: 4 }, () => {
  for (const [name, transports, last] of [
    ['websocket', ['websocket'], 'websocket'],
    ['polling', ['polling'], 'polling'],
    ['polling, then upgraded', ['polling', 'websocket'], 'websocket'],
  ]) {
    test(`${name}: all arrives once and in order`, async (t) => {
      const server = await stocked(t, 30);
      const client = attach(t, server, {}, { transports });
      await client.connected();
      for (let number = 31; number <= 60; number += 1) await server.send('ana', `${number}`);
      await until('the transport', () => client.socket.io.engine.transport.name === last);
      await server.send('ana', '61');
      await client.count(61);
      assert.deepEqual(client.messages, Array.from({ length: 61 }, (_, index) => `${index + 1}`));
      const [device] = await server.devices('ana');
      assert.equal(device.online, true);
      // An upgraded connection is told as what it became.
      await until(`the device is ${last}`, async () => (await server.devices('ana'))[0].transport === last);
    });
  }
});
