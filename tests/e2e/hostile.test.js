// What strangers send to hurt: each attack in several waves against one server, whose memory is measured, while a healthy
// client must get everything (see rig/waves.js). The figures are printed; the ones that depend on the machine are not
// asserted.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { mutate, PACKETS } from './rig/mutate.js';
import { seeded } from './rig/random.js';
import { BINARY, CONTINUATION, crowd, frame, PING, Raw, text, TEXT, upgrade } from './rig/raw.js';
import { within } from './rig/until.js';
import { waves } from './rig/waves.js';

const POLLING = '/socket.io/?EIO=4&transport=polling';
const MEGABYTE = Buffer.alloc(1024 * 1024, 'x');

function* repeated(chunk, times) {
  for (let time = 0; time < times; time += 1) yield chunk;
}

/** Waits until the server has ended the connection. */
const refused = (raw, what) => within(`the server ends ${what}`, raw.ended, 30_000);

const post = (server, path, headers, body = '') =>
  `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;

/** A polling session whose CONNECT was answered. */
async function session(server) {
  const opened = await server.request('GET', POLLING);
  const path = `${POLLING}&sid=${JSON.parse(opened.text.slice(1)).sid}`;
  const say = (body) => server.request('POST', path, body, { 'content-type': 'text/plain' });
  const hear = () => server.request('GET', path);
  await say('40{}');
  assert.match((await hear()).text, /^40\{"sid"/);
  return { path, say, hear, query: path.slice(path.indexOf('&sid')) };
}

/** A polling session is over: it is unknown, or says so once. */
async function gone(hear) {
  const { status, text: said } = await hear();
  assert.ok(status === 400 || said.endsWith('1'), `${status} ${said}`);
}

/** A body is refused with this status, also where it is refused while it is still written. */
async function turnedAway(server, path, body, headers, status) {
  const raw = new Raw(server);
  raw.write(post(server, path, [`Content-Length: ${Buffer.byteLength(body)}`, ...headers]));
  raw.write(body);
  await raw.got('\r\n\r\n');
  assert.ok(raw.answer.startsWith(`HTTP/1.1 ${status} `), `${path}: ${raw.answer}`);
  await raw.vanish();
}

describe('frames and packets', () => {
  test('frames of 15 MB', (t) =>
    waves(t, (server) =>
      crowd(30, 10, async (index) => {
        const raw = index % 3 === 0 ? await Raw.websocket(server) : await Raw.connected(server);
        raw.write(frame(index % 2 ? TEXT : BINARY, '', { length: 15 * MEGABYTE.length }));
        await within('the frame is refused', raw.push(repeated(MEGABYTE, 15)));
        await refused(raw, 'a frame of 15 MB');
      })));

  test('fragments without end', (t) =>
    waves(t, (server) =>
      crowd(30, 10, async (index) => {
        const raw = await Raw.connected(server);
        raw.write(frame(TEXT, '42["mark","', { fin: false }));
        if (index % 3 > 0) {
          const some = Buffer.concat([frame(CONTINUATION, 'x'.repeat(1_000), { fin: false }), frame(PING, 'x')]);
          await raw.push(repeated(some, 1_000));
          await refused(raw, 'a message of a megabyte');
        } else {
          // Of nothing there is no too much; but it must not be kept either.
          const none = Buffer.concat(Array(1_000).fill(frame(CONTINUATION, '', { fin: false })));
          await within('empty fragments are read', raw.push(repeated(none, 100)));
          await raw.vanish();
        }
      })));

  test('a million attachments announced', (t) =>
    waves(t, async (server) => {
      await crowd(100, 20, async () => {
        const raw = await Raw.connected(server);
        raw.write(text('451000000-["mark",{"_placeholder":true,"num":0}]'));
        await refused(raw, 'a packet of a million attachments');
      });
      const waiting = [];
      await crowd(50, 10, async (index) => {
        const raw = await Raw.connected(server);
        raw.write(text('4510-["mark",{"_placeholder":true,"num":0}]'));
        // As much as one packet may have and then no more; or more than that.
        await raw.push(repeated(frame(BINARY, MEGABYTE.subarray(0, 60_000)), index % 2 ? 4 : 9));
        if (index % 2) waiting.push(raw);
        else await refused(raw, 'a packet of 540 KB');
      });
      await Promise.all(waiting.map((raw) => raw.vanish()));
    }));

  test('pings by the thousand whose answers are not read', (t) =>
    waves(t, async (server) => {
      const pings = Buffer.concat(Array(1_000).fill(frame(PING, 'x'.repeat(125))));
      await crowd(4, 4, async () => {
        const raw = await Raw.connected(server);
        raw.deafen();
        await within('the pings are taken', raw.push(repeated(pings, 150)), 30_000);
        await raw.vanish();
      });
    }));

  test('questions whose answers are not read', (t) =>
    waves(t, async (server) => {
      const deaf = [];
      await crowd(20, 20, async (index) => {
        const raw = await Raw.connected(server, { user_id: `mallory-${index}` });
        raw.deafen();
        deaf.push(raw);
        const question = text(`427["mark",{"op":"read","ids":["${'x'.repeat(index % 2 ? 60_000 : 60)}"]}]`);
        // It stops being read before all is written: what is then in this process goes with the connection.
        for (const chunk of repeated(question, index % 2 ? 100 : 2_000)) raw.write(chunk);
      });
      const probe = await Raw.connected(server, { user_id: 'probe' });
      for (let asked = 0; asked < 30; asked += 1) {
        probe.answer = '';
        probe.write(text('421["mark",{"op":"read","all":true}]'));
        assert.ok(await probe.got('431['));
      }
      await Promise.all([probe, ...deaf].map((raw) => raw.vanish()));
    }, { env: { TIDINGS_MAX_EVENTS_PER_SECOND: '0' } }));

  test('20,000 mutated packets', async (t) => {
    const random = seeded(t);
    const WAVES = 4;
    let ended = 0;
    await waves(t, async (server, wave) => {
      // Over websockets, each until it is closed.
      await crowd(16, 16, async () => {
        let raw;
        for (let packet = 0; packet < 250; packet += 1) {
          if (!raw || raw.over) raw = await Raw.connected(server, random.chance(0.5) ? { user_id: 'mallory' } : {});
          raw.answer = '';
          const kind = random.chance(0.1) ? BINARY : TEXT;
          raw.write(Buffer.concat([frame(kind, mutate(random, random.pick(PACKETS))), frame(PING, `after ${packet}.`)]));
          if (!(await within('an answer to a mutated packet', raw.got(`after ${packet}.`)))) ended += 1;
        }
        await raw.vanish();
      });
      // Over polling, several in one body.
      await crowd(250, 8, async () => {
        const { say } = await session(server);
        const body = Buffer.concat(Array.from({ length: 4 }, () => [random.pick(PACKETS), Buffer.from('\u001e')]).flat());
        const answer = await say(mutate(random, body));
        assert.ok([200, 400, 413].includes(answer.status), `${answer.status}: ${answer.text}`);
        await say('1');
      });
      // The server also closes what was idle for so long: later than this process, which keeps connections for 4 s.
    }, { count: WAVES, env: { TIDINGS_MAX_EVENTS_PER_SECOND: '0', TIDINGS_REGISTER_SECONDS: '3', TIDINGS_HANDSHAKE_SECONDS: '6' } });
    t.diagnostic(`${WAVES * 5_000} packets, of which ${ended} ended their websocket`);
  });

  test('60 KB of everything in auth', async (t) => {
    const long = 'x'.repeat(60_000);
    const auths = [
      { user_id: long }, { user_id: 'mallory', device_id: long }, { user_id: 'mallory', token: long }, { user_id: 'mallory', epoch: long, cursor: 1 },
      { user_id: 'mallory', epoch: 'e', cursor: 1e300 }, { user_id: 'mallory', epoch: 'e', cursor: '9'.repeat(60_000) }, { user_id: 'mallory', pid: long },
      { user_id: 'mallory', pid: 'p', offset: long }, { user_id: 'mallory', pid: 'p', offset: `e:${'9'.repeat(60_000)}` }, { user_id: 'mallory', [long]: 1 },
      Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`key-${index}`, 1])),
    ].map((auth) => JSON.stringify(auth));
    auths.push(`{"user_id":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, `{"a":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`);
    await waves(t, async (server) => {
      const held = [];
      await crowd(20 * auths.length, 20, async (index) => {
        const raw = await Raw.websocket(server);
        raw.write(text(`40${auths[index % auths.length]}`));
        // Taken, or refused by name.
        assert.ok(await raw.got(/40\{"sid"|44\{/), `${auths[index % auths.length].slice(0, 60)}: ${raw.answer.slice(-200)}`);
        held.push(raw);
      });
      await Promise.all(held.map((raw) => raw.vanish()));
    }, { env: { TIDINGS_MAX_SOCKETS_PER_USER: '0' } });
  });
});

describe('connections', () => {
  test('handshakes that never end, 200 of each kind', (t) =>
    waves(t, async (server) => {
      const kinds = [
        () => new Raw(server),
        () => {
          const raw = new Raw(server);
          raw.write('GET /socket.io/?EI');
          return raw;
        },
        () => {
          const raw = new Raw(server);
          raw.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nX-Slow: `);
          const dripping = setInterval(() => raw.write('x'), 50);
          raw.ended.then(() => clearInterval(dripping));
          return raw;
        },
        // The websocket is there, its CONNECT never comes; or half a frame of it.
        () => Raw.websocket(server),
        async () => {
          const raw = await Raw.websocket(server);
          raw.write(text('40{}').subarray(0, 8));
          return raw;
        },
      ];
      // Not all in one moment: what the system's queue of new connections cannot hold never reaches the server.
      const begun = [];
      await crowd(200 * kinds.length, 40, async (index) => {
        begun[index] = await kinds[index % kinds.length]();
        await begun[index].begun;
      });
      await Promise.all(begun.map((raw, index) => refused(raw, `a handshake of kind ${index % kinds.length}`)));
    }, { env: { TIDINGS_HANDSHAKE_SECONDS: '1' } }));

  test('5,000 sockets that never register', async (t) => {
    const SOCKETS = 5_000;
    const counts = [];
    await waves(t, async (server) => {
      let [now, most] = [0, 0];
      await crowd(SOCKETS, SOCKETS, async (index) => {
        const raw = await Raw.connected(server);
        assert.ok(!raw.over, `socket ${index} was not taken`);
        most = Math.max(most, (now += 1));
        await refused(raw, 'a socket that never registers');
        now -= 1;
      });
      counts.push(most);
    }, { env: { TIDINGS_REGISTER_SECONDS: '3' } });
    t.diagnostic(`at most at once: ${counts}`);
  });
});

describe('HTTP', () => {
  test('2,000 headers, and one of a megabyte', (t) =>
    waves(t, (server) =>
      crowd(60, 20, async (index) => {
        const raw = new Raw(server);
        const path = index % 3 ? '/api/health' : POLLING;
        raw.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n`);
        if (index % 2) await raw.push(repeated('X-Header: value\r\n', 2_000));
        else {
          raw.write('X-Header: ');
          await raw.push(repeated(MEGABYTE.subarray(0, 65_536), 16));
        }
        raw.write('\r\n\r\n');
        await refused(raw, 'a request with such a head');
        assert.match(raw.answer, /^HTTP\/1\.1 431 /);
      })));

  test('polling without a session, with a wrong one, too much, twice at once', (t) =>
    waves(t, (server) =>
      crowd(120, 12, async (index) => {
        const kind = index % 6;
        if (kind === 0) {
          assert.equal((await server.request('POST', POLLING, '40{}')).status, 400);
          assert.equal((await server.request('POST', `${POLLING}&sid=AAAAAAAAAAAAAAAAAAAA`, '40{}')).status, 400);
          assert.equal((await server.request('POST', `${POLLING}&sid=${'x'.repeat(4_000)}`, '40{}')).status, 400);
          assert.equal((await server.request('GET', `${POLLING}&sid=%00`)).status, 400);
        } else if (kind === 1) {
          // Endless, to no session.
          const raw = new Raw(server);
          raw.write(post(server, `${POLLING}&sid=unknown`, ['Transfer-Encoding: chunked']));
          await within(`an endless body of kind ${kind}`, raw.push(repeated(`10000\r\n${'x'.repeat(65_536)}\r\n`, 32)), 5_000);
          assert.ok(await raw.got(/^HTTP\/1\.1 400 /), raw.answer);
          await raw.vanish();
        } else if (kind === 2) {
          // Endless, to a session: it goes with it.
          const { path, hear } = await session(server);
          const raw = new Raw(server);
          raw.write(post(server, path, ['Transfer-Encoding: chunked']));
          await within(`an endless body of kind ${kind}`, raw.push(repeated(`10000\r\n${'x'.repeat(65_536)}\r\n`, 32)), 5_000);
          assert.ok(await raw.got(/^HTTP\/1\.1 413 /), raw.answer);
          await raw.vanish();
          await gone(hear);
        } else if (kind === 3) {
          const { path, say, hear } = await session(server);
          const raw = new Raw(server);
          raw.write(post(server, path, ['Content-Length: 10000000000'], '4'));
          await raw.vanish();
          await say('1').catch(() => {});
          await hear().catch(() => {});
        } else if (kind === 4) {
          // One that does not end, and a second one.
          const { path, say, hear } = await session(server);
          const raw = new Raw(server);
          raw.write(post(server, path, ['Content-Length: 1000', 'Expect: 100-continue'], '4'));
          await raw.got('100 Continue');
          assert.equal((await say('3')).status, 400);
          await raw.vanish();
          await gone(hear);
        } else {
          const { say, hear } = await session(server);
          const heard = await Promise.all([hear(), hear(), say('1')]);
          assert.ok(heard.some(({ status }) => status === 400));
        }
      }), { env: { TIDINGS_REGISTER_SECONDS: '3' } }));

  test('races to upgrade', (t) =>
    waves(t, (server) =>
      crowd(40, 40, async (index) => {
        const { say, hear, query } = await session(server);
        const kind = index % 4;
        const rivals = await Promise.all(Array.from({ length: kind === 0 ? 5 : 1 }, () => Raw.websocket(server, query)));
        const [raw] = rivals;
        if (kind === 0) {
          // One is probed, the others are turned away; it vanishes.
          rivals.forEach((rival) => rival.write(text('2probe')));
          await Promise.race(rivals.map(async (rival) => (await rival.got('3probe')) || new Promise(() => {})));
        } else if (kind === 1) {
          raw.write(text('2probe'));
          assert.ok(await raw.got('3probe'));
        } else if (kind === 2) {
          raw.write(Buffer.concat([text('5'), text('40{}')]));
          await refused(raw, 'an upgrade without a probe');
        } else {
          // It takes over; then nobody else does.
          raw.write(text('2probe'));
          assert.ok(await raw.got('3probe'));
          await hear();
          raw.write(Buffer.concat([text('5'), text('5'), text('420["mark",{"op":"read","all":true}]')]));
          const late = new Raw(server);
          late.write(upgrade(server, query));
          await late.got('\r\n\r\n');
          assert.equal((await say('3')).status, 400);
          await late.vanish();
        }
        await Promise.all(rivals.map((rival) => rival.vanish()));
        if (kind === 3) return;
        // Whatever came of it, the session is still there and serves.
        assert.equal((await say('420["mark",{"op":"read","all":true}]')).status, 200);
        const heard = [];
        while (!heard.some((body) => body.includes('430['))) {
          const answer = await within('the answer by polling', hear());
          assert.equal(answer.status, 200, answer.text);
          heard.push(answer.text);
        }
        await say('1');
      }), { env: { TIDINGS_REGISTER_SECONDS: '20' } }));

  test('bodies too large, too deep, too slow, or packed', async (t) => {
    const json = 'Content-Type: application/json';
    const bomb = gzipSync(Buffer.alloc(50 * MEGABYTE.length));
    const deep = `{"to":"mallory","message":"m","data":{"a":${'['.repeat(120_000)}${']'.repeat(120_000)}}}`;
    const nothings = `{"notifications":[${'{},'.repeat(100_000)}{}]}`;
    await waves(t, async (server) => {
      const held = [];
      await crowd(70, 10, async (index) => {
        const kind = index % 7;
        if (kind === 0) {
          const raw = new Raw(server);
          raw.write(post(server, '/v1/notifications', ['Content-Type: application/json', `Content-Length: ${10 * MEGABYTE.length}`]));
          await raw.push(repeated(MEGABYTE, 10));
          await raw.got('\r\n\r\n');
          assert.match(raw.answer, /^HTTP\/1\.1 413 /);
          await raw.vanish();
        } else if (kind === 1) {
          await turnedAway(server, '/v1/notifications', deep, [json], 400);
        } else if (kind === 2) {
          await turnedAway(server, '/v1/notifications/batch', nothings, [json], 400);
        } else if (kind === 3) {
          await turnedAway(server, '/v1/notifications', bomb, [json, 'Content-Encoding: gzip'], 413);
        } else if (kind === 4) {
          const { path } = await session(server);
          await turnedAway(server, path, bomb, ['Content-Encoding: gzip'], 400);
        } else {
          const raw = new Raw(server);
          const length = kind === 5 ? 200_000 : 10_000_000_000;
          raw.write(post(server, '/v1/notifications', ['Content-Type: application/json', `Content-Length: ${length}`], MEGABYTE.subarray(0, 100_000)));
          held.push(raw);
        }
      });
      await Promise.all(held.map((raw) => raw.vanish()));
    }, { env: { TIDINGS_REGISTER_SECONDS: '3' } });
  });

  test('garbage, behind one another, and answers that are not read', async (t) => {
    const good = (server) => `GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`;
    const bad = [
      () => randomBytes(10_000),
      () => 'GET / HTTP/9.9\r\n\r\n',
      () => '\r\n'.repeat(10_000),
      () => `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
      () => 'POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
      () => 'POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
      () => 'POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n',
      () => 'GET / HTTP/1.1\r\nno colon\r\n\r\n',
      () => '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
    ];
    await waves(t, async (server) => {
      await crowd(15 * bad.length, 15, async (index) => {
        const raw = new Raw(server);
        raw.write(good(server).repeat(index % 5));
        raw.write(bad[index % bad.length]());
        raw.socket.end();
        await refused(raw, `garbage of kind ${index % bad.length}`);
      });
      const deaf = [];
      await crowd(20, 20, async () => {
        const raw = new Raw(server);
        raw.deafen();
        raw.write(good(server).replace('/api/health', '/').repeat(5_000));
        deaf.push(raw);
      });
      await server.request('GET', '/api/health');
      await Promise.all(deaf.map((raw) => raw.vanish()));
    });
  });
});
