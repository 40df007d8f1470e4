// What the figures share: a server outside of any test, and what it takes of the machine.

import { readFile } from 'node:fs/promises';
import { Server } from '../rig/server.js';

/** Runs `measure(server)` against a fresh server, and ends it. */
export async function withServer(env, measure) {
  const after = [];
  const server = await Server.start({ after: (end) => after.push(end) }, { env });
  try {
    return await measure(server);
  } finally {
    for (const end of after.reverse()) await end();
  }
}

/** Resident memory that is not a file's, in MB: the page cache of the store's file is the system's. */
export async function resident(server) {
  const status = await readFile(`/proc/${server.ran.child.pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)[1]) / 1_024;
}

/** CPU seconds so far. */
export async function cpu(server) {
  const stat = await readFile(`/proc/${server.ran.child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Watches the resident memory until it is stopped; gives the most that it was. */
export function peak(server) {
  let most = 0;
  let watching = true;
  const done = (async () => {
    while (watching) {
      most = Math.max(most, await resident(server));
      await new Promise((settle) => setTimeout(settle, 20));
    }
  })();
  return async () => {
    watching = false;
    await done;
    return most;
  };
}
