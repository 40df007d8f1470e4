import { test } from 'node:test';

/**
 * A test by chance that can be had again: it prints its seed. `TIDINGS_SEED` sets the seed, or several with commas between
 * them; `TIDINGS_REPEAT` says how often the test runs, with each of the seeds or with a new one each time. `known` are
 * seeds that have found a fault once: they run beside a new one.
 */
export function testByChance(name, { known = [], ...options }, run) {
  const given = (process.env.TIDINGS_SEED ?? '').split(',').filter(Boolean).map(Number);
  const repeat = Number(process.env.TIDINGS_REPEAT ?? 1);
  const chosen = given.length > 0 ? given : [...known, undefined];
  const rounds = Array.from({ length: repeat }, () => chosen).flat();
  rounds.forEach((seed, index) => {
    const which = rounds.length > 1 ? `${name} (${index + 1} of ${rounds.length})` : name;
    test(which, options, (t) => run(t, seeded(t, seed)));
  });
}

/** Chance that can be had again: each test prints its seed, and `TIDINGS_SEED` sets it. */
export function seeded(t, seed = Number(process.env.TIDINGS_SEED?.split(',')[0] ?? Math.floor(Math.random() * 2 ** 31))) {
  t.diagnostic(`seed ${seed} (again with TIDINGS_SEED=${seed})`);
  let state = seed >>> 0;
  const next = () => {
    // A 32-bit mix of a counter: enough to shuffle a test, and the same on every machine.
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return { seed, next, below, chance: (share) => next() < share, pick: (list) => list[below(list.length)] };
}
