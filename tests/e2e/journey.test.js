// The promise under stress: nothing lost, nothing out of order, nothing twice, and the badge counts. The checker judges.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { settle, SPOTLESS, verdict } from './checker.js';
import { BareDevice, OfficialDevice } from './rig/device.js';
import { seeded, testByChance } from './rig/random.js';
import { Server, userPath } from './rig/server.js';
import { scaled } from './rig/store.js';
import { surely } from './rig/surely.js';
import { until } from './rig/until.js';

async function judge(t, server, user, devices) {
  const logs = devices.map(({ log }) => log);
  const from = performance.now();
  await settle(server, user, logs);
  t.diagnostic(`${user}: all devices had all after another ${Math.round(performance.now() - from)} ms`);
  assert.deepEqual(await verdict(server, user, logs), SPOTLESS, user);
}

const residentKilobytes = async (pid) => Number(/RssAnon:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);

test('attaching and vanishing thousands of times while notifications come', async (t) => {
  const USERS = 10;
  const CYCLES = 150;
  const random = seeded(t);
  const server = await Server.start(t);
  const users = Array.from({ length: USERS }, (_, index) => `user-${index}`);
  const bare = users.flatMap((user) => [1, 2].map((number) => new BareDevice(server, user, `${user}-bare-${number}`, { acks: number === 1 })));
  const official = users.map((user, index) =>
    new OfficialDevice(server, user, `${user}-official`, { transports: [['websocket'], ['polling'], ['polling', 'websocket']][index % 3] }));
  t.after(() => [...bare, ...official].forEach((device) => device.stop()));
  official.forEach((device) => device.stay());

  let cycling = true;
  let sent = 0;
  const sending = Array.from({ length: 3 }, async () => {
    while (cycling) {
      sent += 1;
      await surely(server, { to: random.chance(0.05) ? users : random.pick(users), message: `${sent}` });
    }
  });

  const over = () => !cycling;
  await Promise.all(
    bare.map(async (device) => {
      for (let cycle = 0; cycle < CYCLES; cycle += 1) {
        const wire = device.attach();
        const moment = random.below(4);
        // Gone before the answer, right after it, or in the middle of what follows.
        if (moment === 0) await until('the socket opens', () => wire.socket.readyState !== 0);
        else if (moment === 1) await wire.event('inbox_ready');
        else await device.more(1 + random.below(4), over);
        await wire.vanish();
        if (random.chance(0.1)) random.pick(official).stumble();
      }
    }),
  );
  cycling = false;
  await Promise.all(sending);
  t.diagnostic(`${bare.length * CYCLES} times attached and vanished, ${sent} times sent`);

  bare.forEach((device) => device.attach());
  for (const [index, user] of users.entries()) await judge(t, server, user, [bare[2 * index], bare[2 * index + 1], official[index]]);
});

test('one send at the very moment of attaching arrives, with nothing after it to help it along', async (t) => {
  const ROUNDS = 1_200;
  const random = seeded(t);
  const server = await Server.start(t);
  let next = 0;
  const round = async () => {
    const user = `user-${next++}`;
    const device = new BareDevice(server, user, `${user}-device`);
    const wire = device.attach();
    // Somewhere between the request for the connection and the answer to CONNECT.
    const moment = random.below(4);
    if (moment > 0) await until('the handshake', () => wire.handshake, { every: 0 });
    if (moment > 1) await new Promise((settle) => setImmediate(settle));
    if (moment > 2) await until('the welcome', () => wire.welcome, { every: 0 });
    await server.send(user, 'now');
    await until(`${user} has it (${moment})`, () => device.log.cursor === 1, { every: 2, deadline: 10_000 });
    assert.deepEqual(device.log.faults, []);
    assert.deepEqual(device.log.entries.map(({ event }) => event), ['send_notification'].slice(device.log.start));
    await wire.vanish();
  };
  await Promise.all(Array.from({ length: 6 }, async () => {
    while (next < ROUNDS) await round();
  }));
});

testByChance('marks, edits and recalls cross from several devices that come and go', { known: [1174336317, 205120349, 1621525886, 1432550040] }, async (t, random) => {
  const OPERATIONS = scaled(700);
  const server = await Server.start(t);
  const devices = [
    new BareDevice(server, 'ana', 'phone'),
    new BareDevice(server, 'ana', 'tablet', { acks: false }),
    new OfficialDevice(server, 'ana', 'laptop'),
    new OfficialDevice(server, 'ana', 'desk', { transports: ['polling'] }),
  ];
  t.after(() => devices.forEach((device) => device.stop()));
  devices.forEach((device) => device.stay());
  const ids = [];
  let head = 0;
  const operate = async (number) => {
    const kind = random.below(10);
    if (kind < 4 || ids.length === 0) {
      const [receipt] = await surely(server, { to: 'ana', message: `${number}`, ...(random.chance(0.3) && { category: 'c' }) });
      ids.push(receipt.id);
      head = Math.max(head, receipt.seq);
    } else if (kind < 8) {
      const op = random.pick(['read', 'read', 'unread', 'seen', 'archive', 'unarchive', 'delete']);
      const target = random.pick([
        { ids: Array.from({ length: 1 + random.below(5) }, () => random.pick(ids)) },
        { up_to: random.below(head + 1) },
        // Everything at once, but not so often that nothing is left.
        op !== 'delete' && random.chance(0.3) ? { all: true } : { ids: [random.pick(ids)] },
      ]);
      await server.mark('ana', { op: op === 'delete' && !target.ids ? 'seen' : op, ...target, ...(!target.ids && random.chance(0.3) && { category: 'c' }) });
    } else {
      const path = `/v1/notifications/${random.pick(ids)}`;
      const answer = await server.request(...(kind === 8 ? ['PATCH', path, { message: `edited ${number}` }] : ['DELETE', path]));
      assert.ok([200, 204, 404].includes(answer.status), answer.text);
    }
    if (random.chance(0.05)) random.pick(devices.slice(0, 2)).wire?.vanish();
    if (random.chance(0.05)) random.pick(devices.slice(2)).stumble();
  };
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (next < OPERATIONS) await operate(next++);
  }));
  await judge(t, server, 'ana', devices);
});

test('a reader that stalls is left behind alone, and gets everything when it returns', async (t) => {
  const COUNT = 3_000;
  const server = await Server.start(t);
  const stalled = new BareDevice(server, 'ana', 'stalled');
  const brief = new BareDevice(server, 'ana', 'brief');
  const awake = new BareDevice(server, 'ana', 'awake');
  const other = new BareDevice(server, 'bo', 'other');
  const all = [stalled, brief, awake, other];
  t.after(() => all.forEach((device) => device.stop()));
  for (const device of all) await device.attach().event('inbox_ready');
  const data = { text: 'x'.repeat(15_000) };
  const load = async (user) => {
    for (let at = 0; at < COUNT; at += 100) {
      await server.sendMany(user, 100, (index) => ({ message: `${at + index}`, data }));
    }
  };
  // First while everybody reads, until what the load itself takes (caches, arenas) is there.
  await load('bo');
  await load('bo');
  await until('it has arrived', () => other.log.cursor === 2 * COUNT);
  const before = await residentKilobytes(server.ran.child.pid);

  stalled.wire.socket.pause();
  brief.wire.socket.pause();
  await load('ana');
  await server.send('bo', 'not held up');
  await until('the others have theirs', () => awake.log.cursor === COUNT && other.log.cursor === 2 * COUNT + 1);
  assert.ok(stalled.log.cursor < COUNT);
  const grown = (await residentKilobytes(server.ran.child.pid)) - before;
  const unread = Math.round((2 * COUNT * 15_000) / 1_024);
  t.diagnostic(`${unread} KiB not read by two readers, the server grew by ${grown} KiB`);
  assert.ok(grown < unread / 3, `the server keeps ${grown} KiB for who does not read ${unread} KiB`);

  brief.wire.socket.resume();
  await until('the one that paused briefly has everything', () => brief.log.cursor === COUNT);
  await until('the stalled one is disconnected', async () =>
    !(await server.devices('ana')).find(({ device_id: id }) => id === 'stalled').online, { deadline: 40_000 });
  stalled.wire.socket.resume();
  await stalled.wire.closed;
  stalled.attach();
  await judge(t, server, 'ana', [stalled, brief, awake]);
  await judge(t, server, 'bo', [other]);
});

/** Senders that each send to ana and bo, one after the other, and try again until they are answered. */
function load(server, count) {
  const state = { answered: [], next: 0 };
  state.done = Promise.all(Array.from({ length: 8 }, async () => {
    while (state.next < count) {
      const message = `${state.next++}`;
      const receipts = await surely(server, { to: Number(message) % 10 ? ['ana'] : ['ana', 'bo'], message });
      state.answered.push(...receipts.map((receipt) => ({ ...receipt, message })));
    }
  }));
  return state;
}

/** What was answered is stored, once, and nothing else is. */
async function storedOnce(server, { answered }) {
  for (const user of ['ana', 'bo']) {
    const log = await server.changes(user);
    const expected = answered.filter((receipt) => receipt.user_id === user).sort((a, b) => a.seq - b.seq);
    assert.deepEqual(
      [...log.data].sort((a, b) => a.seq - b.seq).map(({ id, seq, message }) => [id, seq, message]),
      expected.map(({ id, seq, message }) => [id, seq, message]),
    );
    assert.equal(new Set(expected.map(({ message }) => message)).size, expected.length);
  }
}

function household(t, server) {
  const devices = {
    ana: [new BareDevice(server, 'ana', 'phone'), new BareDevice(server, 'ana', 'tablet', { acks: false }), new OfficialDevice(server, 'ana', 'laptop')],
    bo: [new BareDevice(server, 'bo', 'phone'), new OfficialDevice(server, 'bo', 'desk', { transports: ['polling'] })],
  };
  t.after(() => [...devices.ana, ...devices.bo].forEach((device) => device.stop()));
  [...devices.ana, ...devices.bo].forEach((device) => device.stay());
  return devices;
}

test('killed under load, several times: what was answered is there, once, and arrives', async (t) => {
  const COUNT = scaled(1_600);
  const random = seeded(t);
  const server = await Server.start(t);
  const devices = household(t, server);
  const sending = load(server, COUNT);
  for (let kill = 1; kill <= 5; kill += 1) {
    const moment = scaled((kill - 1) * 300) + random.below(scaled(200));
    await until(`${moment} answers`, () => sending.answered.length >= moment, { every: 1, deadline: 90_000 });
    await server.kill();
    await server.restart();
    const op = random.pick(['read', 'seen']);
    // A database keeps what a dead server's transaction had locked for up to a minute.
    await until('a mark', () => server.mark('ana', { op, all: true }), { deadline: 90_000 });
  }
  await sending.done;
  await storedOnce(server, sending);
  await judge(t, server, 'ana', devices.ana);
  await judge(t, server, 'bo', devices.bo);
});

test('terminated under load, several times: it ends by itself, and nothing answered is lost', async (t) => {
  const COUNT = scaled(1_200);
  const random = seeded(t);
  const server = await Server.start(t, { env: { TIDINGS_DRAIN_SECONDS: '2' } });
  const devices = household(t, server);
  const sending = load(server, COUNT);
  for (let round = 1; round <= 3; round += 1) {
    const moment = scaled((round - 1) * 300) + random.below(scaled(200));
    await until(`${moment} answers`, () => sending.answered.length >= moment, { every: 1, deadline: 90_000 });
    assert.deepEqual(await server.terminate(), { code: 0, signal: null }, server.log);
    await server.restart();
  }
  await sending.done;
  await storedOnce(server, sending);
  await judge(t, server, 'ana', devices.ana);
  await judge(t, server, 'bo', devices.bo);
});

test('a crowd that returns at the same moment gets what it missed', async (t) => {
  const CROWD = scaled(500);
  const server = await Server.start(t);
  const devices = Array.from({ length: CROWD }, (_, index) => new BareDevice(server, `user-${index}`, `device-${index}`));
  t.after(() => devices.forEach((device) => device.stop()));
  devices.forEach((device) => device.stay());
  await until('all are attached', () => devices.every(({ log }) => log.cursor !== null));
  await server.kill();
  await server.restart();
  await server.ask('POST', '/v1/notifications', { to: devices.map(({ user }) => user), message: 'while you were away' });
  await until('all have it', () => devices.every(({ log }) => log.cursor === 1), { deadline: 60_000 });
  for (const index of [0, 1, CROWD - 1]) await judge(t, server, `user-${index}`, [devices[index]]);
  for (const { log } of devices) assert.deepEqual(log.faults, []);
  await until('the devices confirmed it', async () => (await server.ask('GET', `${userPath('user-0')}/inbox`)).data[0].status === 'delivered');
});
