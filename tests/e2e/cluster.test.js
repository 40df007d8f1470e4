// Several nodes behave as one, whatever is lost, stands still or dies between them. The checker judges.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { settle, SPOTLESS, verdict } from './checker.js';
import { Cluster } from './rig/cluster.js';
import { BareDevice, OfficialDevice } from './rig/device.js';
import { seeded } from './rig/random.js';
import { userPath } from './rig/server.js';
import { until } from './rig/until.js';

const USERS = ['ana', 'bo'];
/** How long Redis is away: long enough for signs of life, backoff and several looks at the heads. */
const OUTAGE = Number(process.env.TIDINGS_E2E_OUTAGE_SECONDS ?? 8) * 1_000;
/** How long the database stands still: longer than a write waits for it. */
const STALL = 12_000;
/** Between two requests of one sender. The database of the tests does not take many more. */
const PACE = 60;
/** Past it a sender gives up: longer than a database keeps the locks of who died in a transaction. */
const PATIENCE = 90_000;

/** Each user's devices: one on each node, with each kind of client, all with the whole list of URLs. */
function household(t, cluster) {
  const devices = USERS.flatMap((user) => cluster.nodes.map((_, node) => {
    const [name, place] = [`${user} at ${node}`, cluster.from(node)];
    const kind = (node + USERS.indexOf(user)) % 3;
    const device = kind === 0 ? new BareDevice(place, user, name) : new OfficialDevice(place, user, name, { transports: [['polling'], ['websocket']][kind - 1] });
    device.node = node;
    return device;
  }));
  t.after(() => devices.forEach((device) => device.stop()));
  devices.forEach((device) => device.stay());
  return devices;
}

/** Senders on every node, to the same users, until `stop`: a send, or now and then a mark. Each request is repeated until
 * it is answered with a 2xx, with the same key, at the next node of the list. */
function traffic(cluster, random, { roam = true } = {}) {
  const state = { sent: [], asked: 0, failures: [], worst: 0 };
  let running = true;

  const surely = async (node, ...request) => {
    const failures = [];
    const end = performance.now() + PATIENCE;
    for (;;) {
      const server = cluster.nodes[roam ? (node + failures.length) % cluster.nodes.length : node];
      const answer = await server.request(...request).catch((error) => ({ status: 0, text: `${error.cause ?? error}` }));
      if (answer.status === 200 || answer.status === 201) {
        state.failures.push(...failures);
        state.worst = Math.max(state.worst, failures.length);
        return answer.body;
      }
      failures.push(answer);
      assert.ok([0, 503].includes(answer.status), `${answer.status} ${answer.text}`);
      if (answer.status === 503) assert.match(answer.headers.get('retry-after'), /^\d+$/);
      assert.ok(performance.now() < end, `${request[1]} in vain: ${answer.status} ${answer.text}`);
      await delay(PACE);
    }
  };

  const work = async (node) => {
    while (running) {
      state.asked += 1;
      if (random.chance(0.75) || state.sent.length === 0) {
        const message = `${state.asked}`;
        const body = { to: random.chance(0.1) ? USERS : [random.pick(USERS)], message };
        const { notifications } = await surely(node, 'POST', '/v1/notifications', body, { 'idempotency-key': randomUUID() });
        const at = performance.now();
        state.sent.push(...notifications.map((receipt) => ({ ...receipt, message, node, at })));
      } else {
        const { id, user_id: user, seq } = random.pick(state.sent);
        const op = random.pick(['read', 'read', 'unread', 'seen', 'archive', 'unarchive']);
        await surely(node, 'POST', `${userPath(user)}/inbox/mark`, { op, ...(random.chance(0.2) ? { up_to: seq } : { ids: [id] }) });
      }
      await delay(PACE);
    }
  };

  const working = Promise.all(cluster.nodes.map((_, node) => work(node)));
  working.catch(() => {});
  state.stop = () => {
    running = false;
    return working;
  };
  state.more = (count) => {
    const goal = state.sent.length + count;
    return Promise.race([working, until(`${count} more are sent`, () => state.sent.length >= goal, { deadline: PATIENCE })]);
  };
  return state;
}

/** What was answered is stored once, nothing else is, and every device has it. */
async function judge(t, cluster, devices, { sent, asked, failures }) {
  t.diagnostic(`${sent.length} sent in ${asked} requests, ${failures.length} of them repeated`);
  for (const [where, local] of [['at the same node', true], ['at another node', false]]) {
    const delays = devices.flatMap(({ log, node }) => {
      const came = new Map(log.entries.flatMap(({ ids, at }) => ids.map((id) => [id, at])).reverse());
      return sent.filter((one) => (one.node === node) === local && came.has(one.id)).map(({ id, at }) => came.get(id) - at);
    });
    t.diagnostic(`longest from the answer to a device ${where}: ${Math.round(Math.max(0, ...delays))} ms`);
  }
  for (const user of USERS) {
    const logs = devices.filter((device) => device.user === user).map(({ log }) => log);
    await settle(cluster.nodes[0], user, logs, 45_000);
    for (const node of cluster.nodes) assert.deepEqual(await verdict(node, user, logs), SPOTLESS, user);
    const stored = (await cluster.nodes[0].changes(user)).data.map(({ id, seq, message }) => [seq, id, message]);
    const answered = sent.filter((one) => one.user_id === user).map(({ id, seq, message }) => [seq, id, message]);
    const bySeq = ([a], [b]) => a - b;
    assert.deepEqual(stored.sort(bySeq), answered.sort(bySeq));
  }
}

async function scene(t, nodes, options) {
  const random = seeded(t);
  const cluster = await Cluster.start(t, nodes, { ...options, ...(options?.unruly && { random }) });
  const devices = household(t, cluster);
  await until('all are attached', () => devices.every(({ log }) => log.cursor !== null));
  const sending = traffic(cluster, random, options);
  t.after(() => sending.stop().catch(() => {}));
  return { random, cluster, devices, sending };
}

test('three nodes, senders and devices on all of them, while news between them is lost, doubled and reordered', async (t) => {
  const { cluster, devices, sending } = await scene(t, 3, { unruly: true });
  await sending.more(250);
  await sending.stop();
  t.diagnostic(JSON.stringify(cluster.unruly.map(({ did }) => did)));
  assert.ok(cluster.unruly.every(({ did }) => did.lost > 0 && did.doubled > 0 && did.reordered > 0));
  // The last of all may be lost too: then the look at all heads, every half a minute, finds it.
  await judge(t, cluster, devices, sending);
});

test('Redis dies and returns: every send succeeds, everybody gets everything', async (t) => {
  const { cluster, devices, sending } = await scene(t, 2, { roam: false });
  await sending.more(20);
  await cluster.redis.kill();
  await delay(OUTAGE);
  assert.ok(cluster.nodes.every(({ log }) => log.includes('Redis cannot be reached')));
  await cluster.redis.restart();
  await cluster.connected(2);
  await sending.more(20);
  await sending.stop();
  assert.deepEqual(sending.failures, []);
  await judge(t, cluster, devices, sending);
});

test('MongoDB stands still, then dies and returns: senders are told to come again, and sockets stay up', async (t) => {
  const { cluster, devices, sending } = await scene(t, 2);
  await sending.more(20);
  cluster.mongo.pause();
  await delay(STALL);
  cluster.mongo.goOn();
  await sending.more(20);
  await cluster.mongo.kill();
  await cluster.mongo.restart();
  await sending.more(20);
  await sending.stop();
  await judge(t, cluster, devices, sending);
  for (const { connects, log } of devices.filter((device) => device instanceof OfficialDevice)) assert.equal(connects, 1, log.name);
});

test('a node dies under load: its clients go on at another one', async (t) => {
  const { cluster, devices, sending } = await scene(t, 3);
  await sending.more(30);
  await cluster.nodes[2].kill();
  await sending.more(60);
  await cluster.nodes[2].restart();
  await sending.more(30);
  await sending.stop();
  await judge(t, cluster, devices, sending);
});

test('one node after the other is restarted under load: no request fails twice', async (t) => {
  const { cluster, devices, sending } = await scene(t, 3, { env: { TIDINGS_DRAIN_SECONDS: '2' } });
  for (const node of cluster.nodes) {
    await sending.more(15);
    assert.deepEqual(await node.terminate(), { code: 0, signal: null }, node.log);
    await node.restart();
  }
  await sending.more(15);
  await sending.stop();
  assert.ok(sending.worst <= 1, JSON.stringify(sending.failures.map(({ status, text }) => [status, text])));
  await judge(t, cluster, devices, sending);
});
