// A resume that is cut, again and again: what a device has not had as new still comes to it as new. What it gives when it
// returns is the last offset that it got, as it came, whatever the server put into it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { DeviceLog, SPOTLESS, verdict } from './checker.js';
import { Server } from './rig/server.js';
import { stream } from './rig/stream.js';
import { Wire } from './rig/wire.js';

/** More than the server writes ahead (64 events, 256 KiB) and more than one page of a resume, several times. */
const COUNT = 400;
const FILLING = { filling: 'x'.repeat(4_000) };
/** So many events a connection, then it is cut. */
const PER_CONNECTION = 45;
/** More connections than that are no progress. */
const MOST_CONNECTIONS = 40;

/** What is created low in the inbox and moves above whatever a page ends with, in every way that there is. */
async function moveUp(server, ids) {
  const [edited, read, archived, several, another] = ids;
  await server.ask('PATCH', `/v1/notifications/${edited}`, { message: 'edited' });
  await server.mark('ana', { op: 'read', ids: [read] });
  await server.mark('ana', { op: 'archive', ids: [archived] });
  await server.mark('ana', { op: 'seen', ids: [several, another] });
}

/** Counts the events of one connection, and takes no more once it has had its share. */
function share(take) {
  let taken = 0;
  return (event, args) => {
    if (taken >= PER_CONNECTION) return true;
    take(event, args);
    taken += 1;
    return taken >= PER_CONNECTION;
  };
}

/** One connection each: done when it is cut, or when the device stands at `head()`. */
const WAYS = {
  'an official client\'s pid and offset on a bare websocket': (t, server, log) => {
    let pid;
    return async (head) => {
      const auth = { user_id: 'ana', acks: true, ...log.repeated(pid) };
      const take = share(log.attachment());
      let cut;
      const over = new Promise((settle) => (cut = settle));
      const wire = new Wire(server.url, auth, {
        onWelcome: (welcome) => ({ pid } = welcome),
        onEvent: (event, args) => {
          if (take(event, args) || log.cursor >= head()) cut();
        },
      });
      t.after(() => wire.vanish());
      await over;
      await wire.vanish();
    };
  },
  'the official client itself': (t, server, log) => {
    const socket = io(server.url, {
      forceNew: true, transports: ['websocket'], autoConnect: false, reconnection: false, auth: { user_id: 'ana', acks: true },
    });
    t.after(() => socket.disconnect());
    let take;
    let taken;
    let full = () => false;
    socket.onAny((event, ...args) => {
      // What the client had read before the cut it tells when it is connected again, before anything that comes then.
      if (event === 'inbox_ready') {
        take = log.attachment();
        taken = 0;
      }
      take(event, args);
      taken += 1;
      if (full() && socket.connected) socket.io.engine.close();
    });
    return async (head) => {
      // The same socket, so that it keeps its pid and its last offset, as it does when it reconnects by itself.
      full = () => taken >= PER_CONNECTION || log.cursor >= head();
      const over = new Promise((settle) => socket.once('disconnect', settle));
      socket.connect();
      await over;
    };
  },
  'a device_id alone, with acknowledgements': (t, server, log) => (head) => confirmed(t, server, log, head, () => ({})),
  'a device_id and the epoch and cursor that it kept': (t, server, log) => (head) => confirmed(t, server, log, head, () => log.position),
  'Last-Event-ID on the stream': (t, server, log) => (head) =>
    streamed(t, server, log, head, '', log.offset === null ? {} : { 'last-event-id': log.offset }),
  '?lastEventId= on the stream': (t, server, log) => (head) =>
    streamed(t, server, log, head, log.offset === null ? '' : `&lastEventId=${encodeURIComponent(log.offset)}`, {}),
};

/** One connection of a device that says what it has before it is cut. */
async function confirmed(t, server, log, head, position) {
  const take = share(log.attachment());
  let cut;
  const over = new Promise((settle) => (cut = settle));
  const wire = new Wire(server.url, { user_id: 'ana', device_id: 'phone', acks: true, ...position() }, {
    onEvent: (event, args) => {
      if (take(event, args) || log.cursor >= head()) cut();
    },
  });
  t.after(() => wire.vanish());
  await over;
  assert.equal((await wire.emit('ack_notifications', { rev: log.cursor })).ok, true);
  await wire.vanish();
}

async function streamed(t, server, log, head, query, headers) {
  const take = share(log.attachment());
  let cut;
  const over = new Promise((settle) => (cut = settle));
  const { response, close } = await stream(t, server, 'ana', `device_id=feed${query}`, headers, (event, args, id) => {
    if (take(event, [...args, id]) || log.cursor >= head()) cut();
  });
  assert.equal(response.status, 200);
  await over;
  close();
}

for (const [way, connecting] of Object.entries(WAYS)) {
  test(`a resume that is cut between its pages brings all as new: ${way}`, async (t) => {
    const server = await Server.start(t);
    const receipts = await server.sendMany('ana', COUNT, (index) => ({ message: `${index + 1}`, data: FILLING }));
    const ids = receipts.map(({ id }) => id);
    await moveUp(server, ids);
    const log = new DeviceLog('phone');
    const connect = connecting(t, server, log);
    let { head } = (await server.inbox('ana', 'limit=1')).meta;
    let connections = 0;
    while (log.cursor === null || log.cursor < head) {
      assert.ok(connections < MOST_CONNECTIONS, `after ${connections} connections it stands at ${log.cursor} of ${head}`);
      await connect(() => head);
      connections += 1;
      if (connections === 2) {
        // Now what it has had moves too, and what it has not had moves again; and one comes that is new to everybody.
        const had = ids.filter((id) => log.had.has(id)).slice(-5);
        await moveUp(server, had);
        await moveUp(server, ids.slice(5, 10).filter((id) => !had.includes(id)).concat(ids.slice(200, 205)).slice(0, 5));
        await server.ask('PATCH', `/v1/notifications/${ids[0]}`, { message: 'edited again' });
        await server.send('ana', 'meanwhile');
        ({ head } = (await server.inbox('ana', 'limit=1')).meta);
      }
    }
    t.diagnostic(`${connections} connections`);
    assert.ok(connections > 5, 'it was cut');
    assert.deepEqual(await verdict(server, 'ana', [log]), SPOTLESS);
    // Only the two that one mark moved together may come as an update.
    const asNew = new Set(log.entries.filter(({ event }) => event === 'send_notification').flatMap(({ ids: sent }) => sent));
    const together = (await server.changes('ana')).data.filter(({ rev }, _, all) => all.filter((other) => other.rev === rev).length > 1);
    const never = [...log.picture.keys()].filter((id) => !asNew.has(id) && !together.some((other) => other.id === id));
    assert.deepEqual(never, []);
  });
}
