// What an operator meets: a start that cannot be is one clear sentence and an exit code, and changes nothing.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, copyFile, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { BINARY, run, runToEnd, Server, temporaryFolder } from './rig/server.js';
import { connect } from './rig/socket.js';
import { until } from './rig/until.js';

const command = promisify(execFile);

/** Every file of a folder with its digest. */
async function contents(folder) {
  const digests = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile()) digests[path] = createHash('sha256').update(await readFile(path)).digest('hex');
  }
  return digests;
}

/** The database file of a data folder, whatever it is called. */
async function databaseOf(folder) {
  for (const path of Object.keys(await contents(folder))) {
    const head = (await readFile(path)).subarray(0, 15).toString();
    if (head === 'SQLite format 3') return path;
  }
  throw new Error(`no database in ${folder}`);
}

/** A data folder with one notification of ana in it, left cleanly. */
async function usedFolder(t) {
  const server = await Server.start(t, { env: { TIDINGS_DRAIN_SECONDS: '1' } });
  await server.send('ana', 'precious');
  assert.deepEqual(await server.terminate(), { code: 0, signal: null });
  return server.data;
}

/** One clear sentence, no panic, no trace, and a non-zero exit. */
function refusedClearly({ code, signal, stdout, stderr }, ...words) {
  const text = `${stdout}${stderr}`;
  assert.equal(signal, null, text);
  assert.notEqual(code, 0, text);
  assert.doesNotMatch(text, /panicked|RUST_BACKTRACE|stack backtrace|listening on/);
  const last = stderr.trim().split('\n').at(-1);
  assert.ok(last.length > 20 && last.length < 600, `the last line is the sentence: ${text}`);
  for (const word of words) assert.match(last, word instanceof RegExp ? word : new RegExp(word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')), text);
}

const serve = (t, env, options) => runToEnd(t, { env: { PORT: '0', ...env }, ...options });

describe('a data folder that cannot be used', { concurrency: 3 }, () => {
  test('held by another server: that one goes on', async (t) => {
    const server = await Server.start(t);
    await server.send('ana', 'before');
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: server.data }), server.data, /another|in use|already|locked/);
    await server.send('ana', 'after');
    assert.equal((await server.counts('ana')).total, 2);
    await server.kill();
    await server.restart();
    assert.equal((await server.counts('ana')).total, 2, 'a killed server holds nothing');
  });

  test('written by a newer version: untouched', async (t) => {
    const data = await usedFolder(t);
    const database = await databaseOf(data);
    await command('python3', ['-c', 'import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute("pragma user_version=9999"); c.commit(); c.close()', database]);
    const before = await contents(data);
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data }), /newer/);
    assert.deepEqual(await contents(data), before);
  });

  test('corrupt: untouched', async (t) => {
    const data = await usedFolder(t);
    const database = await databaseOf(data);
    const file = await open(database, 'r+');
    await file.write(Buffer.alloc(4_096, 'garbage '), 0, 4_096, 0);
    await file.close();
    const before = await contents(data);
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data }), /corrupt|not a( Tidings)? database|damaged|malformed/);
    assert.deepEqual(await contents(data), before);
  });

  test('cut short: untouched', async (t) => {
    const data = await usedFolder(t);
    const database = await databaseOf(data);
    const { size } = await stat(database);
    const file = await open(database, 'r+');
    await file.truncate(Math.floor(size / 2 / 512) * 512);
    await file.close();
    const before = await contents(data);
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data }), /corrupt|not a( Tidings)? database|damaged|malformed/);
    assert.deepEqual(await contents(data), before);
  });

  test('not writable', async (t) => {
    const folder = await temporaryFolder(t);
    await chmod(folder, 0o755);
    const data = join(folder, 'data');
    await mkdir(data);
    await chmod(data, 0o555);
    const options = { cwd: folder };
    if (process.getuid() === 0) {
      // Root may write anywhere: be nobody, with a copy of the binary that nobody may read.
      options.binary = join(folder, 'tidings');
      await copyFile(BINARY, options.binary);
      await chmod(options.binary, 0o755);
      options.uid = 65_534;
      options.gid = 65_534;
      await chown(data, 0, 0);
    }
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data }, options), data, /writ|permission/i);
    assert.deepEqual(await readdir(data), []);
  });

  test('a file in its place', async (t) => {
    const folder = await temporaryFolder(t);
    const data = join(folder, 'data');
    await writeFile(data, 'mine');
    refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data }), data);
    assert.equal(await readFile(data, 'utf8'), 'mine');
  });
});

describe('a configuration that cannot be', { concurrency: 3 }, () => {
  test('a value that is none is named', async (t) => {
    for (const [name, value] of [
      ['PORT', 'abc'], ['PORT', '70000'], ['PORT', '-1'], ['TIDINGS_BIND', 'nowhere'], ['TIDINGS_RETENTION_DAYS', 'x'], ['TIDINGS_DRAIN_SECONDS', '-1'],
      ['TIDINGS_MAX_BODY_BYTES', '1k'], ['TIDINGS_ALLOW_OPEN', 'perhaps'],
    ]) {
      const data = join(await temporaryFolder(t), 'data');
      refusedClearly(await serve(t, { TIDINGS_DATA_DIR: data, [name]: value }), name);
      await assert.rejects(stat(data), 'nothing is created');
    }
  });

  test('a MongoDB that is not there ends the start with one sentence, without the password', async (t) => {
    const secret = 'hunter2';
    const ended = await serve(t, { MONGODB_URI: `mongodb://ana:${secret}@127.0.0.1:1/notifications` });
    refusedClearly(ended, 'MongoDB at 127.0.0.1:1');
    assert.ok(!`${ended.stdout}${ended.stderr}`.includes(secret));
  });

  test('open to others without keys only when told so twice', async (t) => {
    refusedClearly(await serve(t, { TIDINGS_BIND: '0.0.0.0' }), 'TIDINGS_ALLOW_OPEN');
    const folder = await temporaryFolder(t);
    const ran = run({ env: { PORT: '0', TIDINGS_BIND: '0.0.0.0', TIDINGS_ALLOW_OPEN: 'true', TIDINGS_DATA_DIR: join(folder, 'data') }, cwd: folder });
    t.after(() => ran.child.kill('SIGKILL'));
    await until('it listens', () => /listening on/.test(ran.stdout + ran.stderr));
  });

  test('a port in use is one sentence', async (t) => {
    const holder = createServer().listen(0, '127.0.0.1');
    t.after(() => holder.close());
    await once(holder, 'listening');
    const { port } = holder.address();
    refusedClearly(await serve(t, { PORT: `${port}` }), String(port), /in use/);
  });

  test('an unknown flag or command is named', async (t) => {
    refusedClearlyBy(await runToEnd(t, { args: ['--colour'] }), '--colour');
    refusedClearlyBy(await runToEnd(t, { args: ['dance'] }), 'dance');
    function refusedClearlyBy({ code, stderr }, word) {
      assert.notEqual(code, 0);
      assert.ok(stderr.includes(word), stderr);
    }
  });
});

describe('what a build packs', () => {
  test('the official client is served file for file as its npm package has it', async (t) => {
    const server = await Server.start(t);
    const dist = join(import.meta.dirname, 'node_modules/socket.io-client/dist');
    const names = (await readdir(dist)).sort();
    assert.ok(names.includes('socket.io.js') && names.length >= 8, names.join());
    for (const name of names) {
      const answer = await fetch(`${server.url}/socket.io/${name}`);
      assert.equal(answer.status, 200, name);
      assert.ok(Buffer.from(await answer.arrayBuffer()).equals(await readFile(join(dist, name))), name);
    }
  });
});

describe('what an operator asks', { concurrency: 3 }, () => {
  test('--help tells of each command and of the settings', async (t) => {
    const { code, stdout } = await runToEnd(t, { args: ['--help'] });
    assert.equal(code, 0);
    for (const word of ['serve', 'config', 'PORT', 'TIDINGS_DATA_DIR']) assert.ok(stdout.includes(word), word);
    assert.equal((await runToEnd(t, { args: ['--version'] })).code, 0);
  });

  test('config prints what holds: flags over environment over .env over defaults', async (t) => {
    const cwd = await temporaryFolder(t);
    const config = async (args, env) => {
      const { code, stdout, stderr } = await runToEnd(t, { args: ['config', ...args], env, cwd });
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const port = (text) => /\bPORT\W+(\d+)/.exec(text)?.[1] ?? /\bport\W+(\d+)/.exec(text)?.[1];
    const defaults = await config([], {});
    assert.equal(port(defaults), '3000');
    assert.match(defaults, /127\.0\.0\.1/);
    assert.match(defaults, /\.\/data/);
    assert.match(defaults, /262144/);

    await writeFile(join(cwd, '.env'), 'PORT=4001\nTIDINGS_RETENTION_DAYS=17\n');
    const fromFile = await config([], {});
    assert.equal(port(fromFile), '4001');
    assert.match(fromFile, /\b17\b/);
    assert.equal(port(await config([], { PORT: '4002' })), '4002');
    assert.equal(port(await config(['--port', '4003'], { PORT: '4002' })), '4003');
    assert.deepEqual(await readdir(cwd), ['.env'], 'asking creates nothing');
  });

  test('.env is read at the start too', async (t) => {
    const cwd = await temporaryFolder(t);
    await writeFile(join(cwd, '.env'), 'TIDINGS_DATA_DIR=./here\nPORT=0\n');
    const ran = run({ cwd });
    t.after(() => ran.child.kill('SIGKILL'));
    await until('it listens', () => /listening on http:\/\/127\.0\.0\.1:\d+/.test(ran.stdout + ran.stderr));
    await databaseOf(join(cwd, 'here'));
  });

  test('a value of .env with a dollar stays what it is: its key opens, and nothing else does', async (t) => {
    const cwd = await temporaryFolder(t);
    await writeFile(join(cwd, '.env'), '\ufeffexport TIDINGS_API_KEYS=$uper-$ecret-key-0123 # the servers\r\nTIDINGS_BIND: "127.0.0.1"\r\n');
    const server = await Server.start(t, { cwd });
    assert.doesNotMatch(server.log, /open mode/);
    const status = async (key) => (await server.request('GET', '/v1/users/ana/inbox', undefined, key && { authorization: `Bearer ${key}` })).status;
    assert.equal(await status('$uper-$ecret-key-0123'), 200);
    assert.equal(await status('uper-ecret-key-0123'), 401);
    assert.equal(await status(), 401);
  });

  test('a line of .env that cannot be read is skipped by its number, and refused by name where it is ours', async (t) => {
    const cwd = await temporaryFolder(t);
    await writeFile(join(cwd, '.env'), 'A=1\nif [ -f other ]; then\nB="two\nlines"\nfi\n');
    const server = await Server.start(t, { cwd });
    assert.match(server.log, /line 2 of the file \.env/);
    assert.match(server.log, /line 5 of the file \.env/);
    assert.equal(server.log.match(/cannot be read and is skipped/g).length, 2);
    await writeFile(join(cwd, '.env'), 'A=1\nTIDINGS_API_KEYS hunter2hunter2hunter2\n');
    const ended = await runToEnd(t, { env: { PORT: '0', TIDINGS_DATA_DIR: join(cwd, 'data') }, cwd });
    refusedClearly(ended, 'TIDINGS_API_KEYS', 'line 2');
    assert.doesNotMatch(ended.stdout + ended.stderr, /hunter2/);
  });

  test('keys that are none are no open mode', async (t) => {
    refusedClearly(await serve(t, { TIDINGS_API_KEYS: ' , ' }), 'TIDINGS_API_KEYS');
  });

  test('config shows of a JWKS URL what the logs show, and no secret', async (t) => {
    const secrets = { MONGODB_URI: 'mongodb://u:hunter2@h/d', REDIS_URL: 'redis://:hunter2@h', TIDINGS_API_KEYS: 'hunter2hunter2hunter2' };
    const env = { ...secrets, TIDINGS_JWKS_URL: 'https://ana:hunter2@issuer.example/keys?token=hunter2#hunter2' };
    const { code, stdout, stderr } = await runToEnd(t, { args: ['config'], env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^TIDINGS_JWKS_URL=https:\/\/issuer\.example\/keys  # /m);
    assert.doesNotMatch(stdout + stderr, /hunter2/);
  });

  test('the start says in one line where it listens, and that it is open', async (t) => {
    const server = await Server.start(t);
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(server.log, /open mode|no API key|without keys|anybody|anyone/i);
  });

  test('logs for machines are one JSON object a line, with the address as a field', async (t) => {
    const folder = await temporaryFolder(t);
    const ran = run({ env: { PORT: '0', TIDINGS_LOG_FORMAT: 'json', TIDINGS_DATA_DIR: join(folder, 'data') }, cwd: folder });
    t.after(() => ran.child.kill('SIGKILL'));
    const listening = await until('it listens', () => (ran.stdout + ran.stderr).split('\n').find((line) => line.includes('listening on')));
    const fieldsOf = (line) => ({ ...line, ...line.fields });
    const { url } = fieldsOf(JSON.parse(listening));
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    for (const line of (ran.stdout + ran.stderr).trim().split('\n')) JSON.parse(line);
  });

  test('SIGHUP without TLS is a log line: at its start, while it serves, and while it ends', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_DRAIN_SECONDS: '2' } });
    server.ran.child.kill('SIGHUP');
    await until('the line', () => /SIGHUP/.test(server.log));
    assert.equal((await server.send('ana', 'still here')).seq, 1);
    const client = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'phone' } });
    await client.ready();
    server.ran.child.kill('SIGTERM');
    await until('it drains', () => /ending:/.test(server.log));
    server.ran.child.kill('SIGHUP');
    assert.deepEqual(await server.ran.ended, { code: 0, signal: null });

    // The issuer's keys are waited for at the start; the server does not listen yet.
    const issuer = createServer(() => {}).listen(0, '127.0.0.1');
    await once(issuer, 'listening');
    t.after(() => issuer.close());
    const asked = once(issuer, 'connection');
    const starting = run({ env: { PORT: '0', TIDINGS_DATA_DIR: join(server.cwd, 'other'), TIDINGS_JWKS_URL: `http://127.0.0.1:${issuer.address().port}/keys` }, cwd: server.cwd });
    t.after(() => starting.child.kill('SIGKILL'));
    const [connection] = await asked;
    t.after(() => connection.destroy());
    starting.child.kill('SIGHUP');
    await until('the line', () => /SIGHUP/.test(starting.stdout + starting.stderr));
    assert.doesNotMatch(starting.stdout + starting.stderr, /listening on/);
    connection.destroy();
    await until('it listens', () => /listening on/.test(starting.stdout + starting.stderr));
  });

  test('SIGTERM ends it with 0, also while clients are attached and a request hangs', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_DRAIN_SECONDS: '1' } });
    const stream = await fetch(`${server.url}/v1/users/ana/stream`);
    t.after(() => stream.body.cancel().catch(() => {}));
    assert.deepEqual(await server.terminate(10_000), { code: 0, signal: null });
    await server.restart();
  });
});

describe('a copy of the store', { concurrency: 2 }, () => {
  test('is taken while the server serves, and begins a new life where it is restored', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 3);
    const file = join(server.cwd, 'copy.db');
    const env = { TIDINGS_DATA_DIR: server.data };
    assert.deepEqual((await runToEnd(t, { args: ['backup', file], env })).code, 0);
    refusedClearly(await runToEnd(t, { args: ['backup', file], env }), file);
    await server.sendMany('ana', 2);
    const client = connect(t, server.url, { auth: { user_id: 'ana', device_id: 'phone', acks: true } });
    const before = await client.ready();
    await client.count(5);

    const data = join(await temporaryFolder(t), 'restored');
    refusedClearly(await runToEnd(t, { args: ['restore', file], env }), server.data);
    assert.equal((await runToEnd(t, { args: ['restore', file], env: { TIDINGS_DATA_DIR: data } })).code, 0);
    const restored = await Server.start(t, { data });
    const { meta } = await restored.ask('GET', '/v1/users/ana/inbox');
    assert.deepEqual([meta.total, meta.head], [3, 3]);
    assert.notEqual(meta.epoch, before.epoch);

    // A device that is ahead of the copy is told so, instead of waiting for what it thinks it has.
    const auth = { user_id: 'ana', device_id: 'phone', epoch: before.epoch, cursor: 5, acks: true };
    const returning = connect(t, restored.url, { auth });
    assert.equal((await returning.ready()).mode, 'snapshot');
    assert.deepEqual((await returning.event('sync_required'))[0], { reason: 'other_epoch' });
    const gone = await restored.request('GET', `/v1/users/ana/inbox/changes?since=3&epoch=${before.epoch}`);
    assert.deepEqual([gone.status, gone.body.code], [410, 'resync_required']);
  });

  test('nobody else may read or lock what Tidings makes, whatever the umask', async (t) => {
    const before = process.umask(0o022);
    t.after(() => process.umask(before));
    const server = await Server.start(t);
    await server.send('ana', 'private');
    const env = { TIDINGS_DATA_DIR: server.data };
    const modes = async (folder) => {
      const found = {};
      for (const name of ['.', ...(await readdir(folder))]) found[name] = (await stat(join(folder, name))).mode & 0o777;
      return found;
    };
    const privately = (found) => {
      for (const [name, mode] of Object.entries(found)) assert.equal(mode.toString(8), name === '.' ? '700' : '600', name);
    };
    const live = await modes(server.data);
    assert.ok('tidings.db-wal' in live && 'tidings.lock' in live, Object.keys(live).join());
    privately(live);
    const [copy, moved] = [join(server.cwd, 'copy.db'), join(server.cwd, 'all.jsonl')];
    assert.equal((await runToEnd(t, { args: ['backup', copy], env })).code, 0);
    // What an export that was cut off has left is no way to read the next one.
    await writeFile(`${moved}.new`, 'left', { mode: 0o644 });
    assert.equal((await runToEnd(t, { args: ['export', moved], env })).code, 0);
    for (const file of [copy, moved]) assert.equal(((await stat(file)).mode & 0o777).toString(8), '600', file);

    await chmod(copy, 0o644);
    const [restored, imported] = [join(server.cwd, 'restored'), join(server.cwd, 'imported')];
    assert.equal((await runToEnd(t, { args: ['restore', copy], env: { TIDINGS_DATA_DIR: restored } })).code, 0);
    assert.equal((await runToEnd(t, { args: ['import', moved], env: { TIDINGS_DATA_DIR: imported } })).code, 0);
    for (const folder of [restored, imported]) privately(await modes(folder));
    assert.doesNotMatch(server.log, /open to other users/);
  });

  test('a store of an older version that others may read is told of, and its lock is closed to them', async (t) => {
    const data = await usedFolder(t);
    await chmod(data, 0o755);
    for (const name of await readdir(data)) await chmod(join(data, name), 0o644);
    const server = await Server.start(t, { data });
    assert.match(server.log, /open to other users of this machine.*chmod -R go=/);
    assert.equal(((await stat(join(data, 'tidings.lock'))).mode & 0o777).toString(8), '600');
  });

  test('what is no copy is refused', async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, 'nonsense');
    await writeFile(file, 'nonsense');
    const env = { TIDINGS_DATA_DIR: join(folder, 'data') };
    refusedClearly(await runToEnd(t, { args: ['restore', file], env }), file);
    refusedClearly(await runToEnd(t, { args: ['restore', join(folder, 'missing')], env }), 'missing');
  });
});
