// Moving to MongoDB: from the embedded store and back, and from the original system's own database.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Decimal128, Long, MongoClient, ObjectId } from 'mongodb';
import { Mongo } from './rig/mongo.js';
import { run, temporaryFolder } from './rig/run.js';
import { runToEnd, Server } from './rig/server.js';
import { connect } from './rig/socket.js';
import { until } from './rig/until.js';

/** One server for all tests here, each with databases of its own. */
let mongo;
let client;
const ends = [];
before(async () => {
  mongo = await Mongo.start({ after: (end) => ends.push(end) });
  client = await MongoClient.connect(mongo.uri());
});
after(async () => {
  await client?.close();
  for (const end of ends) await end();
});

const databaseOf = (uri) => client.db(new URL(uri).pathname.slice(1));

/** Runs the binary, whose store is in `uri`, or in the folder `uri`. */
function tidings(t, uri, ...args) {
  const env = uri.startsWith('mongodb') ? { MONGODB_URI: uri } : { TIDINGS_DATA_DIR: uri };
  return runToEnd(t, { args, env });
}

function done({ code, stderr }) {
  assert.equal(code, 0, stderr);
  return stderr;
}

/** It ends with an error of one line, which says these words, and no password. */
function refused({ code, stderr }, ...words) {
  assert.equal(code, 1, stderr);
  assert.doesNotMatch(stderr, /panicked/);
  const last = stderr.trim().split('\n').at(-1);
  for (const word of words) assert.ok(last.includes(word), `${word}: ${stderr}`);
}

/** The lines of an export, without those that say when it was written. */
const body = (file) => file.split('\n').slice(1, -2);

/** All that lies in the original's collection. */
async function dump(database) {
  const collection = database.collection('notifications');
  const documents = await collection.find({}, { raw: true }).sort({ _id: 1 }).toArray();
  return { documents: documents.map((raw) => Buffer.from(raw).toString('base64')), indexes: await collection.indexes() };
}

/** The original's documents of a user, a second apart. */
function documents(user, statuses, from = Date.now() - 3_600_000) {
  return statuses.map((status, index) => {
    const at = new Date(from + index * 1_000);
    return { _id: new ObjectId(), send_to: user, message: `${user} ${index + 1}`, status, createdAt: at, updatedAt: new Date(+at + 5), __v: 0 };
  });
}

const pending = (count) => Array.from({ length: count }, () => 'pending');

describe('moving between stores', { concurrency: 2 }, () => {
  test('from the embedded store to MongoDB and back, everything is as it was', async (t) => {
    const server = await Server.start(t);
    const sent = await server.sendMany('ana', 30, (index) => ({ message: `m${index}`, data: { n: 1.10 }, category: index % 2 ? 'orders' : undefined }));
    await server.sendMany('bo "the" ä', 3);
    await server.mark('ana', { op: 'read', up_to: sent[9].seq });
    await server.mark('ana', { op: 'archive', ids: [sent[3].id] });
    await server.mark('ana', { op: 'delete', ids: [sent[5].id, sent[29].id] });
    await server.send('ana', 'with a key', { 'Idempotency-Key': 'once' });
    const auth = { user_id: 'ana', device_id: 'phone', acks: true };
    const phone = connect(t, server.url, { auth });
    await phone.ready();
    const { head } = (await server.inbox('ana')).meta;
    await phone.emit('ack_notifications', { rev: head });
    phone.socket.disconnect();
    const log = await server.changes('ana');
    await server.terminate();

    const files = [join(server.cwd, 'here.jsonl'), join(server.cwd, 'there.jsonl')];
    done(await tidings(t, server.data, 'export', files[0]));
    const uri = mongo.uri();
    done(await tidings(t, uri, 'import', files[0]));
    const there = await Server.start(t, { env: { MONGODB_URI: uri } });
    assert.deepEqual((await there.changes('ana')).data, log.data);
    const whole = await tidings(t, uri, 'export', '-');
    done(whole);
    await writeFile(files[1], whole.stdout);
    const data = join(server.cwd, 'back');
    done(await tidings(t, data, 'import', files[1]));
    const again = await tidings(t, data, 'export', '-');
    const first = await tidings(t, server.data, 'export', '-');
    assert.deepEqual(body(whole.stdout), body(first.stdout));
    assert.deepEqual(body(again.stdout), body(first.stdout));

    // Nodes serve there: nothing is imported over them, not even when they have ended.
    refused(await tidings(t, uri, 'import', files[0]), 'holds a store already');
    const back = connect(t, there.url, { auth });
    const ready = await back.ready();
    assert.deepEqual([ready.mode, ready.cursor], ['resume', head]);
    await there.terminate();
    refused(await tidings(t, uri, 'import', files[0]), 'holds a store already');
    refused(await tidings(t, mongo.uri(), 'export', '-'), 'holds no store');
  });

  test('an import that was killed is not served, and begun anew', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 2_500);
    const { stdout: file } = await tidings(t, server.data, 'export', '-');
    const uri = mongo.uri();
    const ran = run({ args: ['import', '-'], env: { MONGODB_URI: uri }, cwd: server.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    ran.child.stdin.on('error', () => {});
    ran.child.stdin.write(file.slice(0, file.length / 2));
    await until('some of it is stored', () => databaseOf(uri).collection('tidings_inboxes').findOne());
    ran.child.kill('SIGKILL');
    await ran.ended;
    refused(await tidings(t, uri), 'import');
    const path = join(server.cwd, 'all.jsonl');
    await writeFile(path, file);
    done(await tidings(t, uri, 'import', path));
    const whole = await tidings(t, uri, 'export', '-');
    assert.deepEqual(body(whole.stdout), body(file));
  });
});

describe("the original system's database", { concurrency: 2 }, () => {
  test('is taken over, with what cannot be named, and left as it was', async (t) => {
    const uri = mongo.uri();
    const database = databaseOf(uri);
    const [delivered, other] = [documents('zoe', ['delivered', 'delivered', 'pending', 'pending']), documents('ana', pending(2))];
    const old = documents('old', ['delivered'], Date.now() - 200 * 86_400_000);
    const odd = documents('odd', pending(9));
    odd[0].message = undefined;
    odd[1].message = 7;
    odd[2].message = 'ä'.repeat(2_049);
    odd[3].send_to = { name: 'odd' };
    odd[4].send_to = 'x'.repeat(129);
    odd[5]._id = 'no ObjectId';
    odd[6].createdAt = 'yesterday';
    odd[7].status = Long.fromNumber(3);
    odd[8].extra = Decimal128.fromString('1.5');
    await database.collection('notifications').insertMany([...delivered, ...odd, ...other, ...old], { ignoreUndefined: true });
    const as = await dump(database);

    const said = done(await tidings(t, uri, 'import', '--from-original'));
    assert.match(said, /taken over: 10 notifications of 4 users, 6 documents left out, in/);
    assert.match(said, new RegExp(`left out: ${odd[0]._id.toHexString()}: message is missing`));
    assert.match(said, /left out: .*no ObjectId.*: _id is no ObjectId/);
    assert.match(said, /message has 4098 bytes/);
    assert.match(said, /retention: 1 notifications are older than TIDINGS_RETENTION_DAYS=90/);
    assert.deepEqual(await dump(database), as);

    const server = await Server.start(t, { env: { MONGODB_URI: uri } });
    assert.deepEqual(await dump(database), as);
    // As the original's page does it.
    const page = connect(t, server.url);
    await page.connected();
    page.socket.emit('register_user', 'zoe');
    await page.count(2);
    assert.deepEqual(page.messages, ['zoe 3', 'zoe 4']);
    const { data } = await server.inbox('zoe');
    assert.deepEqual(data.map(({ message }) => message), ['zoe 4', 'zoe 3', 'zoe 2', 'zoe 1']);
    assert.equal(data[3].timestamp, delivered[0].createdAt.toISOString());
    assert.deepEqual(data.map(({ is_read }) => is_read), [false, false, false, false]);
    assert.equal(await server.status(data[3].id), 'delivered');
    assert.equal((await server.counts('odd')).total, 3);
    const { seq } = await server.send('zoe', 'the first one here');
    assert.equal(seq, 5);
    await page.count(3);
    refused(await tidings(t, uri, 'import', '--from-original'), 'holds a store already');
  });

  test('of many documents: killed in the middle it goes on, and nothing is lost or doubled', async (t) => {
    const [from, uri] = [mongo.uri(), mongo.uri()];
    const original = databaseOf(from).collection('notifications');
    const users = Array.from({ length: 6 }, (_, index) => `user ${index}`);
    const all = users.flatMap((user) => documents(user, pending(700)));
    // As they were sent: all users mixed.
    await original.insertMany(all.toSorted((one, other) => one.createdAt - other.createdAt));
    const as = await dump(databaseOf(from));

    const mark = async () => (await databaseOf(uri).collection('tidings_meta').findOne({ _id: 'epoch' }))?.import;
    const ran = run({ args: ['import', '--from-original', from], env: { MONGODB_URI: uri }, cwd: await temporaryFolder(t) });
    await until('an inbox is whole', async () => (await mark())?.user_id);
    ran.child.kill('SIGKILL');
    await ran.ended;
    const { notifications: stored } = await mark();
    assert.ok(stored > 0 && stored < all.length, `${stored}`);
    refused(await tidings(t, uri), 'import');

    // What has changed meanwhile is not overlooked.
    const late = documents(users[0], pending(1))[0];
    await original.insertOne(late);
    refused(await tidings(t, uri, 'import', '--from-original', from), 'has changed');
    await original.deleteOne({ _id: late._id });
    const said = done(await tidings(t, uri, 'import', '--from-original', from));
    const [, taken, of, earlier] = /taken over: (\d+) notifications of (\d+) users \((\d+) of them before\), 0 documents left out/.exec(said);
    assert.deepEqual([taken, of], ['4200', '6']);
    assert.ok(earlier >= stored, `${earlier} of ${stored}`);
    assert.deepEqual(await dump(databaseOf(from)), as);

    const server = await Server.start(t, { env: { MONGODB_URI: uri } });
    for (const user of users) {
      const { data } = await server.changes(user);
      assert.deepEqual(data.map(({ message, seq }) => [message, seq]), Array.from({ length: 700 }, (_, index) => [`${user} ${index + 1}`, index + 1]));
      assert.deepEqual(await server.counts(user).then(({ total, unread }) => [total, unread]), [700, 700]);
    }

    // The embedded store takes it over too, and comes to the same.
    const data = join(await temporaryFolder(t), 'data');
    done(await tidings(t, data, 'import', '--from-original', from));
    const [here, there] = [await tidings(t, data, 'export', '-'), await tidings(t, uri, 'export', '-')];
    assert.deepEqual(body(there.stdout), body(here.stdout));
  });

  test('is asked for where nobody has said where it is', async (t) => {
    const data = join(await temporaryFolder(t), 'data');
    refused(await tidings(t, data, 'import', '--from-original'), '--from-original', 'MONGODB_URI');
    refused(await tidings(t, mongo.uri(), 'import', '--from-original'), 'notifications');
  });
});
