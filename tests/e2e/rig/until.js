import { setTimeout as delay } from 'node:timers/promises';

/** The time within which anything that is due on a healthy, busy machine must have happened. */
export const DEADLINE = 20_000;

/**
 * Asks again and again until `probe` gives something truthy, and gives that. What `probe` throws counts as "not yet"
 * and is told when the time is over.
 */
export async function until(what, probe, { deadline = DEADLINE, every = 15 } = {}) {
  const end = performance.now() + deadline;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      throw new Error(`not within ${deadline} ms: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`);
    }
    await delay(every);
  }
}

/** Gives what `promise` gives, or fails when that takes too long. */
export async function within(what, promise, deadline = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
