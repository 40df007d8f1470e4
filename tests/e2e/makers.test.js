// Clients of other makers, each in its own language, unmodified, with the settings that they have when nobody sets any. Each
// gives a `device_id` and nothing else, and must come back complete by itself, however its connection ended.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settle, SPOTLESS, verdict } from './checker.js';
import { Agent, KINDS } from './rig/agent.js';
import { BareDevice } from './rig/device.js';
import { Proxy } from './rig/proxy.js';
import { Server, userPath } from './rig/server.js';
import { surely } from './rig/surely.js';
import { until } from './rig/until.js';

const device = (name) => `device of ${name}`;
const openly = (user, name) => ({ user_id: user, device_id: device(name) });

/** One program of each kind, all attached. */
async function everybody(t, server, auth = (name) => openly(`user of ${name}`, name), kinds = Object.keys(KINDS)) {
  const agents = kinds.map((kind) => Agent.start(t, kind, server.url, auth));
  const devices = agents.flatMap((agent) => agent.devices);
  await Promise.all(devices.map((one) => one.event('inbox_ready')));
  return { agents, devices };
}

/** Sends to all of them, one notification after the other, until told to stop. */
function sending(server, devices, headers) {
  const state = { going: true, sent: 0 };
  state.over = (async () => {
    while (state.going) await surely(server, { to: devices.map(({ user }) => user), message: `${(state.sent += 1)}` }, headers);
  })();
  state.more = (count) => {
    const goal = state.sent + count;
    return until(`${count} more are sent`, () => state.sent >= goal);
  };
  state.stop = () => {
    state.going = false;
    return state.over;
  };
  return state;
}

/** Each of them attached again and has everything, once and in order. */
async function complete(server, devices, attachedBefore) {
  const missing = () => devices.filter((one, index) => one.attached <= (attachedBefore?.[index] ?? 0)).map(({ name }) => name);
  await until('each is back', () => missing().length === 0).catch(() => {});
  assert.deepEqual(missing(), [], 'each is back');
  const found = {};
  for (const one of devices) {
    await settle(server, one.user, [one.log], 10_000);
    const judged = await verdict(server, one.user, [one.log]);
    if (Object.values(judged).some((faults) => faults.length > 0)) found[one.name] = judged;
  }
  assert.deepEqual(found, {});
}

const ENDS = {
  'SIGTERM and a start': async (server) => {
    await server.terminate();
    await server.restart();
  },
  'kill -9 and a start': async (server) => {
    await server.kill();
    await server.restart();
  },
};

for (const [name, end] of Object.entries(ENDS)) {
  test(`each is back and complete after ${name}, with all of them attached at once`, async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_DRAIN_SECONDS: '2' } });
    const { devices } = await everybody(t, server);
    const load = sending(server, devices);
    await load.more(3);
    const before = devices.map(({ attached }) => attached);
    await end(server);
    await load.more(3);
    await load.stop();
    await complete(server, devices, before);
  });
}

describe('each kind of client', { concurrency: 2 }, () => {
  for (const kind of Object.keys(KINDS)) {
    test(`${kind}: cut while another device of the user confirms, it returns to all that it missed`, async (t) => {
      const server = await Server.start(t);
      const line = await Proxy.start(t, server.port);
      const { devices } = Agent.start(t, kind, line.url, (name) => openly(`user of ${name}`, name));
      const others = devices.map(({ user }) => new BareDevice(server, user, 'another'));
      t.after(() => others.forEach((other) => other.stop()));
      for (const [index, one] of devices.entries()) {
        await others[index].attach().event('inbox_ready');
        await one.event('inbox_ready');
        await server.send(one.user, 'before');
        await one.event('send_notification');
      }
      const before = devices.map(({ attached }) => attached);
      line.cut();
      for (const [index, one] of devices.entries()) {
        const receipts = await server.sendMany(one.user, 5);
        // The other device has them, and says so: the user's furthest position is now above what this one has.
        await until('the other device has confirmed', async () => (await server.status(receipts.at(-1).id)) === 'delivered');
        assert.equal(others[index].log.cursor, 6);
      }
      line.mend();
      await complete(server, devices, before);
      for (const one of devices) assert.ok(one.all('send_notification').length >= 6, one.name);
    });

    test(`${kind}: catches up, confirming and marking each that comes by itself, and is neither refused nor cut off`, async (t) => {
      // More than a second of events at the default limit of 100, both with and without acknowledgements.
      const COUNT = 150;
      // It draws the number of a callback at random below 999, so that of two that wait with one number only the later is
      // answered: it waits for each.
      const oneByOne = kind === 'rust async';
      const server = await Server.start(t);
      for (const way of Object.keys(KINDS[kind].ways)) await server.sendMany(`user of ${kind}, ${way}`, COUNT);
      const { devices } = Agent.start(t, kind, server.url, (name) => ({ ...openly(`user of ${name}`, name), acks: true }));
      await Promise.all(devices.map(async (one) => {
        const answers = [];
        for (let nth = 1; nth <= COUNT; nth += 1) {
          const [{ id, rev }] = await one.event('send_notification', nth);
          for (const event of [['ack_notifications', { rev }], ['mark', { op: 'read', ids: [id] }]]) {
            answers.push(one.emit(...event));
            if (oneByOne) await answers.at(-1);
          }
        }
        const refused = (await Promise.all(answers)).filter(([answer]) => !answer.ok);
        assert.deepEqual(refused, [], one.name);
        assert.deepEqual(await server.counts(one.user), { total: COUNT, unread: 0, unseen: 0 }, one.name);
      }));
      assert.deepEqual(devices.map(({ attached }) => attached), devices.map(() => 1));
      await complete(server, devices);
    });

    test(`${kind}: attaches by auth, confirms, marks, registers, and is answered`, async (t) => {
      const server = await Server.start(t);
      for (const way of Object.keys(KINDS[kind].ways)) await server.sendMany(`user of ${kind}, ${way}`, 2);
      const { devices, texts } = Agent.start(t, kind, server.url, (name) => ({ ...openly(`user of ${name}`, name), acks: true }));
      for (const one of devices) {
        const [info] = await one.event('inbox_ready');
        assert.deepEqual([info.user_id, info.device_id, info.mode, info.cursor], [one.user, device(one.name), 'pending', 0]);
        const [first] = await one.event('send_notification');
        const [second] = await one.event('send_notification', 2);
        // Where `auth` takes texts only, `acks` is left out, and receipt is proved by the transport.
        if (!texts) assert.equal(await server.status(first.id), 'pending', one.name);
        assert.deepEqual(await one.emit('ack_notifications', { rev: 2 }), [{ ok: true, rev: 2 }], one.name);
        assert.equal(await server.status(second.id), 'delivered', one.name);

        const marked = await one.emit('mark', { op: 'read', ids: [first.id] });
        assert.deepEqual(marked, [{ ok: true, rev: 3, changed: 1, unread: 1, unseen: 1, total: 2 }], one.name);
        const [change] = await one.event('notification_updated');
        assert.deepEqual(change, { rev: 3, prev: 2, op: 'read', ids: [first.id] });

        const [again] = await one.emit('register_user', { user_id: one.user, device_id: device(one.name), acks: true });
        assert.deepEqual([again.ok, again.user_id, again.unread], [true, one.user, 1]);
        const [refused] = await one.emit('mark', { op: 'nonsense', all: true });
        assert.deepEqual([refused.ok, refused.code], [false, 'invalid_request']);
      }
      await complete(server, devices);
    });
  }
});

test('each is back and complete after it read nothing for so long that the server ended its connection', { timeout: 180_000 }, async (t) => {
  const server = await Server.start(t);
  const { agents, devices } = await everybody(t, server);
  const before = devices.map(({ attached }) => attached);
  agents.forEach((agent) => agent.pause());
  // More than the server writes ahead of what is known to have arrived.
  const data = { filling: 'x'.repeat(4_000) };
  for (let sent = 0; sent < 100; sent += 1) await server.ask('POST', '/v1/notifications', { to: devices.map(({ user }) => user), message: `${sent}`, data });
  const online = async () => (await Promise.all(devices.map(({ user }) => server.devices(user)))).flat().filter((one) => one.online).length;
  await until('the server has ended their connections', async () => (await online()) === 0, { deadline: 60_000, every: 250 });
  agents.forEach((agent) => agent.goOn());
  await complete(server, devices, before);
});

test('each is back and complete after its token ended, with the new one that its application fetched', { timeout: 180_000 }, async (t) => {
  const key = 'an-api-key-of-the-tests-0123456789';
  const server = await Server.start(t, {
    env: { TIDINGS_BIND: '127.0.0.1', TIDINGS_API_KEYS: key, TIDINGS_JWT_SECRET: 'a secret of the tests, longer than it has to be' },
  });
  server.headers = { authorization: `Bearer ${key}` };
  const token = async (user, seconds) => (await server.ask('POST', `${userPath(user)}/tokens`, { ttl_seconds: seconds })).token;
  // What has an `auth` for good cannot return after its token.
  const kinds = Object.keys(KINDS).filter((kind) => !KINDS[kind].fixed);
  const auths = {};
  for (const kind of kinds) {
    for (const way of Object.keys(KINDS[kind].ways)) {
      const name = `${kind}, ${way}`;
      auths[name] = { token: await token(`user of ${name}`, 5), device_id: device(name) };
    }
  }
  const { devices } = await everybody(t, server, (name) => auths[name], kinds);
  await Promise.all(devices.map(async (one) => {
    await one.event('session_expiring');
    one.becomes({ ...auths[one.name], token: await token(one.user, 600) });
  }));
  const before = devices.map(({ attached }) => attached);
  const to = devices.map(({ user }) => user);
  // Something comes all the while, also between the end of a connection and the next one.
  await until('each is back', async () => {
    await server.send(to, 'meanwhile');
    return devices.every(({ attached }, index) => attached > before[index]);
  }, { deadline: 40_000, every: 500 }).catch(() => {});
  await complete(server, devices, before);
});
