// A position belongs to one inbox, and to one life of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { placeOf } from './rig/offset.js';
import { Server, userPath } from './rig/server.js';
import { connect } from './rig/socket.js';
import { stream } from './rig/stream.js';
import { until } from './rig/until.js';
import { Wire } from './rig/wire.js';

const newest = (wire) => wire.events.filter(({ event }) => event === 'send_notification').map(({ args }) => args[0].message);

test('a client that changed its user and was cut before it heard of it gets all of the other inbox', async (t) => {
  const server = await Server.start(t);
  await server.sendMany('ana', 20, (index) => ({ message: `a${index + 1}` }));
  const wire = new Wire(server.url, { user_id: 'ana' });
  await until('ana has hers', () => newest(wire).length === 20);
  const offset = wire.events.at(-1).args.at(-1);
  await server.sendMany('bo', 30, (index) => ({ message: `b${index + 1}` }));
  // The server has stored that the pid is bo's; nothing of it arrives.
  const answer = await wire.emit('register_user', 'bo');
  assert.equal(answer.user_id, 'bo');
  await wire.vanish();

  const again = new Wire(server.url, { pid: wire.welcome.pid, offset });
  t.after(() => again.vanish());
  const [info] = await again.event('inbox_ready');
  assert.deepEqual([info.user_id, info.cursor, info.head], ['bo', 0, 30]);
  await until('bo has all', () => newest(again).length >= 30);
  assert.deepEqual(newest(again), Array.from({ length: 30 }, (_, index) => `b${index + 1}`));
});

test('a position of another inbox is as none, in every way in; of an earlier life it cannot be resumed', async (t) => {
  const server = await Server.start(t);
  await server.sendMany('ana', 3, () => ({ message: 'm' }));
  await server.sendMany('bo', 5, () => ({ message: 'm' }));
  const { epoch } = (await server.inbox('ana')).meta;
  assert.notEqual(epoch, (await server.inbox('bo')).meta.epoch);

  const attach = async (extra) => {
    // They confirm nothing, so that each of them starts where nobody has confirmed anything.
    const client = connect(t, server.url, { auth: { user_id: 'bo', acks: true, ...extra } });
    const info = await client.ready();
    return [info.mode, info.cursor];
  };
  assert.deepEqual(await attach({ epoch, cursor: 3 }), ['pending', 0]);
  assert.deepEqual(await attach({ cursor: `${epoch}:3` }), ['pending', 0]);
  assert.deepEqual(await attach({ epoch: 'of-another-life', cursor: 3 }), ['snapshot', 5]);

  const client = connect(t, server.url, { auth: { user_id: 'bo', device_id: 'd', cursor: 5, acks: true } });
  await client.ready();
  const synced = await client.emit('sync', { epoch, cursor: 3 });
  // The device is known, so it goes on from what it last confirmed: where it started.
  assert.deepEqual([synced.ok, synced.mode, synced.cursor], [true, 'resume', 5]);

  for (const way of [['', { 'last-event-id': `${epoch}:3` }], [`cursor=3&epoch=${epoch}`, {}]]) {
    const opened = await stream(t, server, 'bo', ...way);
    const [{ args: [info] }] = await opened.count('inbox_ready', 1);
    assert.deepEqual([info.mode, info.cursor], ['pending', 0], way[0]);
    await opened.count('send_notification', 5);
  }
  assert.ok((await server.inbox('bo')).data.every(({ status }) => status === 'pending'), 'another inbox\'s id confirms nothing here');
  const refused = await server.request('GET', `${userPath('bo')}/inbox/changes?since=3&epoch=${epoch}`);
  assert.deepEqual([refused.status, refused.body.code], [410, 'resync_required']);
});

test('a device that attached before epochs were of one inbox resumes after the update', async (t) => {
  const server = await Server.start(t);
  await server.sendMany('ana', 4, () => ({ message: 'm' }));
  await server.terminate();
  const read = "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute(\"SELECT value FROM meta WHERE key = 'epoch'\").fetchone()[0])";
  const old = execFileSync('python3', ['-c', read, join(server.data, 'tidings.db')], { encoding: 'utf8' }).trim();
  await server.restart();
  const client = connect(t, server.url, { auth: { user_id: 'ana', epoch: old, cursor: 3 } });
  const info = await client.ready();
  assert.deepEqual([info.mode, info.cursor], ['resume', 3]);
  assert.notEqual(info.epoch, old);
  const opened = await stream(t, server, 'ana', '', { 'last-event-id': `${old}:2` });
  const [{ args: [resumed] }] = await opened.count('inbox_ready', 1);
  assert.deepEqual([resumed.mode, resumed.cursor], ['resume', 2]);
});

test('a registration that is refused changes nothing: the socket goes on as it was', async (t) => {
  const server = await Server.start(t, { env: { TIDINGS_MAX_SOCKETS_PER_USER: '1' } });
  const bo = connect(t, server.url, { auth: { user_id: 'bo' } });
  await bo.ready();
  const ana = connect(t, server.url, { auth: { user_id: 'ana' } });
  await ana.ready();
  const refused = await ana.emit('register_user', 'bo');
  assert.deepEqual([refused.ok, refused.code], [false, 'rate_limited']);
  await server.send('ana', 'still hers');
  await ana.count(1);
  assert.deepEqual(ana.messages, ['still hers']);
  assert.equal((await ana.emit('mark', { op: 'read', all: true })).changed, 1);
  // And it is still ana's when the line drops: the pid was not given away.
  ana.socket.io.engine.close();
  const [again, offset] = await ana.event('inbox_ready', 2);
  assert.equal(again.user_id, 'ana');
  assert.equal(placeOf(offset).rev, again.cursor);
});
