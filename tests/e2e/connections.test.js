// What strangers can hold of the server by connecting, by not reading, or by doing nothing: others are served all the same.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { forgetPeak, inMB, MB, peak, resident } from './rig/memory.js';
import { Raw } from './rig/raw.js';
import { Server, userPath } from './rig/server.js';
import { until, within } from './rig/until.js';
import { Wire } from './rig/wire.js';

const LIVE = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n';
const inbox = `${userPath('ana')}/inbox`;

/** One request on a connection of its own: the answer as it came. */
async function alone(server, request = LIVE) {
  const raw = new Raw(server);
  raw.write(request);
  await raw.got('\r\n\r\n');
  await raw.vanish();
  return raw.answer;
}

/** A websocket that stays. */
async function socket(t, server) {
  const wire = new Wire(server.url, { user_id: 'ana' });
  t.after(() => wire.vanish());
  await until('the socket is there', () => wire.welcome);
  return wire;
}

describe('connections', { concurrency: 2 }, () => {
  test('300 that ask now and then do not keep others out, with 256 descriptors', async (t) => {
    const server = await Server.start(t, { descriptors: '-n 256' });
    const stays = await socket(t, server);
    let going = true;
    t.after(() => (going = false));
    let answered = 0;
    const crowd = Array.from({ length: 300 }, async () => {
      while (going) {
        const raw = new Raw(server);
        while (going && !raw.over) {
          raw.answer = '';
          raw.write(LIVE);
          if (await raw.got('"live"}')) answered += 1;
          await Promise.race([raw.ended, new Promise((settle) => setTimeout(settle, 300))]);
        }
        await raw.vanish();
      }
    });
    await until('the crowd is there', () => answered > 300);
    for (let other = 0; other < 20; other += 1) {
      await until('somebody else is served', async () => /^HTTP\/1\.1 200 /.test(await alone(server)));
    }
    going = false;
    await Promise.all(crowd);
    assert.ok(!stays.over && (await server.send('ana')).id);
    await until('the socket is still served', () => stays.events.some(({ event }) => event === 'send_notification'));
    assert.ok(server.log.split('cannot be accepted').length <= 2, server.log);
  });

  test('who does not finish a request goes before somebody who does', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_MAX_CONNECTIONS: '20' } });
    const silent = Array.from({ length: 40 }, (_, index) => {
      const raw = new Raw(server);
      if (index % 2) raw.write('GET / HTTP/1.1\r\n');
      return raw;
    });
    await Promise.all(silent.map((raw) => raw.begun));
    for (let other = 0; other < 5; other += 1) assert.match(await alone(server), /^HTTP\/1\.1 200 /);
    await Promise.all(silent.map((raw) => raw.vanish()));
  });

  test('a server that is full of sockets says so, and takes the next when one is gone', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_MAX_CONNECTIONS: '5' } });
    const sockets = await Promise.all(Array.from({ length: 5 }, () => socket(t, server)));
    const refused = await alone(server);
    assert.match(refused, /^HTTP\/1\.1 503 /);
    assert.match(refused, /^retry-after: \d+\r$/m);
    assert.match(refused, /"code":"unavailable"/);
    assert.match(refused, /^x-request-id: /m);
    await sockets[0].vanish();
    await until('there is room', async () => /^HTTP\/1\.1 200 /.test(await alone(server)));
    assert.ok(sockets.slice(1).every((wire) => wire.socket.readyState === 1));
  });

  test('one address has its share', async (t) => {
    const limited = { TIDINGS_MAX_CONNECTIONS_PER_ADDRESS: '3' };
    const server = await Server.start(t, { env: { ...limited, TIDINGS_LIMIT_LOOPBACK: 'true' } });
    const sockets = await Promise.all(Array.from({ length: 3 }, () => socket(t, server)));
    assert.match(await alone(server), /^HTTP\/1\.1 429 [^]*"code":"rate_limited"/);
    await sockets[0].vanish();
    await until('there is room', async () => /^HTTP\/1\.1 200 /.test(await alone(server)));
    const exempt = await Server.start(t, { env: limited });
    await Promise.all(Array.from({ length: 6 }, () => socket(t, exempt)));
  });

  test('the limit of open files is raised as far as it may be', async (t) => {
    const server = await Server.start(t, { descriptors: '-S -n 128' });
    const limits = await readFile(`/proc/${server.ran.child.pid}/limits`, 'utf8');
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits);
    assert.equal(soft, hard);
    assert.notEqual(soft, '128');
  });

  test('an idle connection is kept longer than a request may take to be sent', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_HANDSHAKE_SECONDS: '1' } });
    const idle = new Raw(server);
    idle.write(LIVE);
    assert.ok(await idle.got('"live"}'));
    // Both begin after it, and end before it.
    const [silent, slow] = [new Raw(server), new Raw(server)];
    slow.write('GET /health/live HTTP/1.1\r\nHost: ');
    await Promise.all([silent, slow].map((raw) => within('a connection that sends no request ends', raw.ended)));
    idle.answer = '';
    idle.write(LIVE);
    assert.ok(await idle.got('"live"}'));
    await idle.vanish();
  });

  test('an idle connection is not kept for ever', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_KEEP_ALIVE_SECONDS: '1' } });
    const raw = new Raw(server);
    raw.write(LIVE);
    assert.ok(await raw.got('"live"}'));
    await within('it ends', raw.ended);
    assert.match(raw.answer, /^HTTP\/1\.1 200 /);
    // A stream and a socket are no idle connections.
    const stays = await socket(t, server);
    const stream = new Raw(server);
    stream.write(`GET ${userPath('ana')}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.ok(await stream.got('inbox_ready'));
    const later = new Raw(server);
    later.write(LIVE);
    await within('a later one has ended', later.ended);
    await server.send('ana', 'still here');
    assert.ok(await stream.got('still here'));
    await until('the socket is served', () => stays.events.some(({ event }) => event === 'send_notification'));
    await stream.vanish();
  });
});

describe('answers that are not read', () => {
  test('are held up to a budget; past it others are told to come again, until there is room', { timeout: 120_000 }, async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_MAX_ANSWER_BYTES: `${8 * MB}` } });
    const filling = { data: { filling: 'x'.repeat(16_000) } };
    await server.sendMany('ana', 40, () => ({ message: 'm', ...filling }));
    const path = `${inbox}/changes?since=0`;
    const { pid } = server.ran.child;
    assert.equal((await server.request('GET', path)).status, 200);
    const before = await resident(pid);
    await forgetPeak(pid);
    // More than the system buffers between the two, so that the rest is with the server.
    const deaf = Array.from({ length: 150 }, () => {
      const raw = new Raw(server);
      raw.deafen();
      raw.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(60));
      return raw;
    });
    t.after(() => Promise.all(deaf.map((raw) => raw.vanish())));
    const refused = await until('a reader is told to come again', async () => {
      const answer = await server.request('GET', path);
      assert.ok([200, 503].includes(answer.status), `${answer.status}`);
      return answer.status === 503 && answer;
    });
    assert.equal(refused.body.code, 'unavailable');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    // What is small, or was done, is answered.
    assert.equal((await server.request('GET', '/api/health')).status, 200);
    assert.ok((await server.send('bo')).id);
    const grown = (await peak(pid)) - before;
    t.diagnostic(`150 readers who do not read: ${inMB(grown)} MB`);
    assert.ok(grown <= 80 * MB, `${inMB(grown)} MB`);
    await Promise.all(deaf.map((raw) => raw.vanish()));
    await until('there is room', async () => (await server.request('GET', path)).status === 200);
  });
});

describe('request ids', { concurrency: 2 }, () => {
  const asked = (server, path, headers = {}, method = 'GET', body) => server.request(method, path, body, headers);

  test('every answer has one, the caller\'s own if it is legal, and a problem tells it', async (t) => {
    const server = await Server.start(t);
    const seen = new Set();
    for (const [path, status, ...rest] of [
      ['/api/health', 200], ['/', 200], [inbox, 200], ['/nothing', 404], [inbox, 405, {}, 'DELETE'], ['/v1/notifications', 400, {}, 'POST', {}],
      [inbox, 403, { origin: 'https://evil.example' }], ['/socket.io/?EIO=4&transport=polling', 200], ['/socket.io/?EIO=9', 400], [inbox, 200, {}, 'HEAD'],
      ['/v1/notifications', 204, { origin: 'http://localhost:1', 'access-control-request-method': 'POST' }, 'OPTIONS'],
    ]) {
      const answer = await asked(server, path, ...rest);
      assert.equal(answer.status, status, path);
      const id = answer.headers.get('x-request-id');
      assert.match(id, /^[A-Za-z0-9._-]{1,64}$/, path);
      assert.ok(!seen.has(id), 'twice the same');
      seen.add(id);
      if (answer.type.startsWith('application/problem')) assert.equal(answer.body.request_id, id);
    }
    for (const own of ['a', 'trace-1.2_3', 'x'.repeat(64)]) {
      const answer = await asked(server, '/nothing', { 'x-request-id': own });
      assert.deepEqual([answer.headers.get('x-request-id'), answer.body.request_id], [own, own]);
    }
    for (const other of ['x'.repeat(65), 'a b', 'a"b', '']) {
      assert.notEqual((await asked(server, '/nothing', { 'x-request-id': other })).headers.get('x-request-id'), other);
    }
  });

  test('what is no HTTP gets one too', async (t) => {
    const server = await Server.start(t);
    for (const [request, status] of [
      ['nonsense\r\n\r\n', 400], [`GET /${'a'.repeat(70_000)} HTTP/1.1\r\n\r\n`, '4(14|31)'], [`GET / HTTP/1.1\r\n${'X-H: v\r\n'.repeat(200)}\r\n`, 431],
    ]) {
      const answer = await alone(server, request);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(answer, /^x-request-id: \S+\r$/m);
    }
    const raw = new Raw(server);
    raw.write('nonsense\r\n\r\n');
    await raw.ended;
    const [head, body] = raw.answer.split('\r\n\r\n');
    const problem = JSON.parse(body);
    assert.equal(problem.code, 'invalid_request');
    assert.ok(head.includes(`x-request-id: ${problem.request_id}`));
  });

  test('the lines of the log that are written for a request name it', async (t) => {
    for (const format of ['text', 'json']) {
      const server = await Server.start(t, { env: { TIDINGS_LOG: 'debug', TIDINGS_LOG_FORMAT: format } });
      const own = `mine-${format}`;
      await asked(server, '/socket.io/?EIO=4&transport=polling', { 'x-request-id': own });
      const line = await until('a line', () => server.log.split('\n').find((text) => text.includes('connection opened')));
      if (format === 'json') assert.equal(JSON.parse(line).request_id, own);
      else assert.match(line, new RegExp(`request_id=${own}$`));
    }
  });
});
