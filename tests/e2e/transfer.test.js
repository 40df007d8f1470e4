// Moving everything: out of one store while it is served, into another, and a device that goes on there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BINARY, runToEnd, Server, temporaryFolder } from './rig/server.js';
import { connect } from './rig/socket.js';
import { until } from './rig/until.js';

const move = (t, command, file, data) => runToEnd(t, { args: [command, file], env: { TIDINGS_DATA_DIR: data } });

/** It ends with an error of one line, which says these words. */
function refused({ code, signal, stderr }, ...words) {
  assert.equal(signal, null, stderr);
  assert.notEqual(code, 0, stderr);
  assert.doesNotMatch(stderr, /panicked/);
  const last = stderr.trim().split('\n').at(-1);
  for (const word of words) assert.ok(last.includes(word), `${word}: ${stderr}`);
}

/** What was counted, without the seconds. */
const counted = ({ stderr }) => /(?:ex|im)ported: (\d+ inboxes, .*), in/.exec(stderr)[1];

/** All that the API tells of a user. */
async function picture(server, user) {
  const { epoch, ...log } = await server.changes(user);
  const { meta, ...inbox } = await server.inbox(user, 'archived=include&limit=100');
  const devices = (await server.devices(user)).map(({ online, ...device }) => device);
  return { log, inbox, meta: { ...meta, epoch: undefined }, devices };
}

/** A server in which this and that has happened, exported. */
async function used(t) {
  const server = await Server.start(t);
  const sent = await server.sendMany('ana', 30, (index) => ({ message: `m${index}`, data: { n: 1.10, quote: '"\n' }, category: index % 2 ? 'orders' : undefined }));
  await server.sendMany('bo "the" ä', 3);
  await server.mark('ana', { op: 'read', up_to: sent[9].seq });
  await server.mark('ana', { op: 'archive', ids: [sent[3].id, sent[20].id] });
  await server.mark('ana', { op: 'delete', ids: [sent[5].id, sent[29].id] });
  await server.ask('PATCH', `/v1/notifications/${sent[7].id}`, { title: 'edited' });
  return server;
}

describe('everything of a store', { concurrency: 3 }, () => {
  test('is the same elsewhere, and a device goes on there with nothing lost or doubled', async (t) => {
    const server = await used(t);
    const key = { 'Idempotency-Key': 'once' };
    const first = await server.send('ana', 'with a key', key);
    const auth = { user_id: 'ana', device_id: 'phone', acks: true };
    const phone = connect(t, server.url, { auth });
    const { cursor } = await phone.ready();
    const head = (await server.inbox('ana')).meta.head;
    assert.equal(cursor, 0);
    await until('all has come', () => phone.received.at(-1).args.at(-1).endsWith(`:${head}`));
    assert.deepEqual(await phone.emit('ack_notifications', { rev: head }), { ok: true, rev: head });
    // Its line breaks: a goodbye would make the server forget the connection, which is to be moved too.
    phone.socket.io.reconnection(false);
    phone.socket.io.engine.close();
    // While it is away.
    const missed = await server.sendMany('ana', 5, (index) => ({ message: `missed ${index}` }));

    const file = join(server.cwd, 'all.jsonl');
    const written = await move(t, 'export', file, server.data);
    assert.deepEqual([written.code, written.stdout], [0, ''], written.stderr);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(server.cwd)).sort(), ['all.jsonl', 'data']);
    refused(await move(t, 'export', file, server.data), file, 'exists');

    const data = join(await temporaryFolder(t), 'there');
    const read = await move(t, 'import', file, data);
    assert.equal(read.code, 0, read.stderr);
    assert.equal(counted(read), counted(written));
    assert.match(counted(read), /^2 inboxes, 37 notifications and 2 deleted ones, 1 devices with 1 connections, 0 users' ended sessions, 1 idempotency keys$/);

    const there = await Server.start(t, { data });
    for (const user of ['ana', 'bo "the" ä']) assert.deepEqual(await picture(there, user), await picture(server, user));
    assert.notEqual((await there.inbox('ana')).meta.epoch, (await server.inbox('ana')).meta.epoch);
    assert.deepEqual(await there.send('ana', 'with a key', key), first, 'a retry is still recognised');

    const back = connect(t, there.url, { auth });
    const ready = await back.ready();
    assert.deepEqual([ready.mode, ready.cursor], ['resume', head]);
    await there.send('ana', 'the first one there');
    await back.count(6);
    assert.deepEqual(back.messages, [...missed.map((_, index) => `missed ${index}`), 'the first one there']);
    assert.deepEqual(back.notifications.map(({ rev }) => rev), Array.from({ length: 6 }, (_, index) => head + 1 + index));
  });

  test('goes through a pipe', async (t) => {
    const server = await used(t);
    const whole = await move(t, 'export', '-', server.data);
    assert.equal(whole.code, 0, whole.stderr);
    const data = join(server.cwd, 'there');
    const child = spawn(BINARY, ['import', '-'], { cwd: server.cwd, env: { TIDINGS_DATA_DIR: data }, stdio: ['pipe', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    child.stdin.end(whole.stdout);
    const [code] = await once(child, 'close');
    assert.equal(code, 0, stderr);
    assert.equal(counted({ stderr }), counted(whole));
  });

  test('is not taken into a store that is there, or served', async (t) => {
    const server = await used(t);
    const file = join(server.cwd, 'all.jsonl');
    await move(t, 'export', file, server.data);
    refused(await move(t, 'import', file, server.data), server.data);
    await server.terminate();
    refused(await move(t, 'import', file, server.data), server.data, 'exists');
    await server.restart();
    assert.equal((await server.counts('ana')).total, 26);
  });

  test('is refused as a whole when a line is wrong, and named by it', async (t) => {
    const server = await used(t);
    const file = join(server.cwd, 'all.jsonl');
    await move(t, 'export', file, server.data);
    const lines = (await readFile(file, 'utf8')).split('\n');
    const data = join(server.cwd, 'there');
    const wrong = async (text, ...words) => {
      const path = join(server.cwd, 'wrong.jsonl');
      await writeFile(path, text);
      refused(await move(t, 'import', path, data), path, ...words);
      assert.deepEqual(await readdir(data), ['tidings.lock']);
    };
    const at = (number, change) => lines.map((line, index) => (index === number - 1 ? change(line) : line)).join('\n');
    await wrong('', 'not an export');
    await wrong('nonsense', 'not an export');
    await wrong(at(1, () => '{"tidings_export":2,"more":[]}'), 'newer version');
    await wrong(lines.slice(0, 20).join('\n'), 'line 19', 'cut off');
    await wrong(`${lines.slice(0, 20).join('\n')}\n`, 'line 20', 'cut off');
    await wrong(at(4, (line) => line.slice(0, -1)), 'line 4:');
    await wrong(at(4, (line) => line.replace('"seq":3', '"seq":2')), 'line 4:', 'seq');
    await wrong(at(4, (line) => line.replace('"message":"m2"', '"message":""')), 'line 4:', 'message');
    await wrong(at(4, (line) => line.replace('"user_id":"ana"', '"user_id":"zoe"')), 'line 4:', 'ana');
    await wrong(at(4, (line) => line.replace('"title"', '"headline"')), 'line 4:', 'headline');
    await wrong(lines.filter((_, index) => index !== 3).join('\n'), `line ${lines.length - 2}:`);
    await wrong(at(4, (line) => line.replace('m2', 'm3')), `line ${lines.length - 1}:`, 'SHA-256');
    await wrong(`${lines.join('\n')}\n`, `line ${lines.length}:`);
    refused(await move(t, 'import', join(server.cwd, 'missing'), data), 'missing');
    assert.equal((await move(t, 'import', file, data)).code, 0);
  });

  test('killed in the middle: the store is not served, and the import begins anew', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 4_000);
    const { stdout: file } = await move(t, 'export', '-', server.data);
    const data = join(server.cwd, 'there');
    const child = spawn(BINARY, ['import', '-'], { cwd: server.cwd, env: { TIDINGS_DATA_DIR: data }, stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    // Who is killed does not read to the end.
    child.stdin.on('error', () => {});
    child.stdin.write(file.slice(0, file.length / 2));
    await until('some of it is stored', async () => (await stat(join(data, 'tidings.db.import')).catch(() => ({ size: 0 }))).size > 100_000);
    child.kill('SIGKILL');
    assert.deepEqual(await once(child, 'close'), [null, 'SIGKILL']);

    refused(await runToEnd(t, { env: { PORT: '0', TIDINGS_DATA_DIR: data } }), data, 'import');
    const path = join(server.cwd, 'all.jsonl');
    await writeFile(path, file);
    assert.equal((await move(t, 'import', path, data)).code, 0);
    const there = await Server.start(t, { data });
    assert.deepEqual(await picture(there, 'ana'), await picture(server, 'ana'));
  });
});
