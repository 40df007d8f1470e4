import { after } from 'node:test';
import { Mongo } from './mongo.js';

const WHICH = process.env.TIDINGS_E2E_STORE ?? 'sqlite';

/** How much a test asks of its store: what stands in for MongoDB here is slower than the embedded store by far. */
export const scaled = (count) => (WHICH === 'sqlite' ? count : Math.ceil(count / 8));

/** All tests of a file share one server, each with a database of its own; it ends with the file. */
let shared;
const ends = [];
after(async () => {
  for (const end of ends) await end();
});

/**
 * The settings that say where a test stores: in `own`, the embedded store's; with `TIDINGS_E2E_STORE=mongo` in MongoDB, with
 * `standalone` in one without transactions. So the same journeys run on each.
 */
export async function store(own) {
  if (WHICH === 'sqlite') return own;
  shared ??= Mongo.start({ after: (end) => ends.push(end) }, { standalone: WHICH === 'standalone' });
  return { MONGODB_URI: (await shared).uri() };
}
