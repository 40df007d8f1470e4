// No answer and no event is larger than it must be: what one revision changed and does not fit comes in parts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceLog, SPOTLESS, verdict } from './checker.js';
import { placeOf } from './rig/offset.js';
import { Server, userPath } from './rig/server.js';
import { connect } from './rig/socket.js';
import { scaled } from './rig/store.js';
import { stream } from './rig/stream.js';
import { until } from './rig/until.js';

const PAGE = 256 * 1024;
const COUNT = scaled(200);
const data = { filling: 'x'.repeat(15_000) };

/** An inbox whose last revision touched everything: several megabytes. */
async function large(t) {
  const server = await Server.start(t);
  for (let at = 0; at < COUNT; at += 50) await server.sendMany('ana', Math.min(50, COUNT - at), (index) => ({ message: `${at + index}`, data }));
  await server.mark('ana', { op: 'read', all: true });
  return server;
}

const size = (value) => Buffer.byteLength(JSON.stringify(value));

/** All but the last item of what came together fit into a page. */
const assertBounded = (items) => assert.ok(size(items.slice(0, -1)) <= PAGE, `${size(items)} bytes in ${items.length}`);

test('pages of changes are bounded by bytes, and a large revision is read on with next', async (t) => {
  const server = await large(t);
  const seen = [];
  let query = `since=${COUNT - 10}`;
  let pages = 0;
  for (;;) {
    const page = await server.ask('GET', `${userPath('ana')}/inbox/changes?${query}`);
    assertBounded(page.data);
    seen.push(...page.data.map(({ seq }) => seq));
    pages += 1;
    if (!page.has_more) {
      assert.deepEqual([page.cursor, page.next], [COUNT + 1, null]);
      break;
    }
    if (page.next !== null) assert.equal(page.cursor, COUNT - 10, 'never inside a revision');
    query = `since=${page.cursor}${page.next === null ? '' : `&next=${encodeURIComponent(page.next)}`}`;
  }
  assert.ok(pages > 5);
  assert.deepEqual(seen, Array.from({ length: COUNT }, (_, index) => index + 1));
  for (const wrong of ['x', '1', `${COUNT - 10}.1`, '-1.1']) {
    const refused = await server.request('GET', `${userPath('ana')}/inbox/changes?since=${COUNT - 10}&next=${wrong}`);
    assert.deepEqual([refused.status, refused.body.errors[0].field], [400, 'next'], wrong);
  }
  const beyond = await server.request('GET', `${userPath('ana')}/inbox/changes?since=1&next=${COUNT + 9}.1`);
  assert.equal(beyond.status, 410);
});

test('pages of an inbox are bounded by bytes and lose nothing, on the original\'s route too', async (t) => {
  const server = await large(t);
  for (const first of [`${userPath('ana')}/inbox?limit=100`, '/api/notifications/ana?limit=100']) {
    const seen = [];
    let path = first;
    while (path) {
      const answer = await server.request('GET', path);
      assert.equal(answer.status, 200, answer.text);
      const items = answer.body.data ?? answer.body;
      assertBounded(items);
      seen.push(...items.map(({ seq }) => seq));
      const link = /<([^>]*)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      const next = answer.body.page?.has_more && `${first}&before=${answer.body.page.before}`;
      path = next || (link && new URL(link, new URL(path, server.url)).href.slice(server.url.length));
    }
    assert.deepEqual(seen, Array.from({ length: COUNT }, (_, index) => COUNT - index), first);
  }
});

for (const transports of [['websocket'], ['polling']]) {
  test(`a large revision comes in parts by ${transports}, and the checker finds nothing missing`, async (t) => {
    const server = await large(t);
    const client = connect(t, server.url, { transports, auth: { user_id: 'ana', device_id: 'd', cursor: 0, acks: true }, autoConnect: false });
    const log = new DeviceLog('official');
    const take = log.attachment();
    client.socket.onAny((event, ...args) => take(event, args));
    client.socket.connect();
    await until('it has everything', () => log.cursor === COUNT + 1);
    assert.deepEqual(await verdict(server, 'ana', [log]), SPOTLESS);
    const parts = client.updates.filter(([update]) => update.part);
    assert.ok(parts.length > 5);
    parts.forEach(([update, , offset], index) => {
      assert.deepEqual(update.part, { index, of: parts.length });
      assertBounded(update.notifications);
      // A cursor never stands inside a revision.
      assert.equal(placeOf(offset).rev, index + 1 < parts.length ? update.prev : update.rev);
    });
  });
}

test('a large revision comes in parts on a stream too', async (t) => {
  const server = await large(t);
  const opened = await stream(t, server, 'ana', 'cursor=0');
  await until('it has everything', () => opened.events.some(({ id }) => placeOf(id ?? 'x:0').rev === COUNT + 1));
  const parts = opened.events.filter(({ args: [update] }) => update.part);
  assert.equal(parts.length, parts[0].args[0].part.of);
  assert.equal(parts.flatMap(({ args: [update] }) => update.notifications).length, COUNT);
  parts.forEach(({ args: [update] }) => assertBounded(update.notifications));
});
