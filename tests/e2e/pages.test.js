// Browsers and app shells: which pages may talk to the server, by which of its names, and what they are told.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import net from 'node:net';
import { describe, test } from 'node:test';
import { Raw } from './rig/raw.js';
import { runToEnd, Server, userPath } from './rig/server.js';
import { until } from './rig/until.js';
import { Wire } from './rig/wire.js';

const KEY = 'an-api-key-of-the-tests-0123456789';
const authorization = `Bearer ${KEY}`;
const SEND = '/v1/notifications';
const POLLING = '/socket.io/?EIO=4&transport=polling';
const STREAM = `${userPath('ana')}/stream`;

const keyed = (t, env = {}) => Server.start(t, { env: { TIDINGS_BIND: '127.0.0.1', TIDINGS_API_KEYS: KEY, ...env } });
const beyond = (t, env = {}) => Server.start(t, { env: { TIDINGS_BIND: '0.0.0.0', TIDINGS_ALLOW_OPEN: 'true', ...env } });

/** By node:http, which lets a client say any header. Of a stream only the head is waited for. */
function ask(server, { method = 'GET', path = '/', headers = {}, body }) {
  return new Promise((settle, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, method, path, headers, agent: false }, (response) => {
      if (/event-stream/.test(response.headers['content-type'])) {
        settle({ status: response.statusCode, headers: response.headers });
        response.destroy();
        return;
      }
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => settle({ status: response.statusCode, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** What a websocket's handshake is answered, and whether it was taken. */
async function websocket(server, headers) {
  const raw = new Raw(server);
  const lines = { host: `127.0.0.1:${server.port}`, ...headers };
  raw.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}` +
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await raw.got('\r\n\r\n');
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(raw.answer)?.[1]);
  await raw.vanish();
  return { status };
}

/** Every way in, each asked with these headers: the statuses. */
async function everyWay(server, headers) {
  const asJson = { 'content-type': 'application/json', ...headers };
  const answers = await Promise.all([
    ask(server, { method: 'POST', path: SEND, headers: asJson, body: JSON.stringify({ to: 'ana', message: 'm' }) }),
    ask(server, { path: `${userPath('ana')}/inbox`, headers }),
    ask(server, { path: STREAM, headers }),
    ask(server, { path: POLLING, headers }),
    websocket(server, headers),
  ]);
  return answers.map(({ status }) => status);
}
const TAKEN = [201, 200, 200, 200, 101];
const REFUSED = [403, 403, 403, 403, 403];

describe('origins', { concurrency: 3 }, () => {
  const SHELLS = ['capacitor://localhost', 'ionic://localhost', 'tauri://localhost', 'app://.', 'chrome-extension://abcdefghijklmnop'];

  test('an app shell is allowed by its origin, literally', async (t) => {
    const server = await keyed(t, { TIDINGS_ALLOWED_ORIGINS: SHELLS.join(', ') });
    for (const origin of SHELLS) {
      assert.deepEqual(await everyWay(server, { authorization, origin }), TAKEN, origin);
      assert.equal((await ask(server, { path: '/api/health', headers: { origin } })).headers['access-control-allow-origin'], origin);
    }
    assert.deepEqual(await everyWay(server, { authorization, origin: 'capacitor://elsewhere' }), REFUSED);
    const open = await Server.start(t, { env: { TIDINGS_ALLOWED_ORIGINS: SHELLS[0] } });
    assert.deepEqual(await everyWay(open, { origin: SHELLS[0] }), TAKEN);
    assert.deepEqual(await everyWay(open, { origin: SHELLS[1] }), REFUSED);
  });

  test('null and * are for servers with a key', async (t) => {
    for (const [allowed, origins] of [['null', ['null']], ['*', ['null', 'https://any.example', 'file://']]]) {
      const server = await keyed(t, { TIDINGS_ALLOWED_ORIGINS: allowed });
      for (const origin of origins) assert.deepEqual(await everyWay(server, { authorization, origin }), TAKEN, origin);
      const { code, stderr } = await runToEnd(t, { env: { PORT: '0', TIDINGS_ALLOWED_ORIGINS: allowed } });
      assert.equal(code, 1);
      assert.match(stderr, /^tidings: TIDINGS_ALLOWED_ORIGINS .*key/m);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });

  test('a preflight of an allowed origin gets the headers that it asked for', async (t) => {
    const server = await keyed(t, { TIDINGS_ALLOWED_ORIGINS: 'https://app.example' });
    const preflight = (origin, asked) =>
      ask(server, {
        method: 'OPTIONS', path: SEND,
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': asked },
      });
    for (const asked of ['authorization,traceparent', 'x-my, novu-client-version', 'content-type']) {
      const { status, headers } = await preflight('https://app.example', asked);
      assert.equal(status, 204);
      assert.equal(headers['access-control-allow-headers'], asked);
      assert.equal(headers['access-control-allow-origin'], 'https://app.example');
      assert.match(headers['access-control-allow-methods'], /PUT.*PATCH.*DELETE/);
      assert.match(headers.vary, /access-control-request-headers/);
    }
    const refused = await preflight('https://evil.example', 'x-my');
    assert.equal(refused.status, 403);
    assert.equal(refused.headers['access-control-allow-headers'], undefined);
  });
});

describe('what a browser calls cross-site', { concurrency: 3 }, () => {
  test("is refused without an allowed origin, and leaves a phone's cursor where it was", async (t) => {
    const server = await Server.start(t);
    const { id } = await server.send('ana', 'not yet seen');
    const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' };
    assert.deepEqual(await everyWay(server, foreign), REFUSED);
    for (const mode of ['no-cors', 'navigate']) {
      const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode, 'sec-fetch-dest': 'document' };
      const moved = await ask(server, { path: `${STREAM}?device_id=phone&cursor=999999`, headers });
      assert.equal(moved.status, 403);
      assert.equal(JSON.parse(moved.text).code, 'forbidden');
    }
    assert.deepEqual(await server.devices('ana'), []);
    assert.equal(await server.status(id), 'pending');
    // The person, and pages of this machine.
    for (const site of ['none', 'same-origin', 'same-site']) {
      assert.equal((await ask(server, { path: `${userPath('ana')}/inbox`, headers: { 'sec-fetch-site': site } })).status, 200, site);
    }
    assert.deepEqual(await everyWay(server, { ...foreign, origin: 'http://localhost:5173' }), TAKEN);
  });

  test('is refused with keys too, also from another origin of the same site', async (t) => {
    const server = await keyed(t, { TIDINGS_ALLOWED_ORIGINS: 'https://app.example' });
    for (const site of ['cross-site', 'same-site']) {
      assert.deepEqual(await everyWay(server, { authorization, 'sec-fetch-site': site }), REFUSED, site);
      assert.deepEqual(await everyWay(server, { authorization, 'sec-fetch-site': site, origin: 'https://app.example' }), TAKEN, site);
    }
    assert.deepEqual(await everyWay(server, { authorization, 'sec-fetch-site': 'same-origin' }), TAKEN);
  });

  test("may still link to the page and load the official client's files", async (t) => {
    const server = await Server.start(t);
    const of = (mode, dest) => ({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode, 'sec-fetch-dest': dest });
    assert.equal((await ask(server, { headers: of('navigate', 'document') })).status, 200);
    assert.equal((await ask(server, { headers: of('navigate', 'iframe') })).status, 403);
    assert.equal((await ask(server, { path: '/socket.io/socket.io.js', headers: of('no-cors', 'script') })).status, 200);
    assert.equal((await ask(server, { method: 'POST', headers: of('navigate', 'document') })).status, 403);
  });
});

describe('names of the server', { concurrency: 3 }, () => {
  test('open to others: its addresses and listed names only, so that no page reaches it by a name of its own', async (t) => {
    const server = await beyond(t, { TIDINGS_ALLOWED_HOSTS: 'tidings.lan, other.lan' });
    for (const host of ['rebind.evil.example', `rebind.evil.example:${server.port}`, 'tidings.lan.evil.example', '10.0.0.1.evil.example']) {
      assert.deepEqual(await everyWay(server, { host }), REFUSED, host);
      assert.deepEqual(await everyWay(server, { host, origin: `http://${host}` }), REFUSED, host);
      assert.equal((await ask(server, { headers: { host } })).status, 403, host);
    }
    for (const host of ['127.0.0.1', `10.1.2.3:${server.port}`, `[2001:db8::1]:${server.port}`, 'localhost:1', 'tidings.lan', `TIDINGS.LAN:${server.port}`]) {
      assert.deepEqual(await everyWay(server, { host }), TAKEN, host);
    }
    assert.deepEqual(await everyWay(server, { host: 'tidings.lan', origin: 'http://tidings.lan' }), TAKEN);
    assert.deepEqual(await everyWay(server, { host: 'tidings.lan', origin: 'http://other.lan' }), REFUSED);
  });

  test('with a key any name is taken', async (t) => {
    const server = await keyed(t);
    assert.deepEqual(await everyWay(server, { authorization, host: 'tidings.example' }), TAKEN);
  });

  test('a request without Host, or with two, is malformed', async (t) => {
    for (const server of [await Server.start(t), await keyed(t)]) {
      for (const [version, hosts, status] of [
        ['1.1', [], 400], ['1.1', ['localhost', 'localhost'], 400], ['1.1', ['localhost', 'evil.example'], 400], ['1.0', ['localhost', 'localhost'], 400],
        ['1.1', ['localhost'], 200], ['1.0', [], 200],
      ]) {
        const raw = new Raw(server);
        raw.write(`GET /api/health HTTP/${version}\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}Connection: close\r\n\r\n`);
        await raw.ended;
        assert.match(raw.answer, new RegExp(`^HTTP/1\\.[01] ${status} `), `${version} ${hosts}`);
        if (status === 400) assert.match(raw.answer, /"code":"invalid_request".*Host/);
      }
    }
  });

  test('of a request for a whole URL the host counts, not the header', async (t) => {
    const server = await Server.start(t);
    for (const [url, host, status] of [['http://evil.example/api/health', 'localhost', 403], ['http://localhost/api/health', 'evil.example', 200]]) {
      const raw = new Raw(server);
      raw.write(`GET ${url} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      await raw.ended;
      assert.match(raw.answer, new RegExp(`^HTTP/1\\.1 ${status} `), url);
    }
  });

  test('open mode listens on both addresses that localhost may mean, by one port', async (t) => {
    for (const env of [{}, { TIDINGS_BIND: 'localhost' }]) {
      const server = await Server.start(t, { env });
      for (const url of [`http://127.0.0.1:${server.port}`, `http://[::1]:${server.port}`]) {
        assert.equal((await fetch(`${url}/api/health`)).status, 200, url);
      }
      const socket = new Wire(`http://[::1]:${server.port}`, { user_id: 'ana' });
      t.after(() => socket.vanish());
      await until('a socket over IPv6', () => socket.welcome);
    }
    const one = await Server.start(t, { env: { TIDINGS_BIND: '127.0.0.1' } });
    const refused = net.connect(one.port, '::1');
    const error = await new Promise((settle) => refused.on('error', settle).on('connect', () => settle(null)));
    refused.destroy();
    assert.equal(error?.code, 'ECONNREFUSED');
  });
});

describe('what is kept, and what is told', { concurrency: 3 }, () => {
  test("no cache keeps anybody's data or a token", async (t) => {
    const server = await keyed(t, { TIDINGS_JWT_SECRET: 'a-secret-of-the-tests-of-32-bytes-or-more' });
    const { id } = await server.send('ana', 'm', { authorization });
    const json = (body) => ({ method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    const inbox = `${userPath('ana')}/inbox`;
    for (const asked of [
      { path: inbox }, { path: `${inbox}/changes?since=0` }, { path: `${inbox}/counts` }, { path: '/api/notifications/ana' }, { path: STREAM },
      { path: `${SEND}/${id}` }, { path: `${userPath('ana')}/devices` }, { path: POLLING },
      { path: `${userPath('ana')}/tokens`, ...json({ ttl_seconds: 60 }) }, { path: `${inbox}/mark`, ...json({ op: 'read', all: true }) },
      { path: `${inbox}/mark`, ...json({}) }, { path: SEND, ...json({ to: 'ana', message: 'm' }) }, { path: '/nothing' },
    ]) {
      const answer = await ask(server, { ...asked, headers: { authorization, ...asked.headers } });
      assert.equal(answer.headers['cache-control'], 'no-store', `${asked.path} ${answer.status}`);
    }
  });

  test('the page tells nobody where it is', async (t) => {
    const server = await Server.start(t);
    for (const path of ['/', '/console/console.js']) {
      assert.equal((await ask(server, { path })).headers['referrer-policy'], 'no-referrer', path);
    }
    assert.equal((await ask(server, {})).headers['strict-transport-security'], undefined);
  });
});
