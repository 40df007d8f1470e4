// Readers that stop reading, among others who go on: what they cost the server, what they cost the others, and that they
// have everything when they return.
//
// `TIDINGS_STALLED=full` runs 1,000 readers of whom 50 stall, at 500 sends a second; better with a release build, named by
// `TIDINGS_BIN`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { settle, SPOTLESS, verdict } from './checker.js';
import { BareDevice } from './rig/device.js';
import { inMB, MB, resident } from './rig/memory.js';
import { quantile } from './rig/quantile.js';
import { crowd } from './rig/raw.js';
import { Server } from './rig/server.js';
import { until } from './rig/until.js';
import { unharmed } from './rig/waves.js';

const FULL = process.env.TIDINGS_STALLED === 'full';
const READERS = FULL ? 1_000 : 200;
const STALLED = FULL ? 50 : 10;
const RATE = FULL ? 500 : 100;
/** Devices of one user: each send reaches so many. */
const DEVICES = 10;
/** Sends of a phase: to a user more than a window holds (64), so that who does not read falls behind in the store. */
const BASELINE = RATE * 4;
const SENDS = RATE * 16;
const PER_SOCKET = 256 * 1024;
/** What the inboxes themselves may make resident while they fill: the store's cache. */
const SLACK = 8 * MB;
const FILLING = 'x'.repeat(1_000);

test(`${STALLED} stalled among ${READERS} readers at ${RATE} sends a second`, { timeout: 150_000 }, async (t) => {
  const server = await Server.start(t);
  const { pid } = server.ran.child;
  const users = Array.from({ length: READERS / DEVICES }, (_, index) => `user-${index}`);
  const readers = users.flatMap((user) => Array.from({ length: DEVICES }, (_, index) => new BareDevice(server, user, `${user}-${index}`)));
  t.after(() => Promise.all(readers.map((reader) => reader.stop())));
  // One each of the first users, or two.
  const stalled = readers.filter((_, index) => index % (READERS / STALLED) === 0);
  const others = readers.filter((reader) => !stalled.includes(reader));

  let latencies = [];
  await crowd(READERS, 50, async (index) => {
    const reader = readers[index];
    const wire = reader.attach();
    wire.socket.on('message', (data) => {
      const sent = stalled.includes(reader) ? null : /"title":"(\d+\.?\d*)"/.exec(data);
      if (sent) latencies.push(performance.now() - Number(sent[1]));
    });
    await wire.event('inbox_ready');
    wire.events = { push() {} };
  });

  let late = 0;
  /** Sends at the rate, to one user after the other. */
  async function sendAll(count) {
    const from = performance.now();
    const under = new Set();
    for (let sent = 0; sent < count; sent += 1) {
      const ahead = from + (sent * 1_000) / RATE - performance.now();
      if (ahead > 1) await delay(ahead);
      late = Math.max(late, -ahead);
      const sending = server.send(users[sent % users.length], { title: `${performance.now()}`, message: FILLING });
      under.add(sending);
      sending.then(() => under.delete(sending));
      if (under.size >= 64) await Promise.race(under);
    }
    await Promise.all(under);
    return count / ((performance.now() - from) / 1_000);
  }
  const figures = (name, rate) => {
    const [p50, p99] = [0.5, 0.99].map((share) => quantile(latencies, share).toFixed(1));
    t.diagnostic(`${name}: ${latencies.length} arrived at ${rate.toFixed(0)} sends a second, p50 ${p50}, p99 ${p99} ms`);
    latencies = [];
  };
  const arrived = (devices, what) => until(what, () => devices.every(({ log, goal }) => log.cursor >= goal), { deadline: 60_000, every: 50 });
  const expect = (count) => users.forEach((user, index) => readers.slice(index * DEVICES, (index + 1) * DEVICES)
    .forEach((reader) => (reader.goal = (reader.goal ?? 0) + Math.floor(count / users.length) + (index < count % users.length ? 1 : 0))));

  let rate = await sendAll(BASELINE);
  expect(BASELINE);
  await arrived(readers, 'the baseline has arrived');
  figures('baseline', rate);

  const before = await resident(pid);
  let most = before;
  const sampling = setInterval(async () => (most = Math.max(most, await resident(pid).catch(() => 0))), 50);
  t.after(() => clearInterval(sampling));
  stalled.forEach(({ wire }) => wire.socket.pause());
  rate = await sendAll(SENDS);
  expect(SENDS);
  await arrived(others, 'the others have everything');
  clearInterval(sampling);
  figures(`with ${STALLED} stalled`, rate);
  t.diagnostic(`grew by ${inMB(most - before)} MB, ${inMB((most - before) / STALLED)} MB for each that stalled; sends were late by ${late.toFixed(0)} ms at most`);
  assert.ok(most - before <= STALLED * PER_SOCKET + SLACK, `grew by ${inMB(most - before)} MB`);

  // Who does not read is put out after 15 s without progress.
  const online = async () => {
    const all = await Promise.all([...new Set(stalled.map(({ user }) => user))].map((user) => server.devices(user)));
    return all.flat().filter((device) => device.online && stalled.some(({ log }) => log.name === device.device_id)).length;
  };
  await until('those who stalled are put out', async () => (await online()) === 0, { deadline: 40_000, every: 250 });
  for (const reader of stalled) {
    reader.wire.socket.resume();
    await reader.wire.vanish();
    reader.attach();
  }
  await arrived(stalled, 'those who returned have everything');
  for (const [index, user] of users.entries()) {
    if (!FULL || index % 10 === 0) {
      const logs = readers.slice(index * DEVICES, (index + 1) * DEVICES).map(({ log }) => log);
      await settle(server, user, logs);
      assert.deepEqual(await verdict(server, user, logs), SPOTLESS, user);
    }
  }
  assert.deepEqual(readers.flatMap(({ log }) => log.faults), []);
  await unharmed(server);
});

for (const acks of [true, false]) {
  const how = acks ? 'confirms itself' : 'proves receipt by its pongs';
  test(`a reader that ${how} and reads on before 15 s keeps its connection and misses nothing`, async (t) => {
    const server = await Server.start(t);
    const reader = new BareDevice(server, 'ana', 'phone', { acks });
    t.after(() => reader.stop());
    const wire = reader.attach();
    await wire.event('inbox_ready');
    wire.socket.pause();
    // Far more than the window holds, in events (64) and in bytes (256 KiB): the rest waits in the store.
    const receipts = await server.sendMany('ana', 400, (index) => ({ message: `${index}`, data: { filling: FILLING.repeat(8) } }));
    assert.equal(reader.came, 1, 'nothing but inbox_ready is read');
    wire.socket.resume();
    await until('it has everything', () => reader.log.cursor >= receipts.at(-1).seq);
    assert.equal(reader.wire, wire);
    assert.equal(wire.socket.readyState, wire.socket.OPEN);
    await until('all is delivered', async () => (await server.status(receipts.at(-1).id)) === 'delivered');
    await settle(server, 'ana', [reader.log]);
    assert.deepEqual(await verdict(server, 'ana', [reader.log]), SPOTLESS);
  });
}
