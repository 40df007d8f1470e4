// Bytes of the embedded store's file are overwritten while it is served, as a failing disk does.

import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, temporaryFolder } from './rig/server.js';
import { connect } from './rig/socket.js';

const PAGE = 4_096;
/** What the page of a table begins with that holds rows, and no way to other pages. */
const LEAF = 0x0d;

/** Overwrites every page that holds texts of ana's and none of bo's. */
async function damage(path) {
  const bytes = await readFile(path);
  const file = await open(path, 'r+');
  let damaged = 0;
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    if (page[0] !== LEAF || !page.includes('for ana ') || page.includes('for bo ')) continue;
    await file.write(Buffer.alloc(PAGE, 0xa5), 0, PAGE, at);
    damaged += 1;
  }
  await file.close();
  assert.ok(damaged > 10, `${damaged} pages`);
}

test('who needs what is damaged is told so, not to try again, and the others are served', async (t) => {
  const data = join(await temporaryFolder(t), 'data');
  const server = await Server.start(t, { data });
  const text = (to) => () => ({ message: `for ${to} ${'x'.repeat(1_000)}` });
  for (const to of ['ana', 'bo']) await server.sendMany(to, 100, text(to));
  await server.terminate();
  await server.restart();
  assert.equal((await server.request('GET', '/health/ready')).status, 200);
  await damage(join(data, 'tidings.db'));

  for (const path of ['/v1/users/ana/inbox', '/v1/users/ana/inbox/changes?since=0', '/api/notifications/ana']) {
    const answer = await server.request('GET', path);
    assert.equal(answer.status, 500, path);
    assert.equal(answer.body.code, 'damaged');
    assert.equal(answer.headers.get('retry-after'), null);
  }
  assert.equal((await server.inbox('bo', 'limit=100')).data.length, 100);
  await server.send('bo', 'still');
  const bo = connect(t, server.url, { auth: { user_id: 'bo', device_id: 'phone', acks: true } });
  await bo.count(101);
  assert.equal(bo.messages.at(-1), 'still');
  const ready = await server.request('GET', '/health/ready');
  assert.deepEqual([ready.status, ready.body.code], [500, 'damaged']);
  assert.match(server.log, /damaged.*restore it from a backup/);

  await server.terminate();
  await assert.rejects(server.restart(), /is damaged .*restore it from a backup/);
});
