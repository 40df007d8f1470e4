// What nodes tell each other beside news, and where nodes are refused because they would not be safe together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from './rig/cluster.js';
import { Mongo } from './rig/mongo.js';
import { Redis } from './rig/redis.js';
import { run, Server, temporaryFolder, userPath } from './rig/server.js';
import { connect } from './rig/socket.js';
import { claims, hs256, SECRET } from './rig/tokens.js';
import { until, within } from './rig/until.js';

/** Starts a server that must not start, and gives what it says. */
async function refused(t, env) {
  const ran = run({ env: { PORT: '0', ...env }, cwd: await temporaryFolder(t) });
  t.after(() => ran.child.kill('SIGKILL'));
  const { code } = await within('the server refuses to start', ran.ended, 30_000);
  assert.equal(code, 1, ran.stdout + ran.stderr);
  assert.doesNotMatch(ran.stdout + ran.stderr, /listening|panick/);
  const said = ran.stderr.trim().split('\n').filter((line) => !/ INFO /.test(line));
  assert.equal(said.length, 1, ran.stderr);
  return said[0];
}

test('with REDIS_URL, a MongoDB without transactions is refused', async (t) => {
  const [mongo, redis] = await Promise.all([Mongo.start(t, { standalone: true }), Redis.start(t)]);
  const said = await refused(t, { MONGODB_URI: mongo.uri(), REDIS_URL: redis.url });
  assert.match(said, /single server without transactions.*replica set.*REDIS_URL/);
});

test('of two nodes at a MongoDB without transactions the second is refused, and may come when the first is gone', async (t) => {
  const mongo = await Mongo.start(t, { standalone: true });
  const env = { MONGODB_URI: mongo.uri() };
  const first = await Server.start(t, { env });
  const { id } = await first.send('ana', 'one');
  assert.match(await refused(t, env), /another node.*single server without transactions/);
  await first.send('ana', 'two');

  await first.kill();
  const second = await Server.start(t, { env });
  await second.send('ana', 'three');
  assert.deepEqual((await second.inbox('ana')).data.map(({ message }) => message), ['three', 'two', 'one']);
  assert.equal((await second.notification(id)).message, 'one');
});

test('devices of all nodes are told by each, and one route ends the sessions on all of them', async (t) => {
  const key = 'a-key-of-the-tests-that-is-long-enough';
  const env = { TIDINGS_API_KEYS: key, TIDINGS_JWT_SECRET: SECRET, TIDINGS_BIND: '127.0.0.1' };
  const cluster = await Cluster.start(t, 2, { env });
  const authorization = { authorization: `Bearer ${key}` };
  const attach = (user, node, device) =>
    connect(t, cluster.nodes[node].url, { auth: { token: hs256(claims(user)), device_id: device }, transports: ['websocket'], reconnection: false });
  const [phone, desk, other] = [attach('ana', 0, 'phone'), attach('ana', 1, 'desk'), attach('bo', 1, 'other')];
  await Promise.all([phone.ready(), desk.ready(), other.ready()]);

  const online = async (node) => {
    const told = await cluster.nodes[node].ask('GET', `${userPath('ana')}/devices`, undefined, authorization);
    return (told.data ?? told).filter((device) => device.online).map((device) => [device.device_id, device.transport]).sort();
  };
  for (const node of [0, 1]) {
    await until(`node ${node} sees both devices`, async () => (await online(node)).length === 2);
    assert.deepEqual(await online(node), [['desk', 'websocket'], ['phone', 'websocket']]);
  }

  const { ended } = await cluster.nodes[0].ask('DELETE', `${userPath('ana')}/sessions`, undefined, authorization);
  assert.equal(ended, 2);
  await Promise.all([phone.disconnected(), desk.disconnected()]);
  assert.equal(other.socket.connected, true);
  await until('nobody is online', async () => (await online(1)).length === 0);
});

test('nodes start without Redis, warn once, and hear each other as soon as it is there', async (t) => {
  const [mongo, redis] = await Promise.all([Mongo.start(t), Redis.absent(t)]);
  const env = { MONGODB_URI: mongo.uri(), REDIS_URL: redis.url };
  const nodes = await Promise.all([0, 1].map(() => Server.start(t, { env })));
  const client = connect(t, nodes[1].url, { auth: { user_id: 'ana' } });
  await client.ready();
  await nodes[0].send('ana', 'without Redis');
  await client.count(1);
  await until('both warn', () => nodes.every(({ log }) => log.includes('Redis cannot be reached')));

  await redis.restart();
  await until('both are connected', () => nodes.every(({ log }) => log.includes('Redis is connected')));
  await nodes[0].send('ana', 'with Redis');
  await client.count(2);
  assert.deepEqual(client.messages, ['without Redis', 'with Redis']);
  for (const { log } of nodes) assert.equal(log.split('Redis cannot be reached').length, 2, log);
});
