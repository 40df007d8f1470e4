/** Chance that can be had again: each test prints its seed, and `TIDINGS_SEED` sets it. */
export function seeded(t) {
  const seed = Number(process.env.TIDINGS_SEED ?? Math.floor(Math.random() * 2 ** 31));
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
