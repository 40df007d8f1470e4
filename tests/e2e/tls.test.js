// TLS by the server itself, with the certificate read again on SIGHUP.

import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { certificate } from './rig/certificate.js';
import { forgetPeak, inMB, MB, open, peak, resident } from './rig/memory.js';
import { crowd, Raw } from './rig/raw.js';
import { connect } from './rig/socket.js';
import { runToEnd, Server, temporaryFolder } from './rig/server.js';
import { until, within } from './rig/until.js';

async function secured(t, settings = {}) {
  const folder = await temporaryFolder(t);
  const first = await certificate(folder, 'first');
  const [cert, key] = [join(folder, 'live.pem'), join(folder, 'live.key')];
  await Promise.all([copyFile(first.cert, cert), copyFile(first.key, key)]);
  const server = await Server.start(t, { env: { TIDINGS_TLS_CERT_FILE: cert, TIDINGS_TLS_KEY_FILE: key, ...settings } });
  return { server, folder, cert, key, ca: await readFile(first.cert, 'utf8') };
}

/** The name in the certificate that a new connection is shown. */
const shown = (port) =>
  new Promise((settle, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      settle(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });

/** What a client says first, as TLS has it. */
const hello = () =>
  new Promise((settle) => {
    const listener = net.createServer((socket) => socket.once('data', (bytes) => {
      settle(bytes);
      socket.destroy();
      listener.close();
    }));
    listener.listen(0, '127.0.0.1', () => connectTls({ port: listener.address().port, host: '127.0.0.1' }).on('error', () => {}));
  });

const post = (url, ca, body) =>
  new Promise((settle, reject) => {
    const sent = request(`${url}/v1/notifications`, { method: 'POST', ca, headers: { 'content-type': 'application/json' } });
    sent.on('response', (answer) => settle(answer.resume().statusCode)).on('error', reject).end(JSON.stringify(body));
  });

describe('TLS', { concurrency: 3 }, () => {
  test('browsers are told to come by TLS only', async (t) => {
    const { server, ca } = await secured(t);
    for (const path of ['/', '/api/health', '/nothing']) {
      const headers = await new Promise((settle, reject) =>
        request(`${server.url}${path}`, { ca }).on('response', (answer) => settle(answer.resume().headers)).on('error', reject).end());
      assert.match(headers['strict-transport-security'] ?? '', /^max-age=\d{7,}$/, path);
    }
  });

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`an official client on ${transports.join(' then ')}`, async (t) => {
      const { server, ca } = await secured(t);
      assert.match(server.url, /^https:/);
      const client = connect(t, server.url, { auth: { user_id: 'ana' }, transports, ca });
      await client.ready();
      assert.equal(await post(server.url, ca, { to: 'ana', message: 'over TLS' }), 201);
      await client.count(1);
      assert.deepEqual(client.messages, ['over TLS']);
    });
  }

  test('plain HTTP on the port, and silence, harm nobody', async (t) => {
    const { server, ca } = await secured(t);
    await assert.rejects(fetch(server.url.replace('https', 'http')));
    assert.equal(await post(server.url, ca, { to: 'ana', message: 'm' }), 201);
  });

  test('200 handshakes of each kind that never end, in waves', async (t) => {
    const { server, ca } = await secured(t, { TIDINGS_HANDSHAKE_SECONDS: '1' });
    const client = connect(t, server.url, { auth: { user_id: 'ana' }, transports: ['websocket'], ca });
    await client.ready();
    const first = await hello();
    const kinds = [
      () => {},
      (raw) => raw.write(first.subarray(0, 100)),
      // The server answers, and nothing follows.
      (raw) => raw.write(first),
      (raw) => {
        let at = 0;
        const dripping = setInterval(() => raw.write(first.subarray(at, (at += 1))), 50);
        raw.ended.then(() => clearInterval(dripping));
      },
    ];
    const { pid } = server.ran.child;
    const files = await open(pid);
    const grown = [];
    for (let wave = 0; wave < 3; wave += 1) {
      const before = await resident(pid);
      await forgetPeak(pid);
      const begun = [];
      await crowd(200 * kinds.length, 40, async (index) => {
        const raw = (begun[index] = new Raw(server));
        await raw.begun;
        kinds[index % kinds.length](raw);
      });
      assert.equal(await post(server.url, ca, { to: 'ana', message: `${wave}` }), 201);
      await client.count(wave + 1);
      await Promise.all(begun.map((raw, index) => within(`the end of a handshake of kind ${index % kinds.length}`, raw.ended)));
      await until('they are gone', async () => (await open(pid)) <= files + 4);
      grown.push((await peak(pid)) - before);
      assert.ok(grown[wave] <= 50 * MB, `wave ${wave + 1} took ${inMB(grown[wave])} MB`);
    }
    t.diagnostic(`grew by ${grown.map(inMB).join(', ')} MB`);
    assert.deepEqual(client.messages, ['0', '1', '2']);
    assert.doesNotMatch(server.log, /panick/i);
  });

  test('SIGHUP reads the certificate again; one that cannot be used leaves the one before', async (t) => {
    const { server, folder, cert, key } = await secured(t);
    assert.equal(await shown(server.port), 'first');
    const second = await certificate(folder, 'second');
    await Promise.all([copyFile(second.cert, cert), copyFile(second.key, key)]);
    server.ran.child.kill('SIGHUP');
    await until('the second certificate is shown', async () => (await shown(server.port)) === 'second');
    await writeFile(cert, 'nonsense');
    server.ran.child.kill('SIGHUP');
    await until('the refusal is logged', () => /TIDINGS_TLS_CERT_FILE/.test(server.log));
    assert.equal(await shown(server.port), 'second');
  });

  test('healthcheck speaks TLS to its own server, whatever name its certificate is for', async (t) => {
    const folder = await temporaryFolder(t);
    const { cert, key } = await certificate(folder, 'elsewhere', 'DNS:inbox.example.org');
    const env = { TIDINGS_TLS_CERT_FILE: cert, TIDINGS_TLS_KEY_FILE: key };
    const server = await Server.start(t, { env });
    const check = (more) => runToEnd(t, { args: ['healthcheck'], env: { ...env, PORT: `${server.port}`, ...more } });
    const well = await check();
    assert.deepEqual([well.code, well.stderr], [0, '']);

    // Somebody else on the port is not this server, and says nothing of it.
    const other = await certificate(folder, 'other');
    const wrong = await check({ TIDINGS_TLS_CERT_FILE: other.cert, TIDINGS_TLS_KEY_FILE: other.key });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /another certificate than TIDINGS_TLS_CERT_FILE/);

    await server.kill();
    const gone = await check();
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /^tidings: no answer: /);
  });

  test('files that cannot be used stop the start with one sentence', async (t) => {
    const folder = await temporaryFolder(t);
    const [one, other] = await Promise.all([certificate(folder, 'one'), certificate(folder, 'other')]);
    for (const [cert, key] of [['/nonexistent.pem', one.key], [one.cert, '/nonexistent.pem'], [one.cert, other.key], [one.key, one.key]]) {
      const env = { PORT: '0', TIDINGS_TLS_CERT_FILE: cert, TIDINGS_TLS_KEY_FILE: key };
      const { code, stderr } = await runToEnd(t, { env });
      assert.equal(code, 1, `${cert} ${key}`);
      assert.match(stderr, /^tidings: .*(certificate|TIDINGS_TLS)/m);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });
});
