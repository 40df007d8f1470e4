// The HTTP API: every route for what it is there for.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from './rig/socket.js';
import { Server, userPath } from './rig/server.js';
import { until } from './rig/until.js';

const UNKNOWN = '0198c0de-0000-7000-8000-000000000001';
const inboxOf = (user) => `${userPath(user)}/inbox`;
const messages = ({ data }) => data.map(({ message }) => message);
const numbers = (from, to) => Array.from({ length: Math.abs(to - from) + 1 }, (_, index) => `${from + (to < from ? -index : index)}`);

function isProblem({ status, type, body }, expected, code) {
  assert.equal(status, expected, JSON.stringify(body));
  assert.match(type, /^application\/problem\+json/);
  assert.equal(body.status, expected);
  assert.equal(body.code, code);
  assert.equal(typeof body.type, 'string');
  assert.equal(typeof body.title, 'string');
}

describe('sending', { concurrency: 4 }, () => {
  test('to one', async (t) => {
    const server = await Server.start(t);
    const { status, body, type } = await server.request('POST', '/v1/notifications', { to: 'ana', message: 'hello' });
    assert.equal(status, 201);
    assert.match(type, /^application\/json/);
    const { id } = body.notifications[0];
    assert.deepEqual(body, { notifications: [{ user_id: 'ana', id, seq: 1, status: 'pending' }] });
  });

  test('to many: one each, all stored', async (t) => {
    const server = await Server.start(t);
    const to = Array.from({ length: 1_000 }, (_, index) => `user-${index}`);
    const { notifications } = await server.ask('POST', '/v1/notifications', { to, title: 'all', message: 'hello' });
    assert.deepEqual(notifications.map(({ user_id: user }) => user), to);
    assert.equal(new Set(notifications.map(({ id }) => id)).size, 1_000);
    for (const index of [0, 500, 999]) {
      const { data } = await server.inbox(`user-${index}`);
      assert.deepEqual(data.map(({ id, title }) => [id, title]), [[notifications[index].id, 'all']]);
    }
  });

  test('to many with one bad name: none is stored', async (t) => {
    const server = await Server.start(t);
    isProblem(await server.request('POST', '/v1/notifications', { to: ['ana', 'b\u0007o', 'cy'], message: 'm' }), 400, 'invalid_request');
    for (const user of ['ana', 'cy']) assert.equal((await server.inbox(user)).meta.head, 0);
  });

  test('a batch: one result an item, in order, the valid ones stored', async (t) => {
    const server = await Server.start(t);
    const { results } = await server.ask('POST', '/v1/notifications/batch', {
      notifications: [
        { to: 'ana', message: '1' }, { to: 'ana' }, { to: ['ana', 'bo'], message: '2' }, { to: 'ana', message: 'm', colour: 1 },
        { to: { everyone: true }, message: 'm' }, 7, { to: 'ana', message: '3' },
      ],
    });
    assert.deepEqual(results.map(({ ok }) => ok), [true, false, true, false, false, false, true]);
    assert.deepEqual(results[2].notifications.map(({ user_id: user }) => user), ['ana', 'bo']);
    assert.deepEqual([0, 2, 6].map((index) => results[index].notifications[0].seq), [1, 2, 3]);
    for (const [index, field] of [[1, 'message'], [3, 'colour']]) {
      assert.equal(results[index].problem.code, 'invalid_request');
      assert.equal(results[index].problem.status, 400);
      assert.ok(results[index].problem.errors[0].field.endsWith(field), JSON.stringify(results[index]));
    }
    assert.deepEqual(messages(await server.inbox('ana')), ['3', '2', '1']);
  });

  test('in a batch an item that cannot be read is a problem of that item, and the others are stored', async (t) => {
    const server = await Server.start(t);
    const deep = `${'{"a":'.repeat(125)}1${'}'.repeat(125)}`;
    const bad = [
      '{"to":"ana","message":"m","message":"n"}', '{"to":"ana","message":"m","data":{"a":1,"a":1}}', '{"to":"ana","message":"m","data":{"n":1e999}}',
      `{"to":"ana","message":"m","data":${deep}}`, '7', 'null', '{"to":"..","message":"m"}',
    ];
    const items = bad.flatMap((item, index) => [`{"to":"ana","message":"${index}"}`, item]);
    const { results } = await server.ask('POST', '/v1/notifications/batch', `{"notifications":[${items.join(',')}]}`);
    assert.deepEqual(results.map(({ ok }) => ok), bad.flatMap(() => [true, false]));
    for (const [index, { ok, problem }] of results.entries()) {
      if (ok) continue;
      assert.equal(problem.code, 'invalid_request');
      assert.ok(problem.errors[0].field.startsWith(`notifications[${index}]`), JSON.stringify(problem));
      assert.ok(problem.detail.includes(`notifications[${index}]`), JSON.stringify(problem));
    }
    assert.equal((await server.counts('ana')).total, bad.length);
  });

  test('half an emoji becomes U+FFFD wherever a text is taken', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url, { auth: { user_id: 'an\ud83d', note: '\ud83d', token: undefined } });
    await client.connected();
    const user = 'an\ufffd';
    const fields = '"title":"t\\udE00","message":"cut \\ud83d","data":{"\\ud83d":["\\ud83d\\ude00","\\\\ud83d"]},"actions":[{"label":"\\ud83d","url":"/"}]';
    await server.ask('POST', '/v1/notifications', `{"to":"an\\ud83d",${fields}}`);
    const { results } = await server.ask('POST', '/v1/notifications/batch', `{"notifications":[{"to":"${user}","message":"1"},{"to":"an\\ud83d",${fields}}]}`);
    assert.deepEqual(results.map(({ ok }) => ok), [true, true]);
    await server.ask('POST', '/api/notifications/send', `{"user_id":"an\\ud83d",${fields}}`);
    const expected = { title: 't\ufffd', message: 'cut \ufffd', data: { '\ufffd': ['😀', '\\ud83d'] }, label: '\ufffd' };
    const seen = ({ title, message, data, actions }) => ({ title, message, data, label: actions[0]?.label });
    const { data, meta } = await server.inbox(user);
    assert.equal(meta.total, 4);
    for (const index of [0, 1, 3]) assert.deepEqual(seen(data[index]), expected);
    const { text } = await server.request('GET', `/v1/notifications/${data[0].id}`);
    assert.ok(text.includes('"\\ufffd":["\\ud83d\\ude00","\\\\ud83d"]'), text);
    await client.count(4);
    assert.deepEqual(seen(client.notifications[3]), expected);
    // Over the socket too, in `auth` and in arguments.
    assert.equal(client.all('inbox_ready')[0][0].user_id, user);
    assert.equal((await client.emit('register_user', 'an\udfff')).user_id, user);
    const marked = await client.emit('mark', { op: 'read', all: true, category: '\ud83d' });
    assert.deepEqual([marked.ok, marked.changed], [true, 0]);
    await server.ask('PATCH', `/v1/notifications/${data[0].id}`, '{"message":"\\ud83d!"}');
    assert.equal((await server.notification(data[0].id)).message, '\ufffd!');
  });

  test('a batch of 1,000 is taken, of 1,001 refused', async (t) => {
    const server = await Server.start(t);
    const many = (count) => ({ notifications: Array.from({ length: count }, (_, index) => ({ to: 'ana', message: `${index}` })) });
    const { results } = await server.ask('POST', '/v1/notifications/batch', many(1_000));
    assert.deepEqual(results.map(({ notifications }) => notifications[0].seq), Array.from({ length: 1_000 }, (_, index) => index + 1));
    isProblem(await server.request('POST', '/v1/notifications/batch', many(1_001)), 400, 'invalid_request');
    assert.equal((await server.counts('ana')).total, 1_000);
  });

  test('the limits of each field are inclusive', async (t) => {
    const server = await Server.start(t);
    const fields = {
      title: 't'.repeat(256), message: 'ä'.repeat(2_048), category: 'c'.repeat(64), data: { a: 'x'.repeat(16 * 1_024 - 8) },
      actions: Array.from({ length: 3 }, () => ({ label: 'Go', url: '/go' })),
    };
    assert.equal(JSON.stringify(fields.data).length, 16 * 1_024);
    const user = 'ü'.repeat(64);
    const { id } = await server.send(user, fields);
    const stored = await server.notification(id);
    for (const [name, value] of Object.entries(fields)) assert.deepEqual(stored[name], value, name);
    assert.equal((await server.inbox(user)).meta.total, 1);
  });

  test('data is kept letter by letter', async (t) => {
    const server = await Server.start(t);
    const data = '{"big":123456789012345678901234567890,"exact":0.10000000000000000001,"z":1,"a":{"":null}}';
    const { notifications } = await server.ask('POST', '/v1/notifications', `{"to":"ana","message":"m","data":${data}}`);
    const { text } = await server.request('GET', `/v1/notifications/${notifications[0].id}`);
    assert.ok(text.includes(data), text);
  });

  test('what expires is gone from the inbox and from the counts', async (t) => {
    const server = await Server.start(t);
    await server.send('ana', 'stays');
    const { id } = await server.send('ana', { message: 'goes', expires_at: new Date(Date.now() + 1_500).toISOString() });
    assert.deepEqual(await server.counts('ana'), { total: 2, unread: 2, unseen: 2 });
    await until('it has expired', async () => (await server.counts('ana')).total === 1);
    assert.deepEqual(messages(await server.inbox('ana')), ['stays']);
    isProblem(await server.request('GET', `/v1/notifications/${id}`), 404, 'not_found');
  });

  test('every legal time is taken, and ttl_seconds in place of one', async (t) => {
    const server = await Server.start(t);
    for (const [given, expected] of [
      ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'], ['2099-06-30t23:59:60z', '2099-06-30T23:59:59.000Z'],
      ['2099-01-01T00:00:00.123456789012+02:00', '2098-12-31T22:00:00.123Z'],
    ]) {
      const { id } = await server.send('ana', { message: 'm', expires_at: given });
      assert.equal((await server.notification(id)).expires_at, expected, given);
    }
    assert.deepEqual((await server.inbox('ana')).data.map(({ expires_at: at }) => at.slice(0, 4)), ['2098', '2099', '9999']);
    for (const send of [
      () => server.send('bo', { message: 'm', ttl_seconds: 3_600 }).then(({ id }) => id),
      () => server.ask('POST', '/api/notifications/send', { user_id: 'bo', message: 'm', ttl_seconds: 3_600 }).then(({ id }) => id),
      () => server.sendMany('bo', 1, () => ({ message: 'm', ttl_seconds: 3_600 })).then(([{ id }]) => id),
    ]) {
      const { timestamp, expires_at: expiresAt } = await server.notification(await send());
      const lives = Date.parse(expiresAt) - Date.parse(timestamp);
      assert.ok(lives > 3_590_000 && lives <= 3_600_000, `${timestamp} to ${expiresAt}`);
    }
    const { id } = await server.send('bo', { message: 'm', ttl_seconds: 1 });
    await until('it has expired', async () => (await server.request('GET', `/v1/notifications/${id}`)).status === 404);
  });

  test('a collapse key replaces what is unread and has the same key', async (t) => {
    const server = await Server.start(t);
    const read = await server.send('ana', { message: '1', collapse_key: 'k' });
    await server.mark('ana', { op: 'read', ids: [read.id] });
    await server.send('ana', { message: '2', collapse_key: 'k' });
    await server.send('ana', { message: '3', collapse_key: 'other' });
    await server.send('ana', { message: '4', collapse_key: 'k' });
    assert.deepEqual(messages(await server.inbox('ana')), ['4', '3', '1']);
    assert.deepEqual(await server.counts('ana'), { total: 3, unread: 2, unseen: 2 });
  });
});

describe('a retry', { concurrency: 4 }, () => {
  const key = (name) => ({ 'idempotency-key': name });

  for (const [name, path, body] of [
    ['to one', '/v1/notifications', { to: 'ana', message: 'm' }],
    ['to two', '/v1/notifications', { to: ['ana', 'bo'], message: 'm' }],
    ['a batch with an invalid item', '/v1/notifications/batch', { notifications: [{ to: 'ana', message: 'm' }, { to: 'ana' }] }],
    ['by the original route', '/api/notifications/send', { user_id: 'ana', message: 'm' }],
  ]) {
    test(`${name}: the first answer again, also after a crash`, async (t) => {
      const server = await Server.start(t);
      const first = await server.request('POST', path, body, key('k'));
      assert.equal(first.headers.get('idempotency-replayed'), null);
      const again = await server.request('POST', path, body, key('k'));
      await server.kill();
      await server.restart();
      const later = await server.request('POST', path, body, key('k'));
      for (const retry of [again, later]) {
        assert.equal(retry.status, first.status);
        assert.deepEqual(retry.body, first.body);
        assert.equal(retry.headers.get('idempotency-replayed'), 'true');
      }
      assert.equal((await server.counts('ana')).total, 1);
      const other = await server.request('POST', path, body, key('other'));
      assert.equal(other.headers.get('idempotency-replayed'), null);
      assert.equal((await server.counts('ana')).total, 2);
    });
  }

  for (const [name, path, body] of [
    ['to one', '/v1/notifications', (at) => ({ to: 'ana', message: 'm', expires_at: at })],
    ['by the original route', '/api/notifications/send', (at) => ({ user_id: 'ana', message: 'm', expires_at: at })],
    ['a batch', '/v1/notifications/batch', (at) => ({ notifications: [{ to: 'ana', message: 'm', expires_at: at }, { to: 'ana' }, { to: 'ana', message: 'stays' }] })],
    ['a batch of which nothing would be left', '/v1/notifications/batch', (at) => ({ notifications: [{ to: 'ana', message: 'm', expires_at: at }] })],
  ]) {
    test(`${name}, after it has expired: the first answer again`, async (t) => {
      const server = await Server.start(t);
      const at = new Date(Date.now() + 1_500).toISOString();
      const first = await server.request('POST', path, body(at), key('k'));
      assert.ok([200, 201].includes(first.status), first.text);
      const { head } = (await server.inbox('ana')).meta;
      await until('it is too late for the first time', async () => {
        const { status, body: refused } = await server.request('POST', '/v1/notifications', { to: 'bo', message: 'm', expires_at: at });
        return status === 400 && refused.errors[0].field === 'expires_at';
      });
      const again = await server.request('POST', path, body(at), key('k'));
      assert.deepEqual([again.status, again.body], [first.status, first.body]);
      assert.equal(again.headers.get('idempotency-replayed'), 'true');
      assert.ok((await server.inbox('ana')).data.filter(({ message }) => message === 'm').length === 0);
      assert.ok((await server.inbox('ana')).meta.head <= head + 1, 'nothing was stored but the end of what expired');
      // With another body the key is another request's, also where that body could not be sent.
      const other = body(new Date(Date.parse(at) - 60_000).toISOString());
      isProblem(await server.request('POST', path, other, key('k')), 409, 'idempotency_mismatch');
      const unknown = await server.request('POST', path, body(at), key('unknown'));
      if (name.startsWith('a batch')) assert.equal(unknown.body.results[0].ok, false);
      else isProblem(unknown, 400, 'invalid_request');
    });
  }

  test('of a batch with 1,000 refused items: the same problems, within bounds', async (t) => {
    const server = await Server.start(t);
    const wrong = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`${index}${'x'.repeat(60)}`, 1]));
    const body = { notifications: Array.from({ length: 1_000 }, () => ({ to: 'ana', ...wrong })) };
    const first = await server.request('POST', '/v1/notifications/batch', body, key('k'));
    assert.equal(first.status, 200, first.text.slice(0, 200));
    assert.ok(first.text.length < 524_288, `${first.text.length} bytes`);
    const { results } = first.body;
    assert.ok(results.length === 1_000 && results.every(({ ok, problem }, index) => !ok && problem.detail.includes(`notifications[${index}]`)));
    assert.match(results[0].problem.detail, /more errors are not listed/);
    assert.match(results[999].problem.detail, /not listed/);
    const again = await server.request('POST', '/v1/notifications/batch', body, key('k'));
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(again.text, first.text);
  });

  test('with another body or on another route: refused', async (t) => {
    const server = await Server.start(t);
    await server.request('POST', '/v1/notifications', { to: 'ana', message: 'm' }, key('k'));
    isProblem(await server.request('POST', '/v1/notifications', { to: 'ana', message: 'other' }, key('k')), 409, 'idempotency_mismatch');
    isProblem(await server.request('POST', '/api/notifications/send', { user_id: 'ana', message: 'm' }, key('k')), 409, 'idempotency_mismatch');
    assert.equal((await server.counts('ana')).total, 1);
  });

  test('after a refusal the key is free', async (t) => {
    const server = await Server.start(t);
    isProblem(await server.request('POST', '/v1/notifications', { to: 'ana' }, key('k')), 400, 'invalid_request');
    const { status, headers } = await server.request('POST', '/v1/notifications', { to: 'ana', message: 'm' }, key('k'));
    assert.equal(status, 201);
    assert.equal(headers.get('idempotency-replayed'), null);
  });

  test('many at the same moment: one does the work, all get its answer', async (t) => {
    const server = await Server.start(t);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => server.request('POST', '/v1/notifications', { to: 'ana', message: 'm' }, key('k'))),
    );
    for (const { status, body } of answers) {
      assert.equal(status, 201);
      assert.deepEqual(body, answers[0].body);
    }
    assert.equal(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null).length, 1);
    assert.equal((await server.counts('ana')).total, 1);
  });

  test('a key may be 255 bytes long, not 256', async (t) => {
    const server = await Server.start(t);
    const send = (name) => server.request('POST', '/v1/notifications', { to: 'ana', message: 'm' }, key(name));
    assert.equal((await send('k'.repeat(255))).status, 201);
    isProblem(await send('k'.repeat(256)), 400, 'invalid_request');
    assert.equal((await server.counts('ana')).total, 1);
  });
});

describe('one notification', { concurrency: 4 }, () => {
  test('its timeline tells what happened to it', async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana');
    const before = (await server.notification(id)).timeline;
    assert.ok(Array.isArray(before) && before.length > 0, JSON.stringify(before));
    await server.ask('POST', `${inboxOf('ana')}/ack`, { rev: 1 });
    await server.mark('ana', { op: 'read', ids: [id] });
    const { timeline, delivered_at: deliveredAt, read_at: readAt } = await server.notification(id);
    assert.ok(timeline.length > before.length);
    const text = JSON.stringify(timeline);
    for (const at of [deliveredAt, readAt]) assert.ok(at && text.includes(at), `${at} in ${text}`);
  });

  test('an edit sets and clears, keeps the rest, and one that changes nothing takes no revision', async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana', { title: 't', message: 'm', category: 'c', url: '/u', data: { a: 1 } });
    const edit = (body) => server.ask('PATCH', `/v1/notifications/${id}`, body);
    const edited = await edit({ message: 'new', category: null, data: { b: 2 }, priority: 'low' });
    assert.deepEqual(
      [edited.rev, edited.seq, edited.title, edited.message, edited.category, edited.data, edited.url, edited.priority],
      [2, 1, 't', 'new', null, { b: 2 }, '/u', 'low'],
    );
    const same = await edit({ message: 'new' });
    assert.equal(same.rev, 2);
    assert.equal((await server.inbox('ana')).meta.head, 2);
    assert.deepEqual((await server.inbox('ana')).data[0].data, { b: 2 });
  });

  test('an edit of what cannot be edited is refused by name', async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana');
    for (const [field, value] of Object.entries({ id: UNKNOWN, user_id: 'bo', to: 'bo', seq: 9, rev: 9, is_read: true, status: 'delivered', timestamp: 'x', colour: 1 })) {
      const refused = await server.request('PATCH', `/v1/notifications/${id}`, { message: 'new', [field]: value });
      isProblem(refused, 400, 'invalid_request');
      assert.deepEqual(refused.body.errors.map((error) => error.field), [field]);
    }
    for (const [field, value] of [['message', ''], ['message', null], ['title', 7], ['priority', 'x'], ['url', 'javascript:1'], ['data', []]]) {
      const refused = await server.request('PATCH', `/v1/notifications/${id}`, { [field]: value });
      isProblem(refused, 400, 'invalid_request');
      assert.deepEqual(refused.body.errors.map((error) => error.field), [field]);
    }
    assert.equal((await server.inbox('ana')).meta.head, 1);
  });

  test('a recalled one is gone; unknown ones are not found', async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana');
    assert.equal((await server.request('DELETE', `/v1/notifications/${id}`)).status, 204);
    assert.deepEqual((await server.changes('ana')).data, [{ id, seq: 1, rev: 2, deleted: true }]);
    assert.deepEqual(await server.counts('ana'), { total: 0, unread: 0, unseen: 0 });
    for (const unknown of [id, UNKNOWN, 'nonsense']) {
      for (const [method, body] of [['GET'], ['PATCH', { message: 'm' }], ['DELETE']]) {
        isProblem(await server.request(method, `/v1/notifications/${unknown}`, body), 404, 'not_found');
      }
    }
  });
});

describe('a mark', { concurrency: 4 }, () => {
  test('ignores what is no id here, over HTTP and over a socket; what is no text is refused', async (t) => {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 2);
    const client = connect(t, server.url, { auth: { user_id: 'ana' } });
    await client.ready();
    const ways = [
      async (body) => {
        const { status, body: answer } = await server.request('POST', `${inboxOf('ana')}/mark`, body);
        return status === 200 ? answer.changed : answer.code;
      },
      async (body) => {
        const answer = await client.emit('mark', body);
        return answer.ok ? answer.changed : answer.code;
      },
    ];
    for (const [index, mark] of ways.entries()) {
      const { id } = sent[index];
      const strangers = ['tmp-1', '507f1f77bcf86cd799439011', '', UNKNOWN, '\ud83d'];
      assert.equal(await mark({ op: 'read', ids: strangers }), 0);
      assert.equal(await mark({ op: 'read', ids: [7, id] }), 'invalid_request');
      assert.equal(await mark({ op: 'read', ids: [id, null] }), 'invalid_request');
      assert.equal((await server.counts('ana')).unread, 2 - index);
      assert.equal(await mark({ op: 'read', ids: [...strangers, id] }), 1);
      assert.equal((await server.counts('ana')).unread, 1 - index);
    }
  });
});

describe('the inbox', { concurrency: 4 }, () => {
  /** Ten notifications: 1..4 read, 3..6 archived, odd ones of category `odd`. */
  async function stocked(t) {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 10, (index) => ({ message: `${index + 1}`, ...(index % 2 ? {} : { category: 'odd' }) }));
    const ids = sent.map(({ id }) => id);
    await server.mark('ana', { op: 'read', ids: ids.slice(0, 4) });
    await server.mark('ana', { op: 'archive', ids: ids.slice(2, 6) });
    await server.mark('ana', { op: 'seen', ids: [ids[9]] });
    return { server, ids };
  }

  test('filters', async (t) => {
    const { server } = await stocked(t);
    for (const [query, expected] of [
      ['', '10 9 8 7 2 1'],
      ['status=all', '10 9 8 7 2 1'],
      ['status=unread', '10 9 8 7'],
      ['status=read', '2 1'],
      ['status=unseen', '9 8 7'],
      ['archived=include', '10 9 8 7 6 5 4 3 2 1'],
      ['archived=only', '6 5 4 3'],
      ['archived=only&status=unread', '6 5'],
      ['category=odd', '9 7 1'],
      ['category=odd&archived=include&status=read', '3 1'],
      ['category=none', ''],
    ]) {
      const { data, meta } = await server.inbox('ana', query);
      assert.equal(data.map(({ message }) => message).join(' '), expected, query);
      assert.deepEqual([meta.total, meta.unread, meta.unseen], [6, 4, 3], `the counts are of the inbox: ${query}`);
      assert.equal(meta.head, 13);
    }
    assert.deepEqual(await server.counts('ana'), { total: 6, unread: 4, unseen: 3 });
    assert.deepEqual(await server.ask('GET', `${inboxOf('ana')}/counts?category=odd`), { total: 3, unread: 2, unseen: 2 });
  });

  test('its shape', async (t) => {
    const { server } = await stocked(t);
    const { data, meta, page } = await server.inbox('ana', 'limit=2');
    assert.equal(data.length, 2);
    assert.deepEqual(Object.keys(meta).sort(), ['epoch', 'floor', 'head', 'total', 'unread', 'unseen']);
    assert.deepEqual(Object.keys(page).sort(), ['after', 'before', 'has_more']);
    assert.equal(page.has_more, true);
    assert.equal(meta.floor, 0);
  });

  test('pages to older ones and back to newer ones, always newest first', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 25);
    const page = (query) => server.inbox('ana', `limit=10&${query}`);
    const first = await page('');
    const second = await page(`before=${encodeURIComponent(first.page.before)}`);
    const third = await page(`before=${encodeURIComponent(second.page.before)}`);
    assert.deepEqual([first, second, third].map(messages), [numbers(25, 16), numbers(15, 6), numbers(5, 1)]);
    assert.deepEqual([first, second, third].map((one) => one.page.has_more), [true, true, false]);

    const newer = await page(`after=${encodeURIComponent(third.page.after)}`);
    const newest = await page(`after=${encodeURIComponent(newer.page.after)}`);
    assert.deepEqual([newer, newest].map(messages), [numbers(15, 6), numbers(25, 16)]);
    assert.deepEqual([newer, newest].map((one) => one.page.has_more), [true, false]);

    await server.sendMany('ana', 2, (index) => ({ message: `${26 + index}` }));
    assert.deepEqual(messages(await page(`after=${encodeURIComponent(first.page.after)}`)), ['27', '26']);
  });

  test('pages hold while notifications come and go', async (t) => {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 20);
    const first = await server.inbox('ana', 'limit=10');
    await server.send('ana', 'new');
    await server.ask('DELETE', `/v1/notifications/${sent[10].id}`).catch(() => {});
    const second = await server.inbox('ana', `limit=10&before=${encodeURIComponent(first.page.before)}`);
    assert.deepEqual(messages(second), numbers(10, 1));
  });

  test('of nobody is empty and starts at 0', async (t) => {
    const server = await Server.start(t);
    const { data, meta, page } = await server.inbox('nobody');
    assert.deepEqual(data, []);
    assert.deepEqual({ ...meta, epoch: undefined }, { total: 0, unread: 0, unseen: 0, head: 0, floor: 0, epoch: undefined });
    assert.equal(page.has_more, false);
    assert.deepEqual(await server.devices('nobody'), []);
  });

  test('names with every kind of letter are kept apart', async (t) => {
    const server = await Server.start(t);
    const users = ['a/b', 'a%2Fb', 'A/B', 'a b', 'ä', 'a\u0308', '...', '%2e', '?', '#', '🦀', '"', "' OR 1=1 --", ' '];
    for (const user of users) await server.send(user, `for ${user}`);
    for (const user of users) {
      assert.deepEqual(messages(await server.inbox(user)), [`for ${user}`]);
    }
  });
});

describe('the log of changes', { concurrency: 4 }, () => {
  test('in order of rev, in the present state, complete', async (t) => {
    const server = await Server.start(t);
    const [one, two, three] = await server.sendMany('ana', 3);
    await server.mark('ana', { op: 'read', ids: [one.id] });
    await server.ask('DELETE', `/v1/notifications/${two.id}`).catch(() => {});
    const log = await server.ask('GET', `${inboxOf('ana')}/changes?since=0`);
    assert.deepEqual(Object.keys(log).sort(), ['cursor', 'data', 'epoch', 'has_more', 'head', 'next', 'total', 'unread', 'unseen']);
    assert.deepEqual(log.data.map(({ id, rev }) => [id, rev]), [[three.id, 3], [one.id, 4], [two.id, 5]]);
    assert.equal(log.data[1].is_read, true);
    assert.deepEqual(log.data[2], { id: two.id, seq: 2, rev: 5, deleted: true });
    assert.deepEqual([log.cursor, log.next, log.head, log.total, log.unread, log.has_more], [5, null, 5, 2, 1, false]);
    const rest = await server.ask('GET', `${inboxOf('ana')}/changes?since=4&epoch=${log.epoch}`);
    assert.deepEqual(rest.data.map(({ id }) => id), [two.id]);
    assert.deepEqual((await server.ask('GET', `${inboxOf('ana')}/changes?since=5&epoch=${log.epoch}`)).data, []);
  });

  test('a cursor never stands inside a revision', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 700);
    await server.mark('ana', { op: 'seen', all: true });
    await server.sendMany('ana', 300);
    let cursor = 0;
    let next = null;
    const seen = [];
    for (let more = true; more; ) {
      const page = await server.ask('GET', `${inboxOf('ana')}/changes?since=${cursor}${next === null ? '' : `&next=${next}`}`);
      assert.ok(page.cursor > cursor || page.next !== next, 'it goes on');
      if (page.next === null) {
        const beyond = await server.ask('GET', `${inboxOf('ana')}/changes?since=${page.cursor}`);
        assert.ok(beyond.data.every(({ rev }) => rev > page.data.at(-1).rev));
      } else {
        assert.ok(page.data.every(({ rev }) => rev > page.cursor), 'what is given in pieces lies above the cursor');
      }
      seen.push(...page.data);
      ({ cursor, next } = page);
      more = page.has_more;
    }
    assert.equal(seen.length, 1_000);
    assert.equal(seen.filter(({ rev }) => rev === 701).length, 700);
    assert.equal(new Set(seen.map(({ id }) => id)).size, 1_000);
  });

  test('what cannot be resumed is gone', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 3);
    const { epoch } = (await server.inbox('ana')).meta;
    for (const query of ['since=4', `since=4&epoch=${epoch}`, 'since=1&epoch=another-life', 'since=18446744073709551615']) {
      isProblem(await server.request('GET', `${inboxOf('ana')}/changes?${query}`), 410, 'resync_required');
    }
    for (const query of ['', 'since=', 'since=x', 'since=-1', 'since=1.5', 'since=18446744073709551616']) {
      const refused = await server.request('GET', `${inboxOf('ana')}/changes?${query}`);
      isProblem(refused, 400, 'invalid_request');
      assert.deepEqual(refused.body.errors.map(({ field }) => field), ['since'], query);
    }
  });

  test('10,000 back is served, 10,001 is gone as a whole', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 10_001);
    isProblem(await server.request('GET', `${inboxOf('ana')}/changes?since=0`), 410, 'resync_required');
    const { data } = await server.changes('ana', 1);
    assert.equal(data.length, 10_000);
  });
});

describe('devices and health', { concurrency: 4 }, () => {
  test('each device with its cursor, and whether it is there', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 3);
    const phone = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'phone', acks: true } });
    await phone.count(3);
    await phone.emit('ack_notifications', { rev: 2 });
    await server.ask('POST', `${inboxOf('ana')}/ack`, { rev: 3, device_id: 'cron' });
    const devices = await server.devices('ana');
    assert.deepEqual(devices.map(({ device_id: id, cursor, online }) => [id, cursor, online]).sort(), [['cron', 3, false], ['phone', 2, true]]);
    for (const device of devices) {
      assert.deepEqual(Object.keys(device).sort(), ['cursor', 'device_id', 'last_seen_at', 'online', 'transport']);
      assert.match(device.last_seen_at, /Z$/);
    }
    phone.socket.disconnect();
    await until('the phone is offline', async () => !(await server.devices('ana')).find((one) => one.device_id === 'phone').online);
  });

  test('live and ready', async (t) => {
    const server = await Server.start(t);
    for (const path of ['/health/live', '/health/ready']) assert.equal((await server.request('GET', path)).status, 200, path);
  });
});
