// The one judge of every journey. Each device keeps a log of what it received, as (epoch, rev, ids), and a picture of
// the inbox made from nothing but those events. Both are held against the store as it is read over HTTP: nothing lost,
// nothing out of order, nothing twice, nothing invented, and the last badge is the counted one.

import { placeOf } from './rig/offset.js';
import { until } from './rig/until.js';

/** What a device must agree on with the store. `status` is not among it: becoming delivered is no news for devices. */
const SEEN_BY_DEVICES = ['seq', 'title', 'message', 'is_read', 'is_seen', 'is_archived'];

export class DeviceLog {
  constructor(name) {
    this.name = name;
    this.epoch = null;
    this.start = null;
    this.cursor = null;
    this.offset = null;
    this.entries = [];
    this.picture = new Map();
    this.had = new Set();
    this.counts = null;
    this.dropped = 0;
    this.faults = [];
  }

  /** What this device says of itself when it attaches, once it knows where it is. */
  get position() {
    return this.epoch === null ? {} : { epoch: this.epoch, cursor: this.cursor };
  }

  /** What an official client adds by itself: the `pid` that it was given, and the last offset that it got, as it came. */
  repeated(pid) {
    return pid === undefined || this.offset === null ? {} : { pid, offset: this.offset };
  }

  /** A new connection of this device: gives what to call with its events. */
  attachment() {
    const connection = { served: null };
    return (event, args) => {
      if (typeof args.at(-1) === 'string') this.offset = args.at(-1);
      if (event === 'inbox_ready') this.#ready(connection, ...args);
      else if (event === 'send_notification') this.#sent(connection, ...args);
      else if (event === 'notification_updated') this.#updated(connection, ...args);
      else if (event === 'sync_required') this.#fault('lost', `was told to sync: ${JSON.stringify(args)}`);
    };
  }

  #fault(kind, text) {
    this.faults.push({ kind, text: `${this.name}: ${text}` });
  }

  #ready(connection, info, offset) {
    connection.served = info.cursor;
    this.counts = { unread: info.unread, unseen: info.unseen, total: info.total };
    const { epoch, rev } = placeOf(offset);
    if (epoch !== info.epoch || rev !== info.cursor) this.#fault('outOfOrder', `inbox_ready at ${info.cursor} said ${offset}`);
    if (info.mode === 'snapshot') this.#fault('lost', `was given a snapshot at ${info.cursor}, stood at ${this.cursor}`);
    if (this.epoch === null) {
      this.epoch = info.epoch;
      this.start = info.cursor;
      this.cursor = info.cursor;
    } else if (info.epoch !== this.epoch) {
      this.#fault('lost', `the epoch changed from ${this.epoch} to ${info.epoch}`);
    } else if (info.cursor > this.cursor) {
      this.#fault('lost', `attached at ${info.cursor}, above its own ${this.cursor}`);
    }
  }

  #sent(connection, notification, { prev, ...counts }, offset) {
    const next = this.#place(connection, offset, prev);
    if (next === null) return;
    if (notification.rev !== next) this.#fault('outOfOrder', `${notification.id} of rev ${notification.rev} came as ${next}`);
    if (this.had.has(notification.id)) this.#fault('duplicates', `${notification.id} came as new again at ${next}`);
    this.#take('send_notification', next, [notification.id], counts);
    this.picture.set(notification.id, notification);
    this.had.add(notification.id);
  }

  #updated(connection, change, counts, offset) {
    if (change.part && change.part.index < change.part.of - 1) {
      this.#part(connection, change, counts, offset);
      return;
    }
    const next = this.#place(connection, offset, change.prev);
    if (next === null) return;
    if (change.rev !== next) this.#fault('outOfOrder', `an update of rev ${change.rev} came as ${next}`);
    const ids = change.ids ?? change.notifications?.map(({ id }) => id) ?? this.#reached(change);
    this.#take('notification_updated', next, ids, counts);
    this.#apply(change, ids, next);
  }

  /** One part of a revision, which another part follows: it changes the picture, and moves no cursor. */
  #part(connection, change, counts, offset) {
    const { epoch, rev } = placeOf(offset);
    if (connection.served === null) this.#fault('outOfOrder', `${offset} came before inbox_ready`);
    else if (change.prev !== connection.served) this.#fault('lost', `a part at ${offset} follows ${change.prev}, the socket had been served ${connection.served}`);
    if (epoch !== this.epoch) this.#fault('lost', `${offset} is of another epoch than ${this.epoch}`);
    if (rev !== change.prev) this.#fault('outOfOrder', `a part of rev ${change.rev} after ${change.prev} said ${offset}`);
    if (change.rev <= this.cursor) {
      this.dropped += 1;
      return;
    }
    this.counts = pickCounts(counts);
    this.#apply(change, change.ids ?? change.notifications.map(({ id }) => id), change.rev);
  }

  #apply(change, ids, at) {
    for (const notification of change.notifications ?? []) {
      const isNew = !notification.deleted && notification.seq > this.start && !this.had.has(notification.id);
      // Several of one revision come in one event, or in parts; one alone must come as new, or simple clients never see it.
      const isAlone = change.notifications.length === 1 && !change.part;
      if (isNew && isAlone) this.#fault('lost', `${notification.id} came as an update only, at ${at}`);
      this.had.add(notification.id);
      if (notification.deleted) this.picture.delete(notification.id);
      else this.picture.set(notification.id, notification);
    }
    if (!change.notifications) ids.forEach((id) => this.#mark(id, change.op));
  }

  #reached({ op, up_to: upTo, category }) {
    return [...this.picture.values()]
      .filter((n) => n.seq <= upTo && n.is_archived === (op === 'unarchive') && (!category || n.category === category))
      .map(({ id }) => id);
  }

  #mark(id, op) {
    const held = this.picture.get(id);
    if (!held) return;
    if (op === 'delete') this.picture.delete(id);
    else if (op === 'read') this.picture.set(id, { ...held, is_read: true, is_seen: true });
    else if (op === 'unread') this.picture.set(id, { ...held, is_read: false });
    else if (op === 'seen') this.picture.set(id, { ...held, is_seen: true });
    else if (op === 'archive') this.picture.set(id, { ...held, is_archived: true });
    else if (op === 'unarchive') this.picture.set(id, { ...held, is_archived: false });
    else this.#fault('lost', `got the unknown operation ${op}`);
  }

  /** Gives the event's revision, or `null` for what this device has already. */
  #place(connection, offset, prev) {
    const { epoch, rev } = placeOf(offset);
    if (connection.served === null) this.#fault('outOfOrder', `${offset} came before inbox_ready`);
    else if (prev !== connection.served) this.#fault('lost', `${offset} follows ${prev}, the socket had been served ${connection.served}`);
    if (rev <= connection.served) this.#fault('outOfOrder', `${offset} came after ${connection.served} on one socket`);
    connection.served = rev;
    if (epoch !== this.epoch) this.#fault('lost', `${offset} is of another epoch than ${this.epoch}`);
    if (rev <= this.cursor) {
      this.dropped += 1;
      return null;
    }
    if (prev > this.cursor) this.#fault('lost', `${offset} follows ${prev}, this device stood at ${this.cursor}`);
    return rev;
  }

  #take(event, rev, ids, counts) {
    this.cursor = rev;
    this.counts = pickCounts(counts);
    this.entries.push({ epoch: this.epoch, rev, event, ids, at: performance.now() });
  }
}

/** Waits until each device has everything, or the time is over: then `verdict` says what is missing. */
export async function settle(server, user, logs, deadline = 30_000) {
  const { meta } = await server.inbox(user, 'limit=1');
  await until(`every device of ${user} stands at ${meta.head} (${logs.map(({ name, cursor }) => `${name} ${cursor}`)})`, () =>
    logs.every(({ cursor }) => cursor !== null && cursor >= meta.head), { deadline }).catch(() => {});
}

/** Holds the logs of one user's devices against the store. Everything in it must be empty. */
export async function verdict(server, user, logs) {
  const store = await server.changes(user);
  const inbox = await wholeInbox(server, user);
  return judge({ store, inbox, logs });
}

/** What `verdict` says, from what was read. */
export function judge({ store, inbox, logs }) {
  const found = { lost: [], outOfOrder: [], duplicates: [], invented: [], badge: [] };
  const revisions = store.data.map(({ rev }) => rev);
  if (revisions.some((rev, index) => rev < (revisions[index - 1] ?? 0))) found.outOfOrder.push('the store itself');

  const counted = {
    unread: inbox.filter((n) => !n.is_read).length,
    unseen: inbox.filter((n) => !n.is_seen).length,
    total: inbox.length,
  };
  const same = (counts) => counts && Object.keys(counted).every((name) => counts[name] === counted[name]);
  if (!same(store)) found.badge.push(`the store says ${JSON.stringify(pickCounts(store))}, counted ${JSON.stringify(counted)}`);

  for (const log of logs) {
    for (const { kind, text } of log.faults) found[kind].push(text);
    if (log.epoch !== store.epoch) found.lost.push(`${log.name}: is of epoch ${log.epoch}, the store of ${store.epoch}`);
    if (log.cursor !== store.head) found.lost.push(`${log.name}: ended at ${log.cursor}, the store at ${store.head}`);
    if (!same(log.counts)) {
      found.badge.push(`${log.name}: shows ${JSON.stringify(log.counts)}, counted ${JSON.stringify(counted)}`);
    }
    log.entries.forEach(({ rev }, index) => {
      if (rev <= (log.entries[index - 1]?.rev ?? log.start)) found.outOfOrder.push(`${log.name}: ${rev} at place ${index}`);
    });
    compare(log, store, found);
  }
  return found;
}

function compare(log, store, found) {
  const known = new Set();
  const logged = new Set(log.entries.flatMap(({ ids }) => ids));
  for (const entry of store.data) {
    known.add(entry.id);
    const held = log.picture.get(entry.id);
    if (entry.deleted) {
      if (held) found.lost.push(`${log.name}: still shows ${entry.id}, deleted at ${entry.rev}`);
    } else if (entry.seq > log.start) {
      if (!held) found.lost.push(`${log.name}: lacks ${entry.id} of rev ${entry.rev}${logged.has(entry.id) ? ', which it had' : ''}`);
      else {
        const wrong = SEEN_BY_DEVICES.filter((field) => held[field] !== entry[field]);
        if (wrong.length > 0) found.lost.push(`${log.name}: shows ${entry.id} with a stale ${wrong}`);
      }
    }
  }
  for (const id of log.picture.keys()) {
    if (!known.has(id)) found.invented.push(`${log.name}: shows ${id}, which the store does not know`);
  }
}

async function wholeInbox(server, user) {
  const notifications = [];
  let page;
  do {
    const before = page ? `&before=${encodeURIComponent(page.before)}` : '';
    const answer = await server.inbox(user, `limit=100${before}`);
    notifications.push(...answer.data);
    page = answer.page;
  } while (page.has_more);
  return notifications;
}

const pickCounts = ({ unread, unseen, total }) => ({ unread, unseen, total });

export const SPOTLESS = { lost: [], outOfOrder: [], duplicates: [], invented: [], badge: [] };
