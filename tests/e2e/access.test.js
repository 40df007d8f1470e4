// Nobody in who does not belong: a table of attacks over every way in, with the legitimate neighbour of each.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect } from './rig/socket.js';
import { runToEnd, Server, temporaryFolder, userPath } from './rig/server.js';
import { ACCEPTED, AUDIENCE, claims, hs256, ISSUER, jwks, REFUSED, rsaPem, SECRET } from './rig/tokens.js';
import { until } from './rig/until.js';

const KEY = 'an-api-key-of-the-tests-0123456789';
const OLD_KEY = 'the-key-before-it-0123456789abcdef';
const asKey = { authorization: `Bearer ${KEY}` };
const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** A server with keys of every kind. */
async function guarded(t, env = {}) {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'public.pem');
  await writeFile(file, rsaPem);
  const published = createServer((_, answer) => answer.end(JSON.stringify(jwks())));
  await new Promise((settle) => published.listen(0, '127.0.0.1', settle));
  t.after(() => published.close());
  return Server.start(t, {
    env: {
      TIDINGS_BIND: '127.0.0.1',
      TIDINGS_API_KEYS: `${KEY}, ${OLD_KEY}`,
      TIDINGS_JWT_SECRET: SECRET,
      TIDINGS_JWT_PUBLIC_KEY_FILE: file,
      TIDINGS_JWKS_URL: `http://127.0.0.1:${published.address().port}/keys`,
      TIDINGS_JWT_AUDIENCE: AUDIENCE,
      TIDINGS_JWT_ISSUER: ISSUER,
      ...env,
    },
  });
}

/** A status and code of an HTTP answer; of a stream that opened, only its head. */
async function knock(server, path, headers = {}, { method = 'GET', body } = {}) {
  const stop = new AbortController();
  const response = await fetch(server.url + path, {
    method,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    body,
    signal: stop.signal,
  });
  if ((response.headers.get('content-type') ?? '').startsWith('text/event-stream')) {
    stop.abort();
    return { status: response.status };
  }
  const text = await response.text();
  return { status: response.status, code: /json/.test(response.headers.get('content-type')) ? JSON.parse(text).code : undefined };
}

/** Every way in, each giving `in`, or the code of the refusal. */
const WAYS = {
  HTTP: async (t, server, token) => outcome(await knock(server, `${userPath('ana')}/inbox`, token ? bearer(token) : {})),
  'the original list': async (t, server, token) =>
    outcome(await knock(server, '/api/notifications/ana', token ? bearer(token) : {})),
  'SSE by header': async (t, server, token) => outcome(await knock(server, `${userPath('ana')}/stream`, token ? bearer(token) : {})),
  'SSE by query': async (t, server, token) =>
    outcome(await knock(server, `${userPath('ana')}/stream${token ? `?access_token=${encodeURIComponent(token)}` : ''}`)),
  websocket: (t, server, token) => socket(t, server, token, ['websocket']),
  polling: (t, server, token) => socket(t, server, token, ['polling']),
  register_user: async (t, server, token) => {
    const client = connect(t, server.url, { transports: ['websocket'] });
    await client.connected();
    const answer = await client.emit('register_user', { user_id: 'ana', ...(token && { token }) });
    client.socket.disconnect();
    return answer.ok ? 'in' : answer.code;
  },
};

const outcome = ({ status, code }) => (status === 200 ? 'in' : status === 401 ? code : `${status} ${code}`);

async function socket(t, server, token, transports) {
  const client = connect(t, server.url, { transports, auth: { user_id: 'ana', ...(token && { token }) } });
  const found = await until('an answer to CONNECT', () => client.failures[0] ?? client.all('inbox_ready')[0]);
  client.socket.disconnect();
  return found instanceof Error ? found.data?.code : 'in';
}

describe('keys and tokens', { concurrency: 2 }, () => {
  test('a table of attacks over every way in', { timeout: 300_000 }, async (t) => {
    const server = await guarded(t);
    const wrong = [];
    const rows = [
      ['nothing at all', () => undefined, 'unauthorized'],
      ['an unknown API key', () => `${KEY}x`, 'unauthorized'],
      ['half an API key', () => KEY.slice(0, -1), 'unauthorized'],
      ...Object.entries(REFUSED).map(([name, make]) => [name, make, 'unauthorized']),
      ...Object.entries(ACCEPTED).map(([name, make]) => [name, make, 'in']),
      ['the API key', () => KEY, 'in'],
      ['the API key before it', () => OLD_KEY, 'in'],
    ];
    for (const [name, make, expected] of rows) {
      for (const [way, through] of Object.entries(WAYS)) {
        // No request's head holds 20 KB: the server refuses it before it looks.
        if (name === 'a token of 20 KB' && /HTTP|SSE|list/.test(way)) continue;
        const found = await through(t, server, make()).catch((error) => error.message);
        if (found !== expected) wrong.push(`${name}, by ${way}: ${found} instead of ${expected}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(!server.log.includes(KEY) && !server.log.includes(SECRET), 'a secret in the log');
    assert.ok(!/eyJ[\w-]+\.eyJ/.test(server.log), 'a token in the log');
  });

  test("another user's everything", async (t) => {
    const server = await guarded(t);
    const { notifications } = await server.ask('POST', '/v1/notifications', { to: ['bo', 'ana'], message: 'm' }, asKey);
    const [ofBo, ofAna] = notifications;
    const ana = bearer(hs256());
    const json = (body) => JSON.stringify(body);
    const bo = userPath('bo');
    for (const [method, path, body] of [
      ['GET', `${bo}/inbox`],
      ['GET', `${bo}/inbox/changes?since=0`],
      ['GET', `${bo}/inbox/counts`],
      ['POST', `${bo}/inbox/mark`, json({ op: 'read', all: true })],
      ['POST', `${bo}/inbox/ack`, json({ rev: 1 })],
      ['GET', `${bo}/stream`],
      ['GET', `${bo}/devices`],
      ['GET', '/api/notifications/bo'],
      ['POST', '/api/notifications/send', json({ user_id: 'ana', message: 'm' })],
      ['POST', '/v1/notifications', json({ to: 'ana', message: 'm' })],
      ['POST', '/v1/notifications/batch', json({ notifications: [{ to: 'ana', message: 'm' }] })],
      ['GET', `/v1/notifications/${ofBo.id}`],
      ['PATCH', `/v1/notifications/${ofBo.id}`, json({ message: 'x' })],
      ['DELETE', `/v1/notifications/${ofBo.id}`],
      ['DELETE', `/v1/notifications/${ofAna.id}`],
      ['POST', `${userPath('ana')}/tokens`, json({})],
      ['POST', `${bo}/tokens`, json({})],
      ['DELETE', `${bo}/sessions`],
    ]) {
      const { status, code } = await knock(server, path, ana, { method, body });
      assert.deepEqual([status, code], [403, 'forbidden'], `${method} ${path}`);
    }
    // Marking the id of another user's notification in one's own inbox reaches nothing.
    const own = await server.ask('POST', `${userPath('ana')}/inbox/mark`, { op: 'delete', ids: [ofBo.id] }, ana);
    assert.equal(own.changed, 0);
    const inbox = await server.ask('GET', `${bo}/inbox`, undefined, asKey);
    assert.deepEqual([inbox.data.length, inbox.meta.unread, inbox.data[0].status], [1, 1, 'pending']);

    const client = connect(t, server.url, { auth: { token: hs256() } });
    await client.ready();
    for (const argument of ['bo', { user_id: 'bo' }, { user_id: 'bo', token: hs256() }]) {
      assert.equal((await client.emit('register_user', argument)).code, 'forbidden');
    }
    assert.equal((await client.emit('refresh_token', hs256(claims('bo')))).code, 'forbidden');
  });

  test('a foreign pid, device and cursor open nothing', async (t) => {
    const server = await guarded(t);
    await server.ask('POST', '/v1/notifications', { to: 'bo', message: 'for bo' }, asKey);
    const bo = connect(t, server.url, { auth: { token: hs256(claims('bo')), device_id: 'phone' } });
    await bo.count(1);
    const pid = bo.socket._pid;
    assert.ok(pid);
    const stolen = { pid, offset: bo.socket._lastOffset, device_id: 'phone' };

    const nobody = connect(t, server.url, { auth: stolen, transports: ['websocket'] });
    await nobody.connected();
    assert.equal((await nobody.emit('mark', { op: 'read', all: true })).code, 'unauthorized');
    assert.deepEqual(nobody.received, []);

    const ana = connect(t, server.url, { auth: { token: hs256(), ...stolen }, transports: ['websocket'] });
    const info = await ana.ready();
    assert.deepEqual([info.user_id, info.head, info.cursor], ['ana', 0, 0]);
    assert.notEqual(ana.socket._pid, pid, 'the foreign pid was given to another user');

    // Bo comes back to his own place all the same.
    bo.socket.io.engine.close();
    await bo.event('inbox_ready', 2);
    assert.equal(bo.all('inbox_ready')[1][0].mode, 'resume');
    assert.deepEqual(bo.messages, ['for bo']);
  });

  test('a socket may register with a token after it connected', async (t) => {
    const server = await guarded(t);
    const client = connect(t, server.url);
    await client.connected();
    assert.equal((await client.emit('register_user', 'ana')).code, 'unauthorized');
    assert.equal((await client.emit('register_user', { token: hs256() })).user_id, 'ana');
    assert.equal((await client.emit('register_user', 'ana')).ok, true);
  });

  test('minted tokens, by the route and by the command', async (t) => {
    const server = await guarded(t);
    const path = `${userPath('ana')}/tokens`;
    const minted = await server.request('POST', path, { ttl_seconds: 60 }, asKey);
    assert.equal(minted.status, 201);
    const left = Date.parse(minted.body.expires_at) - Date.now();
    assert.ok(left > 50_000 && left <= 61_000, `${left} ms left`);
    assert.equal(await WAYS.HTTP(t, server, minted.body.token), 'in');
    // The body may be left out, with its type and without.
    for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'text/plain' }]) {
      const { status, body } = await server.request('POST', path, undefined, { ...asKey, ...headers });
      assert.equal(status, 201, JSON.stringify(headers));
      assert.equal(await WAYS.HTTP(t, server, body.token), 'in');
    }
    assert.equal((await server.request('POST', path, 'x', asKey)).status, 400);
    assert.equal((await server.request('POST', path, '{}', { ...asKey, 'content-type': 'text/plain' })).status, 415);
    for (const ttl_seconds of [0, -1, 1.5, '60', 10 ** 12]) {
      assert.equal((await server.request('POST', path, { ttl_seconds }, asKey)).body.code, 'invalid_request');
    }
    const env = { TIDINGS_JWT_SECRET: SECRET, TIDINGS_JWT_AUDIENCE: AUDIENCE, TIDINGS_JWT_ISSUER: ISSUER };
    const { code, stdout } = await runToEnd(t, { args: ['token', 'ana', '--ttl-seconds', '60'], env });
    assert.equal(code, 0);
    assert.equal(await WAYS.websocket(t, server, stdout.trim()), 'in');
    const without = await runToEnd(t, { args: ['token', 'ana'] });
    assert.equal(without.code, 1);
    assert.match(without.stderr, /TIDINGS_JWT_SECRET/);
  });
});

describe('the end of a token', { concurrency: 4 }, () => {
  test('is announced, put off by refresh_token, and ends the socket', async (t) => {
    const server = await guarded(t);
    const short = () => hs256(claims('ana', { exp: Math.floor(Date.now() / 1000) + 4 }));
    const client = connect(t, server.url, { auth: { token: short() }, reconnection: false });
    await client.ready();
    const [expiring] = await client.event('session_expiring');
    assert.ok(Date.parse(expiring.expires_at) > Date.now(), 'told only when it was over');
    const refreshed = await client.emit('refresh_token', hs256(claims('ana', { exp: Math.floor(Date.now() / 1000) + 8 })));
    assert.equal(refreshed.ok, true);
    assert.ok(Date.parse(refreshed.expires_at) > Date.parse(expiring.expires_at));
    for (const bad of ['nonsense', 7, null]) assert.equal((await client.emit('refresh_token', bad)).ok, false);
    // Beyond the end of the first one it is still served.
    await until('the first token is over', () => Date.now() > Date.parse(expiring.expires_at) + 500);
    await server.ask('POST', '/v1/notifications', { to: 'ana', message: 'still here' }, asKey);
    await client.count(1);
    await client.event('session_expiring', 2);
    await client.disconnected(40_000);
    assert.ok(Date.now() >= Date.parse(refreshed.expires_at));
  });

  test('ends a stream', async (t) => {
    const server = await guarded(t);
    const token = hs256(claims('ana', { exp: Math.floor(Date.now() / 1000) + 2 }));
    const response = await fetch(`${server.url}${userPath('ana')}/stream?access_token=${token}`);
    assert.equal(response.status, 200);
    const text = await response.text();
    assert.match(text, /event: inbox_ready/);
  });

  test("a user's sessions are ended now, and their tokens with them", async (t) => {
    const server = await guarded(t);
    const token = hs256();
    const client = connect(t, server.url, { auth: { token } });
    const bystander = connect(t, server.url, { auth: { token: hs256(claims('bo')) } });
    await Promise.all([client.ready(), bystander.ready()]);
    const stream = await fetch(`${server.url}${userPath('ana')}/stream`, { headers: bearer(token) });
    const gone = client.disconnected();
    const { ended } = await server.ask('DELETE', `${userPath('ana')}/sessions`, undefined, asKey);
    assert.equal(ended, 2);
    assert.equal(await gone, 'io server disconnect');
    await stream.text();
    for (const [way, through] of Object.entries(WAYS)) assert.equal(await through(t, server, token), 'unauthorized', way);
    await server.kill();
    await server.restart();
    assert.equal(await WAYS.HTTP(t, server, token), 'unauthorized', 'forgotten by a restart');
    const later = Math.floor(Date.now() / 1000) + 1;
    await until('a token of a later second', () => Date.now() / 1000 > later);
    assert.equal(await WAYS.websocket(t, server, hs256()), 'in');
    assert.equal((await bystander.emit('mark', { op: 'seen', all: true })).ok, true);
  });
});

describe('keys that cannot be used', { concurrency: 4 }, () => {
  for (const [name, env] of Object.entries({
    'a short API key': { TIDINGS_API_KEYS: 'short' },
    'a short secret': { TIDINGS_JWT_SECRET: 'short' },
    'no such file': { TIDINGS_JWT_PUBLIC_KEY_FILE: '/nonexistent.pem' },
    'a JWKS URL that is none': { TIDINGS_JWKS_URL: 'ftp://example.org/keys' },
    'a certificate without its key': { TIDINGS_TLS_CERT_FILE: '/nonexistent.pem' },
  })) {
    test(name, async (t) => {
      const { code, stderr } = await runToEnd(t, { env: { PORT: '0', ...env } });
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`^tidings: .*${Object.keys(env)[0]}`, 'm'));
      assert.ok(!stderr.includes('panicked') && stderr.trim().split('\n').length === 1, stderr);
      if (!name.includes('file') && !name.includes('cert')) assert.ok(!stderr.includes("'short'") && !stderr.includes('"short"'));
    });
  }

  test('a JWKS URL without an audience, or over plain http, is one warning each', async (t) => {
    const published = createServer((_, answer) => answer.end(JSON.stringify(jwks())));
    await new Promise((settle) => published.listen(0, '127.0.0.1', settle));
    t.after(() => published.close());
    const keys = { TIDINGS_BIND: '127.0.0.1', TIDINGS_JWKS_URL: `http://127.0.0.1:${published.address().port}/keys?secret=hunter2` };
    const warned = (log) => ['without TIDINGS_JWT_AUDIENCE', 'is not https'].map((words) => log.split(words).length - 1);
    const bare = await Server.start(t, { env: keys });
    assert.deepEqual(warned(bare.log), [1, 1]);
    assert.doesNotMatch(bare.log, /hunter2/);
    const bound = await Server.start(t, { env: { ...keys, TIDINGS_JWT_AUDIENCE: AUDIENCE } });
    assert.deepEqual(warned(bound.log), [0, 1]);
    const neither = await Server.start(t, { env: { TIDINGS_BIND: '127.0.0.1', TIDINGS_JWT_SECRET: SECRET } });
    assert.deepEqual(warned(neither.log), [0, 0]);
  });

  test('secrets are hidden by tidings config', async (t) => {
    const env = { TIDINGS_API_KEYS: KEY, TIDINGS_JWT_SECRET: SECRET };
    const { code, stdout, stderr } = await runToEnd(t, { args: ['config'], env });
    assert.equal(code, 0);
    assert.match(stdout, /^TIDINGS_API_KEYS=\(hidden\)/m);
    assert.match(stdout, /^TIDINGS_BIND=0\.0\.0\.0/m);
    assert.ok(!(stdout + stderr).includes(KEY) && !(stdout + stderr).includes(SECRET));
  });
});

describe('limits', { concurrency: 4 }, () => {
  const limited = (t, env) => Server.start(t, { env: { TIDINGS_LIMIT_LOOPBACK: 'true', ...env } });

  test('requests a second from one address', async (t) => {
    const server = await limited(t, { TIDINGS_MAX_REQUESTS_PER_SECOND: '5' });
    const answers = await Promise.all(Array.from({ length: 40 }, () => server.request('GET', '/v1/users/ana/inbox')));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 20, `${refused.length} were refused`);
    assert.ok(answers.some(({ status }) => status === 200));
    assert.equal(refused[0].body.code, 'rate_limited');
    assert.ok(Number(refused[0].headers.get('retry-after')) >= 1);
  });

  test("a trusted proxy's word for an address counts, nobody else's", async (t) => {
    const env = { TIDINGS_MAX_REQUESTS_PER_SECOND: '3' };
    const [trusting, wary] = await Promise.all([
      limited(t, { ...env, TIDINGS_TRUSTED_PROXIES: '127.0.0.0/8' }),
      limited(t, env),
    ]);
    const flood = (server) =>
      Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          server.request('GET', '/v1/users/ana/inbox', undefined, { 'x-forwarded-for': `203.0.113.${n}` }),
        ),
      );
    assert.ok((await flood(trusting)).every(({ status }) => status === 200));
    assert.ok((await flood(wary)).some(({ status }) => status === 429));
  });

  test('sockets of one user', async (t) => {
    const server = await limited(t, { TIDINGS_MAX_SOCKETS_PER_USER: '2' });
    const attach = (user_id) => connect(t, server.url, { auth: { user_id }, transports: ['websocket'] });
    await Promise.all([attach('ana').ready(), attach('ana').ready()]);
    assert.equal((await attach('ana').refused()).data.code, 'rate_limited');
    await attach('bo').ready();
  });

  test('events a second from one socket: none is refused, all are carried out by and by', async (t) => {
    const server = await limited(t, { TIDINGS_MAX_EVENTS_PER_SECOND: '20' });
    const client = connect(t, server.url, { auth: { user_id: 'ana' }, transports: ['websocket'], reconnection: false });
    await client.ready();
    const answers = [];
    for (const event of ['ack_notifications', 'unheard_of']) {
      for (let n = 0; n < 60; n += 1) client.socket.emit(event, { rev: 0 }, (answer) => answers.push(answer));
    }
    await until('all are answered', () => answers.length === 120);
    assert.deepEqual(new Set(answers.map(({ ok, code }) => code ?? ok)), new Set([true, 'not_found']));
    assert.ok(client.socket.connected);
  });

  test('a socket that never registers', async (t) => {
    const server = await limited(t, { TIDINGS_REGISTER_SECONDS: '1' });
    const client = connect(t, server.url, { transports: ['websocket'], reconnection: false });
    await client.connected();
    assert.equal(await client.disconnected(), 'transport close');
  });
});
