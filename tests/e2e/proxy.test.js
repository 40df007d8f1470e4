// Behind a real nginx and a real Caddy with the configuration of docs/deploy: every transport, the client's address, and a
// node that is restarted meanwhile.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Front } from './rig/front.js';
import { Server, userPath } from './rig/server.js';
import { connect } from './rig/socket.js';
import { until } from './rig/until.js';

const HANDSHAKE = '/socket.io/?EIO=4&transport=polling';

for (const kind of ['nginx', 'caddy']) {
  /** So many nodes with the proxy in front of them. More than one need a store that they share. */
  async function cluster(t, env = {}) {
    const nodes = [await Server.start(t, { env: { TIDINGS_TRUSTED_PROXIES: '127.0.0.1', ...env } })];
    return { nodes, front: await Front[kind](t, nodes) };
  }
  const attach = (t, front, transports) =>
    connect(t, front.url, { auth: { user_id: 'ana' }, transports, withCredentials: true, ...front.trust });

  describe(`behind ${kind}`, { concurrency: 3 }, () => {
    for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
      test(`an official client on ${transports.join(' then ')}`, async (t) => {
        const { front } = await cluster(t);
        const client = attach(t, front, transports);
        await client.ready();
        await until('it is where it wants to be', () => client.socket.io.engine.transport.name === transports.at(-1));
        for (const message of ['one', 'two', 'three']) {
          assert.equal((await front.ask('POST', '/v1/notifications', { to: 'ana', message })).status, 201);
        }
        const notifications = await client.count(3);
        assert.deepEqual(client.messages, ['one', 'two', 'three']);
        const answer = await client.emit('mark', { op: 'read', ids: [notifications[0].id] });
        assert.equal(answer.unread, 2);
        assert.deepEqual(client.failures, []);
      });
    }

    test('a stream comes event by event', async (t) => {
      const { front } = await cluster(t);
      const answer = await front.open('GET', `${userPath('ana')}/stream?access_token=hidden`);
      t.after(() => answer.destroy());
      assert.equal(answer.statusCode, 200);
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      await until('the stream begins', () => text.includes('event: inbox_ready') || text.includes('event:inbox_ready'));
      for (const message of ['first', 'second']) {
        await front.ask('POST', '/v1/notifications', { to: 'ana', message });
        await until(`${message} comes`, () => text.includes(`"message":"${message}"`));
      }
      if (front.accessLog) {
        answer.destroy();
        const log = await until('the stream is logged', async () => /\/stream/.test(await front.accessLog()) && front.accessLog());
        assert.doesNotMatch(log, /hidden|access_token/);
      }
    });

    test('a batch of 3 MB', async (t) => {
      const { front } = await cluster(t);
      const notifications = Array.from({ length: 1_000 }, () => ({ to: 'ana', message: 'x'.repeat(3_000) }));
      const answer = await front.ask('POST', '/v1/notifications/batch', { notifications });
      assert.equal(answer.status, 200);
      assert.ok(JSON.parse(answer.text).results.every(({ ok }) => ok));
    });

    test("limits are the client's own, whatever it says of its address", async (t) => {
      const { front } = await cluster(t, { TIDINGS_LIMIT_LOOPBACK: 'true', TIDINGS_MAX_SOCKETS_PER_ADDRESS: '2' });
      const from = async (address, headers) => (await front.ask('GET', HANDSHAKE, undefined, { from: address, headers })).status;
      assert.deepEqual([await from('127.0.0.2'), await from('127.0.0.2'), await from('127.0.0.2')], [200, 200, 429]);
      assert.equal(await from('127.0.0.2', { 'x-forwarded-for': '127.0.0.9' }), 429);
      assert.equal(await from('127.0.0.3'), 200);
    });

    test('a node is restarted: every device has everything once, every send is stored once', async (t) => {
      const { nodes, front } = await cluster(t, { TIDINGS_DRAIN_SECONDS: '1' });
      const clients = [['websocket'], ['polling'], ['polling', 'websocket']].map((transports) => attach(t, front, transports));
      await Promise.all(clients.map((client) => client.ready()));
      const sent = [];
      let going = true;
      const sending = (async () => {
        while (going) {
          const message = `${sent.length + 1}`;
          const send = () => front.ask('POST', '/v1/notifications', { to: 'ana', message }, { headers: { 'idempotency-key': message } });
          await until(`send ${message}`, async () => (await send()).status === 201, { every: 50 });
          sent.push(message);
        }
      })();
      sending.catch(() => {});
      const some = (count) => until(`${count} are sent`, () => sent.length >= count);
      await some(20);
      for (const node of nodes) {
        assert.deepEqual(await node.terminate(), { code: 0, signal: null });
        await node.restart();
      }
      await some(sent.length + 20);
      going = false;
      await sending;
      await Promise.all(clients.map((client) => client.count(sent.length)));
      for (const client of clients) assert.deepEqual(client.messages, sent);
      assert.equal((await nodes[0].counts('ana')).total, sent.length);
    });

    if (kind === 'nginx') {
      test('plain HTTP is sent on to TLS', async (t) => {
        const { front } = await cluster(t);
        const { status, headers } = await fetch(`${front.plain}/console?x=1`, { redirect: 'manual' });
        assert.equal(status, 301);
        assert.equal(headers.get('location'), 'https://localhost/console?x=1');
      });
    }
  });
}
