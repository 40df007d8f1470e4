// A judge that never finds anything is worth nothing: each kind of fault is committed here, and must be named.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceLog, judge, SPOTLESS } from './checker.js';

const notification = (rev, fields = {}) => ({
  id: `n${rev}`, seq: rev, rev, title: '', message: `${rev}`, is_read: false, is_seen: false, is_archived: false, ...fields,
});
const counts = (unread, total = unread) => ({ unread, unseen: unread, total });
const ready = (cursor) => [{ epoch: 'e', cursor, mode: 'resume', ...counts(0) }, `e:${cursor}`];
const sent = (rev, prev = rev - 1) => [notification(rev), { prev, ...counts(rev) }, `e:${rev}`];

function judged(events, { data = [notification(1), notification(2)], inbox = data } = {}) {
  const log = new DeviceLog('phone');
  let take = log.attachment();
  for (const [event, args] of events) {
    if (event === 'again') take = log.attachment();
    else take(event, args);
  }
  const head = data.at(-1)?.rev ?? 0;
  const store = { data, head, epoch: 'e', ...counts(inbox.filter((n) => !n.is_read).length, inbox.length) };
  return judge({ store, inbox, logs: [log] });
}

const kinds = (found) => Object.keys(found).filter((kind) => found[kind].length > 0);
const one = ['send_notification', sent(1)];
const two = ['send_notification', sent(2)];
const start = ['inbox_ready', ready(0)];

test('a clean journey is spotless, also over two connections', () => {
  assert.deepEqual(judged([start, one, two]), SPOTLESS);
  assert.deepEqual(judged([start, one, ['again'], ['inbox_ready', ready(0)], one, two]), SPOTLESS);
});

test('what never came is lost', () => {
  assert.ok(kinds(judged([start, one])).includes('lost'));
  assert.ok(kinds(judged([start, ['send_notification', sent(2, 0)]])).includes('lost'));
});

test('a start above the own cursor is lost', () => {
  assert.ok(kinds(judged([start, one, ['again'], ['inbox_ready', ready(2)]])).includes('lost'));
});

test('a wrong order on one socket is named, and so is what comes before inbox_ready', () => {
  assert.ok(kinds(judged([start, ['send_notification', sent(2, 0)], ['send_notification', sent(1, 2)]])).includes('outOfOrder'));
  assert.ok(kinds(judged([one, start, two])).includes('outOfOrder'));
});

test('the same notification as new twice is a duplicate', () => {
  const again = ['send_notification', [notification(2, { id: 'n1' }), { prev: 1, ...counts(2) }, 'e:2']];
  assert.ok(kinds(judged([start, one, again])).includes('duplicates'));
});

test('a new one that came as an update only is lost to simple clients', () => {
  const update = ['notification_updated', [{ rev: 2, prev: 1, op: 'sync', notifications: [notification(2)] }, counts(2), 'e:2']];
  assert.deepEqual(kinds(judged([start, one, update])), ['lost']);
});

test('what the store does not know is invented', () => {
  assert.ok(kinds(judged([start, one, two], { data: [notification(2)] })).includes('invented'));
});

test('a stale state, a deleted one still shown and a wrong badge are named', () => {
  const data = [notification(1), notification(2, { is_read: true })];
  assert.deepEqual(kinds(judged([start, one, two], { data })), ['lost', 'badge']);
  const deleted = [notification(2), { id: 'n1', seq: 1, rev: 3, deleted: true }];
  const found = judged([start, one, two], { data: deleted, inbox: [notification(2)] });
  assert.ok(found.lost.some((text) => text.includes('still shows n1')));
});

test('what the server adds to an offset is its own', () => {
  const more = ['send_notification', [notification(2), { prev: 1, ...counts(2) }, 'e:2;7:9']];
  assert.deepEqual(judged([['inbox_ready', [ready(0)[0], 'e:0;7']], one, more]), SPOTLESS);
  const log = new DeviceLog('phone');
  log.attachment()('inbox_ready', [ready(0)[0], 'e:0;7']);
  assert.deepEqual(log.repeated('p'), { pid: 'p', offset: 'e:0;7' });
});

/** Parts of revision 3, which changed both notifications. */
const part = (index, rev, n) => ['notification_updated', [
  { rev: 3, prev: 2, op: 'sync', notifications: [notification(n, { rev: 3, is_read: true, is_seen: true })], part: { index, of: 2 } }, counts(0, 2), `e:${rev}`]];
const read = [notification(1, { rev: 3, is_read: true, is_seen: true }), notification(2, { rev: 3, is_read: true, is_seen: true })];

test('a revision in parts is one, also when it was cut between them', () => {
  assert.deepEqual(judged([start, one, two, part(0, 2, 1), part(1, 3, 2)], { data: read }), SPOTLESS);
  const cut = [start, one, two, part(0, 2, 1), ['again'], ['inbox_ready', ready(2)], part(0, 2, 1), part(1, 3, 2)];
  assert.deepEqual(judged(cut, { data: read }), SPOTLESS);
});

test('a part that never came, and one that moves the cursor into its revision, are named', () => {
  assert.ok(kinds(judged([start, one, two, part(1, 3, 2)], { data: read })).includes('lost'));
  assert.ok(kinds(judged([start, one, two, part(0, 3, 1), part(1, 3, 2)], { data: read })).includes('outOfOrder'));
});
