// The original system's clients, senders and page keep working as they are, without a line of new code.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { io } from 'socket.io-client';
import { Mongo } from './rig/mongo.js';
import { freePort } from './rig/port.js';
import { Proxy } from './rig/proxy.js';
import { run as start, Server, temporaryFolder } from './rig/server.js';
import { connect } from './rig/socket.js';
import { until } from './rig/until.js';

const run = promisify(execFile);

/** The original README's client, letter by letter but for the address, and a list in place of the console. */
function readmeClient(t, url) {
  const received = [];
  const console = { log: (notification) => received.push(notification) };

  const socket = io(url);
  socket.on("connect", () => { socket.emit("register_user", "user_123"); });
  socket.on("send_notification", (notification) => { console.log(notification); });

  t.after(() => socket.disconnect());
  return { socket, received };
}

/** A page that registers once, when it is loaded, and never again. */
function clientThatRegistersOnce(t, url) {
  const received = [];
  const socket = io(url, { forceNew: true });
  socket.once('connect', () => socket.emit('register_user', 'user_123'));
  socket.on('send_notification', (notification) => received.push(notification));
  t.after(() => socket.disconnect());
  return { socket, received };
}

/** The README's curl, but for the address. */
async function readmeCurl(url, message = 'Your order #12345 has been confirmed.') {
  const body = `{"user_id":"user_123","title":"Order Placed!","message":${JSON.stringify(message)}}`;
  const { stdout } = await run('curl', [
    '-sS', '-X', 'POST', `${url}/api/notifications/send`, '-H', 'Content-Type: application/json', '-d', body,
  ]);
  return JSON.parse(stdout);
}

const messages = ({ received }) => received.map(({ message }) => message);

describe('the original client', { concurrency: 4 }, () => {
  test('what was sent while the user was offline arrives when they come, and what follows at once', async (t) => {
    const server = await Server.start(t);
    const answer = await readmeCurl(server.url);
    assert.deepEqual(Object.keys(answer).sort(), ['id', 'message', 'seq', 'status', 'success']);
    assert.equal(answer.success, true);
    assert.equal(answer.message, 'Notification sent and stored.');
    assert.equal(answer.seq, 1);
    assert.equal(answer.status, 'pending');

    const client = readmeClient(t, server.url);
    await until('the waiting notification', () => client.received.length === 1);
    const [notification] = client.received;
    assert.equal(notification.id, answer.id);
    assert.equal(notification.user_id, 'user_123');
    assert.equal(notification.title, 'Order Placed!');
    assert.equal(notification.message, 'Your order #12345 has been confirmed.');
    assert.equal(notification.is_read, false);
    assert.match(notification.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

    await readmeCurl(server.url, 'second');
    await until('the live one', () => client.received.length === 2);
    assert.deepEqual(messages(client).at(-1), 'second');
    await until('it is delivered', async () => (await server.status(client.received[1].id)) === 'delivered');
  });

  for (const [name, client] of [
    ['that registers at each connect', readmeClient],
    ['that registers only once', clientThatRegistersOnce],
  ]) {
    test(`${name} misses nothing over a cut connection`, async (t) => {
      const server = await Server.start(t);
      const proxy = await Proxy.start(t, server.port);
      const page = client(t, proxy.url);
      await readmeCurl(server.url, 'before');
      await until('the first', () => page.received.length === 1);

      proxy.cut();
      await until('the client sees the cut', () => !page.socket.connected);
      await readmeCurl(server.url, 'during 1');
      await readmeCurl(server.url, 'during 2');
      proxy.mend();

      await until('what was missed', () => page.received.length >= 3);
      await readmeCurl(server.url, 'after');
      await until('what follows', () => messages(page).includes('after'));
      assert.deepEqual(messages(page), ['before', 'during 1', 'during 2', 'after']);
    });

    test(`${name} misses nothing over a killed and restarted server`, async (t) => {
      const server = await Server.start(t);
      const page = client(t, server.url);
      await readmeCurl(server.url, 'before');
      await until('the first', () => page.received.length === 1);

      await server.kill();
      await until('the client sees the end', () => !page.socket.connected);
      await server.restart();
      await readmeCurl(server.url, 'after the restart');

      await until('what was sent after the restart', () => page.received.length >= 2);
      await readmeCurl(server.url, 'live again');
      await until('what follows', () => messages(page).includes('live again'));
      assert.deepEqual(messages(page), ['before', 'after the restart', 'live again']);
    });
  }
});

test("with the original's .env its client and its curl work, and its MongoDB is the store", async (t) => {
  const mongo = await Mongo.start(t, { standalone: true });
  const [cwd, port] = await Promise.all([temporaryFolder(t), freePort()]);
  await writeFile(join(cwd, '.env'), `PORT=${port}\nMONGODB_URI=${mongo.uri('notifications')}\n`);
  const ran = start({ cwd });
  t.after(() => ran.child.kill('SIGKILL'));
  const url = `http://localhost:${port}`;
  await until('it listens', () => `${ran.stdout}${ran.stderr}`.includes(`listening on http://127.0.0.1:${port}`));
  const client = readmeClient(t, url);
  await readmeCurl(url);
  await until('the notification', () => client.received.length === 1);
  assert.equal(client.received[0].title, 'Order Placed!');
  assert.deepEqual(await readdir(cwd), ['.env'], 'nothing is stored here');
});

describe('the original routes', { concurrency: 4 }, () => {
  test('the list is a bare array, newest first, with the next page in Link', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('user_123', 120);

    const first = await server.request('GET', '/api/notifications/user_123');
    assert.equal(first.status, 200);
    assert.ok(Array.isArray(first.body));
    assert.equal(first.body.length, 50);
    for (const name of ['id', 'title', 'message', 'is_read', 'timestamp']) assert.ok(name in first.body[0], name);

    const all = [];
    let next = '/api/notifications/user_123?limit=50';
    let pages = 0;
    while (next) {
      const page = await server.request('GET', next);
      assert.equal(page.status, 200);
      all.push(...page.body.map(({ message }) => Number(message)));
      pages += 1;
      const link = page.headers.get('link');
      const target = link && /<([^>]+)>\s*;\s*rel="?next"?/.exec(link)[1];
      // Relative to what was asked: a proxy may have taken a prefix off the path.
      if (target) assert.doesNotMatch(target, /^(\/|https?:)/);
      next = target && new URL(target, new URL(next, server.url)).href;
    }
    assert.equal(pages, 3);
    assert.deepEqual(all, Array.from({ length: 120 }, (_, index) => 120 - index));
  });

  test('the list of a user without notifications is empty', async (t) => {
    const server = await Server.start(t);
    const { status, body, headers } = await server.request('GET', '/api/notifications/nobody');
    assert.equal(status, 200);
    assert.deepEqual(body, []);
    assert.equal(headers.get('link'), null);
  });

  test('a sender may set any field, and what is unknown is ignored', async (t) => {
    const server = await Server.start(t);
    const sent = await server.ask('POST', '/api/notifications/send', {
      user_id: 'ana', message: 'm', priority: 'urgent', category: 'orders', data: { n: 1 }, url: '/o/1',
      avatar: 'https://example.org/a.png', actions: [{ label: 'Go', url: '/go' }], is_read: true, colour: 'red',
    });
    const stored = await server.notification(sent.id);
    assert.equal(stored.title, '');
    assert.equal(stored.priority, 'urgent');
    assert.equal(stored.category, 'orders');
    assert.deepEqual(stored.data, { n: 1 });
    assert.equal(stored.url, '/o/1');
    assert.equal(stored.avatar, 'https://example.org/a.png');
    assert.deepEqual(stored.actions, [{ label: 'Go', url: '/go' }]);
    assert.equal(stored.is_read, false);
    assert.ok(!('colour' in stored));
  });

  test('what lacks a user or a message is refused, and nothing is stored', async (t) => {
    const server = await Server.start(t);
    for (const [body, field] of [
      [{ message: 'm' }, 'user_id'],
      [{ user_id: '', message: 'm' }, 'user_id'],
      [{ user_id: 'ana' }, 'message'],
      [{ user_id: 'ana', message: '' }, 'message'],
      [{ user_id: 'ana', message: ['m'] }, 'message'],
      [{ user_id: { id: 'ana' }, message: 'm' }, 'user_id'],
      [{ user_id: '..', message: 'm' }, 'user_id'],
      [{ user_id: 'ana', message: 'm', actions: [{ label: 'Go', url: '' }] }, 'actions[0].url'],
    ]) {
      const { status, type, body: problem } = await server.request('POST', '/api/notifications/send', body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match(type, /^application\/problem\+json/);
      assert.equal(problem.code, 'invalid_request');
      assert.deepEqual(problem.errors.map((error) => error.field), [field], JSON.stringify(body));
    }
    assert.deepEqual(await server.ask('GET', '/api/notifications/ana'), []);
  });

  test('their paths are taken as Express takes them', async (t) => {
    const server = await Server.start(t);
    const body = { user_id: 'Ana', message: 'm' };
    for (const path of ['/api/notifications/send', '/api/notifications/send/', '/API/Notifications/Send', '/Api/NOTIFICATIONS/SEND/']) {
      assert.equal((await server.request('POST', path, body)).status, 200, path);
    }
    for (const path of ['/api/notifications/Ana', '/api/notifications/Ana/', '/API/Notifications/Ana', '/Api/NOTIFICATIONS/Ana/?limit=&before=']) {
      assert.equal((await server.ask('GET', path)).length, 4, path);
    }
    assert.equal((await server.ask('GET', '/api/notifications/ana/')).length, 0, 'a name has its letters');
    for (const path of ['/api/health', '/api/health/', '/API/Health', '/Api/HEALTH/']) {
      assert.equal(await server.ask('GET', path), 'OK', path);
    }
    for (const path of ['/V1/notifications', '/v1/notifications/', '/api/notifications/send//', '/api/notifications/']) {
      const { status } = await server.request('POST', path, { to: 'Ana', ...body });
      assert.ok([404, 405].includes(status), `${path}: ${status}`);
    }
    assert.equal((await server.inbox('Ana')).meta.head, 4);
  });

  test('a user may be called send', async (t) => {
    const server = await Server.start(t);
    await server.ask('POST', '/api/notifications/send', { user_id: 'send', message: 'for send' });
    for (const path of ['/api/notifications/send', '/api/notifications/send/', '/API/notifications/send?limit=1']) {
      assert.deepEqual((await server.ask('GET', path)).map(({ message }) => message), ['for send'], path);
    }
    assert.equal((await server.request('HEAD', '/api/notifications/send')).status, 200);
    assert.deepEqual((await server.inbox('send')).data.map(({ message }) => message), ['for send']);
  });

  test('numbers and booleans are taken as their text, and an empty text for an optional field as none', async (t) => {
    const server = await Server.start(t);
    const client = connect(t, server.url);
    await client.connected();
    assert.equal((await client.emit('register_user', 42)).user_id, '42');
    const sent = await server.ask('POST', '/api/notifications/send', {
      user_id: 42, message: true, title: 7, url: '', avatar: '', category: '', expires_at: '', priority: '', collapse_key: '', data: '',
      actions: [{ label: 1, url: '/go', icon: 'x' }],
    });
    await client.count(1);
    const stored = await server.notification(sent.id);
    assert.deepEqual(
      [stored.user_id, stored.message, stored.title, stored.url, stored.avatar, stored.category, stored.expires_at, stored.priority, stored.data, stored.actions],
      ['42', 'true', '7', null, null, null, null, 'normal', {}, [{ label: '1', url: '/go' }]],
    );
    assert.deepEqual(client.notifications.map(({ id }) => id), [sent.id]);
    assert.equal((await server.ask('GET', '/api/notifications/42')).length, 1);
    assert.equal((await client.emit('register_user', true)).user_id, 'true');
  });

  test('a byte order mark and gzip are taken', async (t) => {
    const server = await Server.start(t);
    const body = JSON.stringify({ user_id: 'ana', message: 'm' });
    const send = (bytes, headers) => server.request('POST', '/api/notifications/send', Buffer.from(bytes), headers);
    assert.equal((await send(`\ufeff${body}`)).status, 200);
    assert.equal((await send(gzipSync(body), { 'content-encoding': 'gzip' })).status, 200);
    assert.equal((await send(gzipSync(`\ufeff${body}`), { 'content-encoding': 'GZIP' })).status, 200);
    for (const none of ['', 'identity', 'Identity']) {
      assert.equal((await send(body, { 'content-encoding': none })).status, 200, none);
    }
    assert.equal((await server.inbox('ana')).meta.head, 6);
  });

  test('bad page parameters are refused by name', async (t) => {
    const server = await Server.start(t);
    for (const [query, field] of [['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=x', 'limit'], ['before=%00', 'before']]) {
      const { status, body } = await server.request('GET', `/api/notifications/ana?${query}`);
      assert.equal(status, 400, query);
      assert.equal(body.code, 'invalid_request', query);
      assert.deepEqual(body.errors.map((error) => error.field), [field], query);
    }
  });

  test('health says OK', async (t) => {
    const server = await Server.start(t);
    const { status, body } = await server.request('GET', '/api/health');
    assert.equal(status, 200);
    assert.equal(body, 'OK');
  });

  test('the client file of the demo page is served', async (t) => {
    const server = await Server.start(t);
    const { status, type, text } = await server.request('GET', '/socket.io/socket.io.js');
    assert.equal(status, 200);
    assert.match(type, /javascript/);
    assert.match(text.slice(0, 200), /Socket\.IO v4\./);
    const { default: vm } = await import('node:vm');
    const page = { document: {}, navigator: {}, setTimeout, clearTimeout, URL };
    page.self = page.window = page.globalThis = page;
    vm.runInNewContext(text, page);
    assert.equal(typeof page.io, 'function');
  });
});
