// The stream for those who cannot hold a websocket: the same events, resumed by Last-Event-ID.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Server, userPath } from './rig/server.js';
import { stream } from './rig/stream.js';
import { until } from './rig/until.js';

describe('the stream', { concurrency: 4 }, () => {
  test('starts with inbox_ready, then what waits, then what comes', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 2);
    const { response, events, count } = await stream(t, server, 'ana', 'device_id=feed');
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    assert.match(response.headers.get('cache-control') ?? '', /no-(cache|store)/);
    await count('send_notification', 2);
    await server.send('ana', '3');
    const sent = await count('send_notification', 3);

    assert.equal(events[0].event, 'inbox_ready');
    const [info] = events[0].args;
    assert.equal(events[0].args.length, 1);
    assert.equal(events[0].id, `${info.epoch}:0`);
    assert.equal(info.mode, 'pending');
    assert.equal(info.device_id, 'feed');
    assert.deepEqual(sent.map(({ id, args: [notification, meta] }) => [id, notification.message, meta.prev]), [
      [`${info.epoch}:1`, '1', 0], [`${info.epoch}:2`, '2', 1], [`${info.epoch}:3`, '3', 2],
    ]);
    for (const { args } of sent) assert.equal(args.length, 2);
    assert.deepEqual(sent[2].args[1], { prev: 2, unread: 3, unseen: 3, total: 3 });
  });

  test('tells of every change too', async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana');
    const { count } = await stream(t, server, 'ana');
    await count('send_notification', 1);
    await server.mark('ana', { op: 'read', ids: [id] });
    const [update] = await count('notification_updated', 1);
    assert.deepEqual(update.args, [{ rev: 2, prev: 1, op: 'read', ids: [id] }, { unread: 0, unseen: 0, total: 1 }]);
  });

  test('resumes from Last-Event-ID, which proves receipt; writing alone does not', async (t) => {
    const server = await Server.start(t);
    const [one, two, three] = await server.sendMany('ana', 3);
    const first = await stream(t, server, 'ana', 'device_id=feed');
    const [, second] = await first.count('send_notification', 3);
    assert.equal(await server.status(one.id), 'pending');
    first.close();

    const again = await stream(t, server, 'ana', 'device_id=feed', { 'last-event-id': second.id });
    const [resumed] = await again.count('send_notification', 1);
    assert.equal(resumed.args[0].id, three.id);
    const info = again.events[0].args[0];
    assert.equal(info.mode, 'resume');
    assert.equal(info.cursor, 2);
    await until('delivered', async () => (await server.status(two.id)) === 'delivered');
    assert.equal(await server.status(one.id), 'delivered');
    assert.equal(await server.status(three.id), 'pending');
    await server.ask('POST', `${userPath('ana')}/inbox/ack`, { rev: 3, device_id: 'feed' });
    assert.equal(await server.status(three.id), 'delivered');
  });

  test('resumes from cursor and epoch', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 3);
    const { epoch } = (await server.inbox('ana')).meta;
    const resumed = await stream(t, server, 'ana', `cursor=2&epoch=${epoch}`);
    const [sent] = await resumed.count('send_notification', 1);
    assert.equal(sent.args[0].message, '3');
    const lost = await stream(t, server, 'ana', 'cursor=2&epoch=another-life');
    await lost.count('inbox_ready', 1);
    assert.equal(lost.events[0].args[0].mode, 'snapshot');
    assert.equal(lost.events[0].args[0].cursor, 3);
  });

  test('resumes from lastEventId in the URL, where a polyfill of EventSource puts it', async (t) => {
    const server = await Server.start(t);
    const [, two, three] = await server.sendMany('ana', 3);
    const { epoch } = (await server.inbox('ana')).meta;
    const resumed = await stream(t, server, 'ana', `device_id=feed&lastEventId=${epoch}%3A2`);
    const [sent] = await resumed.count('send_notification', 1);
    assert.equal(sent.args[0].id, three.id);
    assert.equal(resumed.events[0].args[0].mode, 'resume');
    await until('delivered', async () => (await server.status(two.id)) === 'delivered');
  });

  test('an id of another server is answered with sync_required, since EventSource gives up on an error', async (t) => {
    const server = await Server.start(t);
    const receipts = await server.sendMany('ana', 2);
    for (const [query, headers] of [['', { 'last-event-id': '42' }], ['', { 'last-event-id': 'nonsense' }], ['lastEventId=42', {}]]) {
      const { response, events, count } = await stream(t, server, 'ana', query, headers);
      assert.equal(response.status, 200);
      await count('inbox_ready', 1);
      await until('sync_required', () => events.some(({ event }) => event === 'sync_required'));
      assert.deepEqual([events[0].args[0].mode, events[0].args[0].cursor], ['snapshot', 2]);
    }
    for (const { id } of receipts) assert.equal(await server.status(id), 'pending');
  });

  test('says how soon to return in the block of inbox_ready, not in an empty one', async (t) => {
    const server = await Server.start(t);
    const response = await fetch(`${server.url}${userPath('ana')}/stream`);
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) if ((text += chunk).includes('\n\n')) break;
    const [block] = text.split('\n\n');
    assert.match(block, /^retry: \d+$/m);
    assert.match(block, /^event: inbox_ready$/m);
    assert.match(block, /^data: /m);
  });

  test('HEAD tells what GET would, and changes nothing', async (t) => {
    const server = await Server.start(t);
    const receipts = await server.sendMany('ana', 3);
    const { epoch } = (await server.inbox('ana')).meta;
    const path = `${userPath('ana')}/stream?device_id=feed`;
    const answer = await server.request('HEAD', path, undefined, { 'last-event-id': `${epoch}:3` });
    assert.equal(answer.status, 200);
    assert.match(answer.type, /^text\/event-stream/);
    assert.equal((await server.request('HEAD', `${path}&cursor=x`)).status, 400);
    assert.deepEqual(await server.devices('ana'), []);
    for (const { id } of receipts) assert.equal(await server.status(id), 'pending');
  });

  test('its device is online while it is open', async (t) => {
    const server = await Server.start(t);
    const { close, count } = await stream(t, server, 'ana', 'device_id=feed');
    await count('inbox_ready', 1);
    const [device] = await server.devices('ana');
    assert.equal(device.device_id, 'feed');
    assert.equal(device.transport, 'sse');
    assert.equal(device.online, true);
    close();
    await until('the device is offline', async () => !(await server.devices('ana'))[0].online);
  });

  test('a bad position is refused', async (t) => {
    const server = await Server.start(t);
    for (const [query, headers] of [['cursor=x&epoch=e', {}], ['cursor=-1&epoch=e', {}], ['device_id=', {}]]) {
      const { response } = await stream(t, server, 'ana', query, headers);
      assert.equal(response.status, 400, query);
      assert.match(response.headers.get('content-type'), /^application\/problem\+json/);
      assert.equal((await response.json()).code, 'invalid_request');
    }
  });
});
