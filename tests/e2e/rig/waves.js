import assert from 'node:assert/strict';
import { Healthy } from './healthy.js';
import { forgetPeak, inMB, MB, open, peak, resident } from './memory.js';
import { Server } from './server.js';
import { until } from './until.js';

/** What one wave of an attack may make resident beside what was before it. */
const GROWTH = 50 * MB;
/**
 * After a wave it falls back to within 10 % of what the first wave left, and this much: pages of the program and of the
 * store's cache that are touched for the first time, since the healthy client's inbox grows all the while.
 */
const SLACK = 8 * MB;
/** No healthy client may wait so long; it is far from what it does wait, since tests share machines. */
const WORST = 10_000;
/** Connections that the healthy client and this process keep open between requests. */
const KEPT_ALIVE = 32;

/**
 * Attacks one server, wave after wave, while a healthy client goes on. `attack` must have ended, or seen ended, every
 * connection that it opened.
 */
export async function waves(t, attack, { env, count = 3 } = {}) {
  const server = await Server.start(t, { env });
  const { pid } = server.ran.child;
  const healthy = await Healthy.start(t, server);
  const grown = [];
  const left = [];
  for (let wave = 0; wave < count; wave += 1) {
    const files = await open(pid);
    const before = await resident(pid);
    await forgetPeak(pid);
    await attack(server, wave);
    await until('the attackers are gone', async () => (await open(pid)) <= files + KEPT_ALIVE);
    grown.push((await peak(pid)) - before);
    assert.ok(grown[wave] <= GROWTH, `wave ${wave + 1} took ${inMB(grown[wave])} MB`);
    const limit = left.length === 0 ? Infinity : left[0] * 1.1 + SLACK;
    await until(`what is resident falls back to ${inMB(limit)} MB`, async () => (await resident(pid)) <= limit);
    left.push(await resident(pid));
  }
  const told = await healthy.finish();
  t.diagnostic(`grew by ${grown.map(inMB).join(', ')} MB, then ${left.map(inMB).join(', ')} MB`);
  t.diagnostic(`healthy: ${told.sent} sent; p50 ${told.p50.toFixed(1)}, p99 ${told.p99.toFixed(1)}, worst ${told.worst.toFixed(1)} ms`);
  assert.deepEqual(told.found, told.spotless, 'the healthy client got everything, in order');
  assert.deepEqual(told.connects, [1, 1], 'the healthy client never lost its connection');
  assert.ok(told.worst < WORST, `the healthy client waited ${told.worst} ms`);
  await unharmed(server);
}

/** It lives, has not panicked, and serves. */
export async function unharmed(server) {
  assert.equal(server.ran.child.exitCode, null, server.log);
  assert.doesNotMatch(server.log, /panick/i);
  assert.equal((await server.request('GET', '/api/health')).status, 200);
  assert.ok((await server.send('afterwards')).id);
}
