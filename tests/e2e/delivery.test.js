// When a notification counts as delivered, and how a change on one device reaches the others.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { placeOf } from './rig/offset.js';
import { connect } from './rig/socket.js';
import { Server, userPath } from './rig/server.js';
import { until } from './rig/until.js';
import { Wire } from './rig/wire.js';

const attach = (t, server, auth, options) => connect(t, server.url, { auth: { user_id: 'ana', acks: true, ...auth }, ...options });

/** A client that says nothing of acks: the transport has to prove receipt. */
const plain = (t, server, user, options) => connect(t, server.url, { auth: { user_id: user }, ...options });

function wire(t, server, auth, options) {
  const client = new Wire(server.url, auth, options);
  t.after(() => client.vanish());
  return client;
}

const delivered = (server, id) => until(`${id} is delivered`, async () => (await server.status(id)) === 'delivered');

/**
 * Time passes as the server knows it: another user's plain client gets a notification, and its receipt is found. What
 * would have become delivered by the transport has by then.
 */
async function receiptsAreFound(t, server) {
  const user = `control-${Math.random()}`;
  const control = plain(t, server, user, { transports: ['websocket'] });
  await control.ready();
  await delivered(server, (await server.send(user)).id);
}

describe('delivered', { concurrency: 4 }, () => {
  test('nobody attached: pending', async (t) => {
    const server = await Server.start(t);
    const sent = await server.send('ana');
    assert.equal(sent.status, 'pending');
    await receiptsAreFound(t, server);
    const stored = await server.notification(sent.id);
    assert.equal(stored.status, 'pending');
    assert.equal(stored.delivered_at, null);
  });

  test('a client with acks: on its ack, not before', async (t) => {
    const server = await Server.start(t);
    const client = attach(t, server, {}, { transports: ['websocket'] });
    await client.ready();
    const { id, seq } = await server.send('ana');
    await client.count(1);
    await receiptsAreFound(t, server);
    assert.equal(await server.status(id), 'pending');

    assert.deepEqual(await client.emit('ack_notifications', { rev: seq }), { ok: true, rev: seq });
    const stored = await server.notification(id);
    assert.equal(stored.status, 'delivered');
    assert.match(stored.delivered_at, /^\d{4}-.*Z$/);
    assert.equal(stored.rev, seq, 'becoming delivered takes no revision');
    assert.equal((await server.inbox('ana')).meta.head, seq);
  });

  for (const transport of ['websocket', 'polling']) {
    test(`a plain client over ${transport}: within 2 s of receipt`, async (t) => {
      const server = await Server.start(t);
      const client = plain(t, server, 'ana', { transports: [transport] });
      await client.ready();
      const { id } = await server.send('ana');
      await client.count(1);
      await until('delivered within 2 s', async () => (await server.status(id)) === 'delivered', { deadline: 2_000 });
    });
  }

  test('a bare websocket that keeps its pong back: pending until the pong', async (t) => {
    const server = await Server.start(t);
    const client = wire(t, server, { user_id: 'ana' }, { pong: false });
    await client.event('inbox_ready');
    const { id } = await server.send('ana');
    await client.event('send_notification');
    await until('a ping', () => client.pings.length > 0);
    await receiptsAreFound(t, server);
    assert.equal(await server.status(id), 'pending');
    client.release();
    await delivered(server, id);
  });

  test('a bare websocket that vanishes without a pong: pending, and it comes again', async (t) => {
    const server = await Server.start(t);
    const client = wire(t, server, { user_id: 'ana', device_id: 'phone' }, { pong: false });
    await client.event('inbox_ready');
    const { id } = await server.send('ana');
    await client.event('send_notification');
    await client.vanish();
    await receiptsAreFound(t, server);
    assert.equal(await server.status(id), 'pending');

    const back = wire(t, server, { user_id: 'ana', device_id: 'phone' });
    const [notification] = await back.event('send_notification');
    assert.equal(notification.id, id);
    await delivered(server, id);
  });

  test('polling: when the next poll comes', async (t) => {
    const server = await Server.start(t);
    const poll = async (sid, body) => {
      const path = `/socket.io/?EIO=4&transport=polling${sid ? `&sid=${sid}` : ''}`;
      const { status, text } = await server.request(body ? 'POST' : 'GET', path, body, { 'content-type': 'text/plain;charset=UTF-8' });
      assert.equal(status, 200, text);
      return text;
    };
    const { sid } = JSON.parse((await poll()).slice(1));
    await poll(sid, `40${JSON.stringify({ user_id: 'ana' })}`);
    let heard = '';
    const listen = async (word) => {
      while (!heard.includes(word)) {
        const packets = await poll(sid);
        heard += packets;
        if (packets.split('\u001e').includes('2')) await poll(sid, '3');
      }
    };
    await listen('inbox_ready');
    const { id } = await server.send('ana');
    await listen('send_notification');
    await receiptsAreFound(t, server);
    assert.equal(await server.status(id), 'pending', 'an answer that was written proves nothing');
    const next = poll(sid).catch(() => {});
    await delivered(server, id);
    await poll(sid, '41');
    await next;
  });

  test('a start at the head does not make older ones delivered', async (t) => {
    const server = await Server.start(t);
    const [first] = await server.sendMany('ana', 3);
    const { epoch, head } = (await server.inbox('ana')).meta;
    const client = connect(t, server.url, { auth: { user_id: 'ana', epoch, cursor: head } });
    await client.ready();
    const { id } = await server.send('ana');
    await client.count(1);
    await delivered(server, id);
    assert.equal(await server.status(first.id), 'pending');
  });

  test('an ack is cumulative, a smaller one changes nothing, one above the head is refused', async (t) => {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 4);
    const client = attach(t, server, { device_id: 'phone' });
    await client.count(4);
    const statuses = async () => (await Promise.all(sent.map(({ id }) => server.status(id)))).join(' ');

    assert.deepEqual(await client.emit('ack_notifications', { rev: 3 }), { ok: true, rev: 3 });
    assert.equal(await statuses(), 'delivered delivered delivered pending');
    assert.deepEqual(await client.emit('ack_notifications', { rev: 1 }), { ok: true, rev: 3 });
    assert.equal((await server.devices('ana'))[0].cursor, 3);

    for (const body of [{ rev: 5 }, { rev: -1 }, { rev: '4' }, { rev: 1.5 }, {}, null, 4]) {
      const { ok, code } = await client.emit('ack_notifications', body);
      assert.equal(ok, false, JSON.stringify(body));
      assert.equal(code, 'invalid_request', JSON.stringify(body));
    }
    assert.equal(await statuses(), 'delivered delivered delivered pending');
  });

  test('over HTTP an ack does the same, with and without a device', async (t) => {
    const server = await Server.start(t);
    const [one, two] = await server.sendMany('ana', 2);
    const ack = (body) => server.ask('POST', `${userPath('ana')}/inbox/ack`, body);
    assert.deepEqual(await ack({ rev: 1, device_id: 'cron' }), { rev: 1 });
    assert.equal(await server.status(one.id), 'delivered');
    assert.equal(await server.status(two.id), 'pending');
    const [device] = await server.devices('ana');
    assert.equal(device.device_id, 'cron');
    assert.equal(device.cursor, 1);
    assert.equal(device.online, false);
    assert.deepEqual(await ack({ rev: 2 }), { rev: 2 });
    assert.equal(await server.status(two.id), 'delivered');
  });
});

describe('what a device is told', { concurrency: 4 }, () => {
  test('each event says what it follows, and the counts of its moment', async (t) => {
    const server = await Server.start(t);
    const client = attach(t, server);
    const { epoch } = await client.ready();
    for (let number = 1; number <= 5; number += 1) await server.send('ana');
    await client.count(5);
    assert.deepEqual(
      client.all('send_notification').map(([, meta, offset]) => [meta, offset]),
      [1, 2, 3, 4, 5].map((rev) => [{ prev: rev - 1, unread: rev, unseen: rev, total: rev }, `${epoch}:${rev}`]),
    );
  });

  test('a notification is the same over the socket, over HTTP, in the inbox and in the log', async (t) => {
    const server = await Server.start(t);
    const client = attach(t, server);
    await client.ready();
    const { id } = await server.send('ana', {
      title: 'Ünïcödé ✓', message: 'line\nbreak \u{1f514}', data: { deep: [1, { a: null }] }, category: 'orders',
      priority: 'high', url: 'https://example.org/?a=1', avatar: '/a.png', actions: [{ label: 'Track', url: '/track' }],
      expires_at: '2099-01-01T00:00:00+02:00',
    });
    const [pushed] = await client.count(1);
    const { timeline, ...single } = await server.notification(id);
    assert.deepEqual(pushed, {
      id, user_id: 'ana', seq: 1, rev: 1, title: 'Ünïcödé ✓', message: 'line\nbreak \u{1f514}', data: { deep: [1, { a: null }] },
      category: 'orders', priority: 'high', url: 'https://example.org/?a=1', avatar: '/a.png',
      actions: [{ label: 'Track', url: '/track' }], status: 'pending', is_read: false, is_seen: false, is_archived: false,
      timestamp: pushed.timestamp, delivered_at: null, seen_at: null, read_at: null, archived_at: null,
      expires_at: '2098-12-31T22:00:00.000Z',
    });
    assert.ok(timeline);
    assert.deepEqual(single, pushed);
    assert.deepEqual((await server.inbox('ana')).data, [pushed]);
    assert.deepEqual((await server.changes('ana')).data, [pushed]);
    assert.deepEqual(await server.ask('GET', '/api/notifications/ana'), [pushed]);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('two devices go on from their own cursors', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 6);
    for (const [device, rev] of [['phone', 2], ['laptop', 5]]) {
      const client = attach(t, server, { device_id: device });
      await client.ready();
      await client.emit('ack_notifications', { rev });
      client.socket.disconnect();
    }
    const phone = attach(t, server, { device_id: 'phone' });
    const laptop = attach(t, server, { device_id: 'laptop' });
    await phone.count(4);
    await laptop.count(1);
    await server.send('ana', '7');
    await phone.count(5);
    await laptop.count(2);
    assert.deepEqual(phone.messages, ['3', '4', '5', '6', '7']);
    assert.deepEqual(laptop.messages, ['6', '7']);
  });

  test('one device on two sockets: both are told', async (t) => {
    const server = await Server.start(t);
    const one = attach(t, server, { device_id: 'phone' });
    await one.ready();
    const two = attach(t, server, { device_id: 'phone' });
    await two.ready();
    await server.send('ana', 'for both');
    await one.count(1);
    await two.count(1);
    one.socket.disconnect();
    await server.send('ana', 'for the one that is left');
    await two.count(2);
    assert.equal((await server.devices('ana')).length, 1);
    assert.equal((await server.devices('ana'))[0].online, true);
  });

  test('sync sends again from where the client says', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 4);
    const client = attach(t, server);
    await client.count(4);
    const { epoch } = await client.ready();
    const answer = await client.emit('sync', { cursor: 2, epoch });
    assert.equal(answer.ok, true);
    assert.equal(answer.mode, 'resume');
    assert.equal(answer.cursor, 2);
    assert.equal(answer.head, 4);
    await client.count(6);
    assert.deepEqual(client.messages, ['1', '2', '3', '4', '3', '4']);
    assert.deepEqual(client.all('send_notification').slice(4).map(([, { prev }]) => prev), [2, 3]);
    await server.send('ana', '5');
    await client.count(7);
    assert.equal(client.all('send_notification')[6][1].prev, 4);

    for (const position of [{ cursor: 9, epoch }, { cursor: 1, epoch: 'another-life' }]) {
      const refused = await client.emit('sync', position);
      assert.equal(refused.mode, 'snapshot', JSON.stringify(position));
      assert.equal(refused.cursor, 5);
    }
    assert.equal((await client.emit('sync', { cursor: 'x', epoch })).code, 'invalid_request');
  });

  test('a socket without a user is told so, and nothing happens', async (t) => {
    const server = await Server.start(t);
    await server.send('ana');
    const client = connect(t, server.url);
    await client.connected();
    for (const [event, argument] of [['mark', { op: 'read', all: true }], ['ack_notifications', { rev: 1 }], ['sync', { cursor: 0, epoch: 'e' }]]) {
      const { ok, code, detail } = await client.emit(event, argument);
      assert.equal(ok, false, event);
      assert.match(code, /^[a-z_]+$/, event);
      assert.equal(typeof detail, 'string', event);
    }
    assert.deepEqual(await server.counts('ana'), { total: 1, unread: 1, unseen: 1 });
  });
});

describe('a change on one device reaches the others', { concurrency: 4 }, () => {
  /** Two attached devices of ana and so many notifications; `fields` says what they are. */
  async function pair(t, count, fields) {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', count, fields);
    const phone = attach(t, server, { device_id: 'phone' });
    const laptop = attach(t, server, { device_id: 'laptop' });
    await phone.count(count);
    await laptop.count(count);
    const { epoch } = await phone.ready();
    return { server, phone, laptop, epoch, ids: sent.map(({ id }) => id) };
  }

  test('each operation, by ids: the callback, and the event of the other device', async (t) => {
    const { server, phone, laptop, epoch, ids } = await pair(t, 3);
    const [first] = ids;
    const steps = [
      ['seen', { unread: 3, unseen: 2, total: 3 }],
      ['read', { unread: 2, unseen: 2, total: 3 }],
      ['unread', { unread: 3, unseen: 2, total: 3 }],
      ['archive', { unread: 2, unseen: 2, total: 2 }],
      ['unarchive', { unread: 3, unseen: 2, total: 3 }],
      ['delete', { unread: 2, unseen: 2, total: 2 }],
    ];
    let rev = 3;
    for (const [op, counts] of steps) {
      rev += 1;
      assert.deepEqual(await phone.emit('mark', { op, ids: [first] }), { ok: true, rev, changed: 1, ...counts }, op);
      const [change, told, offset] = await laptop.event('notification_updated', rev - 3);
      assert.deepEqual(change, { rev, prev: rev - 1, op, ids: [first] }, op);
      assert.deepEqual(told, counts, op);
      assert.equal(offset, `${epoch}:${rev}`, op);
      const again = await phone.emit('mark', { op, ids: [first] });
      assert.deepEqual(again, { ok: true, rev, changed: 0, ...counts }, `${op} twice`);
      assert.deepEqual(await server.counts('ana'), counts, op);
    }
    assert.equal((await server.request('GET', `/v1/notifications/${first}`)).status, 404);
  });

  test('over HTTP the devices are told the same', async (t) => {
    const { server, phone, laptop, ids } = await pair(t, 2);
    const counts = { unread: 1, unseen: 1, total: 2 };
    assert.deepEqual(await server.mark('ana', { op: 'read', ids: [ids[1], '0198c0de-0000-7000-8000-000000000001'] }), { rev: 3, changed: 1, ...counts });
    for (const device of [phone, laptop]) {
      const [change, told] = await device.event('notification_updated');
      assert.deepEqual(change, { rev: 3, prev: 2, op: 'read', ids: [ids[1]] });
      assert.deepEqual(told, counts);
    }
  });

  test('up_to, all and category are one revision, and say what they reached', async (t) => {
    const { server, phone, laptop } = await pair(t, 6, (index) => ({ message: `${index + 1}`, category: index % 2 ? 'even' : 'odd' }));
    assert.deepEqual(await phone.emit('mark', { op: 'read', up_to: 2 }), { ok: true, rev: 7, changed: 2, unread: 4, unseen: 4, total: 6 });
    assert.deepEqual((await laptop.event('notification_updated', 1))[0], { rev: 7, prev: 6, op: 'read', up_to: 2 });

    assert.deepEqual(await phone.emit('mark', { op: 'seen', up_to: 5, category: 'even' }), { ok: true, rev: 8, changed: 1, unread: 4, unseen: 3, total: 6 });
    assert.deepEqual((await laptop.event('notification_updated', 2))[0], { rev: 8, prev: 7, op: 'seen', up_to: 5, category: 'even' });

    assert.deepEqual(await phone.emit('mark', { op: 'read', all: true }), { ok: true, rev: 9, changed: 4, unread: 0, unseen: 0, total: 6 });
    const [{ up_to: upTo, ...change }] = await laptop.event('notification_updated', 3);
    assert.deepEqual(change, { rev: 9, prev: 8, op: 'read' });
    assert.ok(upTo >= 6 && upTo <= 9, `${upTo}`);
    assert.deepEqual(await phone.emit('mark', { op: 'read', all: true }), { ok: true, rev: 9, changed: 0, unread: 0, unseen: 0, total: 6 });

    assert.equal((await phone.emit('mark', { op: 'archive', all: true, category: 'odd' })).changed, 3);
    assert.equal((await phone.emit('mark', { op: 'unread', all: true })).changed, 3, 'what is archived is not reached');
    assert.equal((await phone.emit('mark', { op: 'unarchive', all: true })).changed, 3);
    assert.deepEqual(await server.counts('ana'), { total: 6, unread: 3, unseen: 0 });
  });

  test('a bad mark is refused and changes nothing', async (t) => {
    const { server, phone, laptop, ids } = await pair(t, 1);
    for (const body of [
      {}, null, 'read', { op: 'READ', all: true }, { op: 'read' }, { op: 'read', ids, all: true }, { op: 'read', ids: 'x' },
      { op: 'read', ids: [7] }, { op: 'read', up_to: -1 }, { op: 'read', all: false }, { op: 'read', all: true, colour: 1 },
    ]) {
      const { ok, code } = await phone.emit('mark', body);
      assert.equal(ok, false, JSON.stringify(body));
      assert.equal(code, 'invalid_request', JSON.stringify(body));
    }
    assert.deepEqual(await server.counts('ana'), { total: 1, unread: 1, unseen: 1 });
    assert.equal(laptop.updates.length, 0);
    assert.equal((await phone.emit('mark', { op: 'read', all: true })).ok, true, 'the socket still works');
  });

  test('marks that cross: both devices end where the store is', async (t) => {
    const { server, phone, laptop, ids } = await pair(t, 20);
    const half = (index) => (index % 2 ? phone : laptop);
    await Promise.all([
      ...ids.map((id, index) => half(index).emit('mark', { op: 'read', ids: [id] })),
      ...ids.slice(0, 10).map((id, index) => half(index + 1).emit('mark', { op: 'archive', ids: [id] })),
      server.mark('ana', { op: 'seen', all: true }),
      ...Array.from({ length: 5 }, () => server.send('ana', 'more')),
    ]);
    const { head, total, unread, unseen } = (await server.inbox('ana')).meta;
    assert.equal(total, 15);
    for (const device of [phone, laptop]) {
      await until('the device is at the head', () => placeOf(device.received.at(-1).args.at(-1)).rev === head);
      const last = device.received.at(-1).args[1];
      assert.deepEqual([last.total, last.unread, last.unseen], [total, unread, unseen]);
      const revs = device.received.map(({ args }) => placeOf(args.at(-1)).rev);
      assert.deepEqual(revs, [...revs].sort((a, b) => a - b));
    }
  });

  test('an edit comes with the notification, under the same id', async (t) => {
    const { server, laptop, ids } = await pair(t, 2);
    const edited = await server.ask('PATCH', `/v1/notifications/${ids[0]}`, { title: 'New', priority: 'urgent' });
    assert.equal(edited.id, ids[0]);
    assert.equal(edited.seq, 1);
    assert.equal(edited.rev, 3);
    assert.equal(edited.title, 'New');
    assert.equal(edited.message, '1');
    const [change, counts] = await laptop.event('notification_updated');
    assert.equal(change.op, 'edit');
    assert.equal(change.rev, 3);
    assert.equal(change.prev, 2);
    assert.deepEqual(change.notifications.map(({ id, title, rev }) => [id, title, rev]), [[ids[0], 'New', 3]]);
    assert.deepEqual(counts, { unread: 2, unseen: 2, total: 2 });
  });

  test('a recall is a delete for every device, also for one that was away', async (t) => {
    const { server, phone, laptop, ids } = await pair(t, 2);
    await phone.emit('ack_notifications', { rev: 2 });
    phone.socket.disconnect();
    const { status, text } = await server.request('DELETE', `/v1/notifications/${ids[0]}`);
    assert.equal(status, 204);
    assert.equal(text, '');
    const [change, counts] = await laptop.event('notification_updated');
    assert.deepEqual(change, { rev: 3, prev: 2, op: 'delete', ids: [ids[0]] });
    assert.deepEqual(counts, { unread: 1, unseen: 1, total: 1 });

    const back = attach(t, server, { device_id: 'phone' });
    const [resumed] = await back.event('notification_updated');
    assert.equal(resumed.op, 'sync');
    assert.deepEqual(resumed.notifications, [{ id: ids[0], seq: 1, rev: 3, deleted: true }]);
  });

  test('what is new to a device comes as new, whatever happened to it meanwhile', async (t) => {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 3);
    await server.ask('PATCH', `/v1/notifications/${sent[0].id}`, { message: 'corrected' });
    await server.mark('ana', { op: 'read', ids: [sent[1].id] });
    const client = plain(t, server, 'ana');
    await client.count(3);
    assert.deepEqual(client.notifications.map(({ message, is_read: read, rev }) => [message, read, rev]), [
      ['3', false, 3], ['corrected', false, 4], ['2', true, 5],
    ]);
    assert.deepEqual(client.updates, []);
  });

  test('what changed several times while a device was away comes once, in its last state', async (t) => {
    const { server, phone, ids } = await pair(t, 3);
    await phone.emit('ack_notifications', { rev: 3 });
    phone.socket.disconnect();
    await server.mark('ana', { op: 'read', ids: [ids[0]] });
    await server.mark('ana', { op: 'unread', ids: [ids[0]] });
    await server.mark('ana', { op: 'archive', ids: [ids[0]] });
    await server.mark('ana', { op: 'read', all: true });
    await server.send('ana', 'new');

    const back = attach(t, server, { device_id: 'phone' });
    const info = await back.ready();
    assert.equal(info.cursor, 3);
    assert.equal(info.head, 8);
    await back.count(1);
    assert.deepEqual(back.updates.map(([{ op, rev, prev, notifications }]) => [op, rev, prev, notifications.map(({ id }) => id).sort()]), [
      ['sync', 6, 3, [ids[0]]],
      ['sync', 7, 6, [ids[1], ids[2]].sort()],
    ]);
    const [first] = back.updates[0][0].notifications;
    assert.deepEqual([first.is_read, first.is_seen, first.is_archived], [false, true, true]);
  });
});
