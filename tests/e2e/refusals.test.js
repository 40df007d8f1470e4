// Whatever somebody sends: a clear refusal that names the field, and nothing stored.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Server, userPath } from './rig/server.js';
import { Wire } from './rig/wire.js';

const SEND = '/v1/notifications';
const ana = { to: 'ana', message: 'm' };
const json = JSON.stringify;
const nested = (depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

/** [what is wrong, the body, the fields that the answer names (none: the body as a whole)] */
const BODIES = [
  ['nothing', '', []],
  ['not JSON', 'hello', []],
  ['cut off', '{"to":"ana","message":', []],
  ['something after the end', `${json(ana)} x`, []],
  ['two bodies', `${json(ana)}${json(ana)}`, []],
  ['an array', json([ana]), []],
  ['a text', '"ana"', []],
  ['null', 'null', []],
  ['a comment', '{"to":"ana","message":"m"/* */}', []],
  ['single quotes', "{'to':'ana','message':'m'}", []],
  ['NaN', '{"to":"ana","message":"m","data":{"a":NaN}}', []],
  ['a raw line break in a text', '{"to":"ana","message":"a\nb"}', []],
  ['bytes that are not UTF-8', Buffer.concat([Buffer.from('{"to":"ana","message":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), []],
  ['a key twice', '{"to":"ana","message":"m","message":"n"}', null],
  ['a key twice, one of them escaped', '{"to":"ana","message":"m","m\\u0065ssage":"n"}', null],
  ['a key twice in data', '{"to":"ana","message":"m","data":{"a":1,"a":2}}', null],
  ['a key twice deep in data', '{"to":"ana","message":"m","data":{"a":[0,{"b":{"c":1,"\\u0063":1}}]}}', null],
  ['a key twice in an action', '{"to":"ana","message":"m","actions":[{"label":"a","url":"/a","url":"/b"}]}', null],
  ['data nested without end', `{"to":"ana","message":"m","data":${nested(5_000)}}`, null],
  ['data nested deeper than clients can read', `{"to":"ana","message":"m","data":${nested(125)}}`, null],
  ['a byte order mark', `\ufeff${json(ana)}`, []],
  ['a number that is none', '{"to":"ana","message":"m","data":{"a":1e999}}', null],
  ['no user', json({ message: 'm' }), ['to']],
  ['no message', json({ to: 'ana' }), ['message']],
  ['neither', '{}', ['to']],
  ['an unknown field', json({ ...ana, colour: 'red' }), ['colour']],
  ...['id', 'seq', 'rev', 'is_read', 'status', 'timestamp', 'delivered_at', 'user_id'].map((name) => [
    `the server's own ${name}`, json({ ...ana, [name]: 'x' }), [name],
  ]),
  ...[7, null, true, '', '.', '..', ['ana', '..'], 'a\u202eb', 'a\u2066b', 'x'.repeat(129), 'a\u0000', 'a\nb', '\u007f', [], [7], ['ana', ''], {}, { nobody: 1 }, { everyone: 'yes' },
    Array.from({ length: 1_001 }, (_, index) => `u${index}`)].map((to) => [
    `to ${json(to).slice(0, 40)}`, json({ ...ana, to }), ['to'],
  ]),
  ...['', 7, null, {}, [], 'x'.repeat(4_097), 'ä'.repeat(2_049)].map((message) => [
    `message ${json(message).slice(0, 20)}`, json({ ...ana, message }), ['message'],
  ]),
  ...[7, [], 't'.repeat(257)].map((title) => [`title ${json(title).slice(0, 20)}`, json({ ...ana, title }), ['title']]),
  ...[7, 'x', [], true, { a: 'x'.repeat(16 * 1_024) }].map((data) => [`data ${json(data).slice(0, 20)}`, json({ ...ana, data }), ['data']]),
  ...[7, '', 'c'.repeat(65), 'a\u0001b'].map((category) => [`category ${json(category).slice(0, 20)}`, json({ ...ana, category }), ['category']]),
  ...[7, '', 'HIGH', 'critical'].map((priority) => [`priority ${json(priority)}`, json({ ...ana, priority }), ['priority']]),
  ...['', 'javascript:alert(1)', 'JavaScript:alert(1)', 'data:text/html,x', '//evil.example', '/\\evil.example', 'ftp://a', 'orders/1', 'https://',
    '/a b', 7].flatMap((url) => [
    [`url ${json(url)}`, json({ ...ana, url }), ['url']],
    [`avatar ${json(url)}`, json({ ...ana, avatar: url }), ['avatar']],
  ]),
  ['actions that are no list', json({ ...ana, actions: {} }), ['actions']],
  ['four actions', json({ ...ana, actions: Array.from({ length: 4 }, () => ({ label: 'a', url: '/' })) }), ['actions']],
  ['an action without a label', json({ ...ana, actions: [{ url: '/' }] }), ['actions[0].label']],
  ['an action without a url', json({ ...ana, actions: [{ label: 'a', url: '/' }, { label: 'a' }] }), ['actions[1].url']],
  ['an action that runs', json({ ...ana, actions: [{ label: 'a', url: 'javascript:1' }] }), ['actions[0].url']],
  ['an action with more', json({ ...ana, actions: [{ label: 'a', url: '/', colour: 1 }] }), ['actions[0].colour']],
  ...['tomorrow', 7, '2099-01-01', '2099-01-01T00:00:00'].map((at) => [`expires_at ${json(at)}`, json({ ...ana, expires_at: at }), ['expires_at']]),
  ...[0, -1, 1.5, '60', true, 1e12].map((ttl) => [`ttl_seconds ${json(ttl)}`, json({ ...ana, ttl_seconds: ttl }), ['ttl_seconds']]),
  ['two ends', json({ ...ana, ttl_seconds: 60, expires_at: '2099-01-01T00:00:00Z' }), ['ttl_seconds']],
  ...['', 7, 'k'.repeat(256)].map((key) => [`collapse_key ${json(key).slice(0, 20)}`, json({ ...ana, collapse_key: key }), ['collapse_key']]),
  ['several at once', json({ to: '', message: '', title: 't'.repeat(257), priority: 'x' }), ['to', 'message', 'title', 'priority']],
];

const ids = ['0198c0de-0000-7000-8000-000000000001'];
const MARKS = [
  ['nothing', '{}', ['op']],
  ['not JSON', 'x', []],
  ['an unknown op', json({ op: 'READ', all: true }), ['op']],
  ['a number as op', json({ op: 7, all: true }), ['op']],
  ['no target', json({ op: 'read' }), null],
  ['two targets', json({ op: 'read', all: true, ids }), null],
  ['two other targets', json({ op: 'read', up_to: 1, all: true }), null],
  ['all: false', json({ op: 'read', all: false }), ['all']],
  ['ids that are no list', json({ op: 'read', ids: ids[0] }), ['ids']],
  ['ids that are numbers', json({ op: 'read', ids: [7] }), ['ids']],
  ['an id that is no text among others', json({ op: 'read', ids: [ids[0], 'tmp-1', null] }), ['ids']],
  ['too many ids', json({ op: 'read', ids: Array.from({ length: 1_001 }, () => ids[0]) }), ['ids']],
  ['a negative up_to', json({ op: 'read', up_to: -1 }), ['up_to']],
  ['a fraction as up_to', json({ op: 'read', up_to: 1.5 }), ['up_to']],
  ['an up_to beyond u64', '{"op":"read","up_to":18446744073709551616}', ['up_to']],
  ['a number as category', json({ op: 'read', all: true, category: 7 }), ['category']],
  ['an unknown field', json({ op: 'read', all: true, colour: 1 }), ['colour']],
  ['a key twice', '{"op":"read","op":"delete","all":true}', null],
];

const ACKS = [
  ['nothing', '{}', ['rev']],
  ['a text', json({ rev: '1' }), ['rev']],
  ['a negative rev', json({ rev: -1 }), ['rev']],
  ['more than u64', '{"rev":1e30}', ['rev']],
  ['a rev above the head', json({ rev: 2 }), ['rev']],
  ['an empty device', json({ rev: 1, device_id: '' }), ['device_id']],
  ['a device with a control character', json({ rev: 1, device_id: 'a\u0000' }), ['device_id']],
  ['an unknown field', json({ rev: 1, colour: 1 }), ['colour']],
];

const BATCHES = [
  ['nothing', '{}', ['notifications']],
  ['no list', json({ notifications: ana }), ['notifications']],
  ['an unknown field', json({ notifications: [ana], colour: 1 }), ['colour']],
  ['a key twice', `{"notifications":[${json(ana)}],"notifications":[]}`, null],
  ['cut off inside an item', `{"notifications":[${json(ana)},{"to":"ana"`, []],
];

/** One server for a whole table; each row must leave it as it was. */
async function refuseAll(t, path, rows) {
  const server = await Server.start(t);
  await server.send('ana', 'the one that is there');
  const before = await server.changes('ana');
  const wrong = [];
  for (const [name, body, fields] of rows) {
    const answer = await server.request('POST', path, body);
    const problem = answer.body;
    const named = (problem?.errors ?? []).map(({ field }) => field);
    const faults = [
      answer.status !== 400 && `was answered ${answer.status}`,
      !/^application\/problem\+json/.test(answer.type) && `came as ${answer.type}`,
      problem?.code !== 'invalid_request' && `has the code ${problem?.code}`,
      problem?.status !== 400 && `says status ${problem?.status}`,
      !(problem?.detail?.length > 0) && 'has no detail',
      fields && fields.some((field) => !named.some((one) => one === field || one.startsWith(`${field}[`) || one.startsWith(`${field}.`))) && `names ${json(named)}, not ${json(fields)}`,
      answer.text.length > 4_096 && `takes ${answer.text.length} bytes`,
    ].filter(Boolean);
    if (faults.length > 0) wrong.push(`${name}: ${faults.join(', ')}`);
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(await server.changes('ana'), before, 'nothing was stored');
  for (const user of ['bo', 'u0', 'x'.repeat(128)]) assert.equal((await server.inbox(user)).meta.head, 0);
}

describe('bodies', { concurrency: 3 }, () => {
  test('of a send', (t) => refuseAll(t, SEND, BODIES));
  test('of a batch', (t) => refuseAll(t, `${SEND}/batch`, BATCHES));
  test('of a mark', (t) => refuseAll(t, `${userPath('ana')}/inbox/mark`, MARKS));
  test('of an ack', (t) => refuseAll(t, `${userPath('ana')}/inbox/ack`, ACKS));
});

describe('the rest of a request', { concurrency: 3 }, () => {
  const refused = async (server, [method, path, body, headers], status, code, fields) => {
    const answer = await server.request(method, path, body, headers);
    const name = `${method} ${path}`.slice(0, 120);
    assert.equal(answer.status, status, `${name}: ${answer.text}`);
    assert.match(answer.type, /^application\/problem\+json/, name);
    assert.equal(answer.body.code, code, name);
    assert.equal(answer.body.status, status, name);
    if (fields) assert.deepEqual(answer.body.errors.map(({ field }) => field), fields, name);
    return answer;
  };

  test('another content type', async (t) => {
    const server = await Server.start(t);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'multipart/form-data; boundary=x', 'application/jsonp', '']) {
      for (const path of [SEND, `${SEND}/batch`, '/api/notifications/send', `${userPath('ana')}/inbox/mark`]) {
        await refused(server, ['POST', path, Buffer.from(json({ ...ana, user_id: 'ana' })), { 'content-type': type }], 415, 'unsupported_media_type');
      }
    }
    assert.equal((await server.inbox('ana')).meta.head, 0);
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8']) {
      assert.equal((await server.request('POST', SEND, json(ana), { 'content-type': type })).status, 201, type);
    }
  });

  test('another method', async (t) => {
    const server = await Server.start(t);
    for (const [method, path, allowed] of [
      ['GET', SEND, 'POST'], ['PUT', SEND, 'POST'], ['DELETE', SEND, 'POST'], ['GET', '/api/notifications/send/', null],
      ['POST', `${userPath('ana')}/inbox`, 'GET'], ['GET', `${userPath('ana')}/inbox/mark`, 'POST'], ['DELETE', '/api/health', 'GET'],
      ['POST', `${userPath('ana')}/devices`, 'GET'], ['PUT', `${SEND}/${ids[0]}`, 'PATCH'],
    ]) {
      if (allowed === null) continue;
      const { headers } = await refused(server, [method, path], 405, 'method_not_allowed');
      assert.ok(headers.get('allow')?.includes(allowed), `${method} ${path}: Allow: ${headers.get('allow')}`);
    }
  });

  test('an unknown route', async (t) => {
    const server = await Server.start(t);
    for (const path of ['/nothing', '/v1', '/v1/nothing', '/v2/notifications', '/api/nothing', '/v1/users/ana', '/v1/users/ana/nothing', '/console/nothing.js', '/console/../Cargo.toml', '/console/%2e%2e/Cargo.toml']) {
      await refused(server, ['GET', path], 404, 'not_found');
    }
  });

  test('a body that is too large', async (t) => {
    const server = await Server.start(t);
    const padded = (bytes) => json(ana) + ' '.repeat(bytes - json(ana).length);
    assert.equal((await server.request('POST', SEND, padded(262_144))).status, 201);
    await refused(server, ['POST', SEND, padded(262_145)], 413, 'payload_too_large');
    await refused(server, ['POST', `${userPath('ana')}/inbox/mark`, padded(262_145)], 413, 'payload_too_large');
    await refused(server, ['POST', `${SEND}/batch`, `{"notifications":[]${' '.repeat(4_194_304)}}`], 413, 'payload_too_large');
    assert.equal((await server.request('POST', `${SEND}/batch`, `{"notifications":[${json(ana)}]${' '.repeat(300_000)}}`)).status, 200);
    assert.equal((await server.counts('ana')).total, 2);
  });

  test('bad questions to an inbox', async (t) => {
    const server = await Server.start(t);
    const inbox = `${userPath('ana')}/inbox`;
    for (const [query, field] of [
      ['status=nope', 'status'], ['status=', 'status'], ['archived=yes', 'archived'], ['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=-1', 'limit'],
      ['limit=ten', 'limit'], ['limit=99999999999999999999', 'limit'], ['before=nonsense', 'before'], ['after=nonsense', 'after'], ['before=', 'before'],
    ]) {
      await refused(server, ['GET', `${inbox}?${query}`], 400, 'invalid_request', [field]);
    }
  });

  test('5,000 parameters', async (t) => {
    const server = await Server.start(t);
    const many = Array.from({ length: 5_000 }, (_, index) => `${index.toString(36)}`).join('&');
    for (const path of [`${userPath('ana')}/inbox`, '/api/notifications/ana']) {
      await refused(server, ['GET', `${path}?${many.slice(0, 12_000)}`], 400, 'invalid_request');
    }
  });

  test('gzip that is too much, broken or of another kind', async (t) => {
    const server = await Server.start(t);
    const zipped = (text) => gzipSync(Buffer.from(text));
    const gzip = { 'content-encoding': 'gzip' };
    const bomb = zipped(json(ana) + ' '.repeat(262_144));
    assert.ok(bomb.length < 1_000);
    for (const path of [SEND, '/api/notifications/send', `${userPath('ana')}/inbox/mark`]) {
      await refused(server, ['POST', path, bomb, gzip], 413, 'payload_too_large');
      await refused(server, ['POST', path, zipped(json(ana)).subarray(0, -1), gzip], 400, 'invalid_request');
      await refused(server, ['POST', path, Buffer.from(json(ana)), gzip], 400, 'invalid_request');
      await refused(server, ['POST', path, zipped('{'), gzip], 400, 'invalid_request');
      for (const encoding of ['br', 'deflate', 'gzip, gzip', 'nonsense']) {
        await refused(server, ['POST', path, zipped(json(ana)), { 'content-encoding': encoding }], 415, 'unsupported_media_type');
      }
    }
    await refused(server, ['POST', `${SEND}/batch`, zipped(`{"notifications":[]${' '.repeat(4_194_304)}}`), gzip], 413, 'payload_too_large');
    assert.equal((await server.inbox('ana')).meta.head, 0);
  });

  test('users that cannot be', async (t) => {
    const server = await Server.start(t);
    for (const user of ['%00', 'a%0Ab', '%7F', 'x'.repeat(129), '%F0%9F%A6'.padEnd(9), 'a%E2%80%AEb', '%E2%81%A6']) {
      for (const tail of ['inbox', 'inbox/counts', 'inbox/changes?since=0', 'devices', 'stream']) {
        await refused(server, ['GET', `/v1/users/${user.trim()}/${tail}`], 400, 'invalid_request');
      }
      await refused(server, ['GET', `/api/notifications/${user.trim()}`], 400, 'invalid_request');
    }
  });
});

describe('who asks', { concurrency: 3 }, () => {
  /** By node:http, which lets a client say any Host and Origin. */
  const ask = (server, { method = 'GET', path, headers = {}, body }) =>
    new Promise((settle, reject) => {
      const asked = request({ host: '127.0.0.1', port: server.port, method, path, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
        response.on('end', () => settle({ status: response.statusCode, headers: response.headers, text }));
      });
      asked.on('error', reject);
      asked.end(body);
    });
  const send = (headers) => ({ method: 'POST', path: SEND, headers: { 'content-type': 'application/json', ...headers }, body: json(ana) });

  test('a page of another origin is refused everywhere', async (t) => {
    const server = await Server.start(t);
    for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example', 'http://127.0.0.1.evil.example']) {
      for (const asked of [
        send({ origin }), { path: `${userPath('ana')}/inbox`, headers: { origin } }, { path: `${userPath('ana')}/stream`, headers: { origin } },
        { path: '/socket.io/?EIO=4&transport=polling', headers: { origin } },
      ]) {
        const answer = await ask(server, asked);
        assert.equal(answer.status, 403, `${origin} ${asked.path}: ${answer.text}`);
        assert.equal(answer.headers['access-control-allow-origin'], undefined);
      }
      const socket = new Wire(server.url, { user_id: 'ana' }, { origin });
      t.after(() => socket.vanish());
      await socket.closed;
      assert.match(String(socket.error), /403/, origin);
    }
    assert.equal((await server.inbox('ana')).meta.head, 0);
  });

  test('a page on this machine is allowed, with what CORS needs', async (t) => {
    const server = await Server.start(t);
    for (const origin of [server.url, 'http://localhost:5173', 'http://127.0.0.1:8080', 'http://[::1]:9']) {
      const answer = await ask(server, send({ origin }));
      assert.equal(answer.status, 201, origin);
      if (origin !== server.url) assert.equal(answer.headers['access-control-allow-origin'], origin);
      const before = await ask(server, {
        method: 'OPTIONS', path: SEND,
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,idempotency-key' },
      });
      assert.ok(before.status === 200 || before.status === 204, `${before.status}`);
      if (origin !== server.url) {
        assert.match(before.headers['access-control-allow-methods'], /POST|\*/);
        assert.match(before.headers['access-control-allow-headers'], /content-type.*idempotency-key|idempotency-key.*content-type|\*/i);
      }
    }
  });

  test('in open mode the Host must be this machine', async (t) => {
    const server = await Server.start(t);
    for (const host of ['evil.example', `evil.example:${server.port}`, 'localhost.evil.example', '10.0.0.1']) {
      for (const asked of [send({ host }), { path: '/', headers: { host } }, { path: '/socket.io/?EIO=4&transport=polling', headers: { host } }]) {
        assert.equal((await ask(server, asked)).status, 403, `${host} ${asked.path}`);
      }
    }
    assert.equal((await server.inbox('ana')).meta.head, 0);
    for (const host of ['localhost', `localhost:${server.port}`, '127.0.0.1', `[::1]:${server.port}`]) {
      assert.equal((await ask(server, send({ host }))).status, 201, host);
    }
  });
});
