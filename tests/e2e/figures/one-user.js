// What a send to a user with 5,000 sockets costs, beside sends to 5,000 users with one socket each.
// `TIDINGS_BIN=… node figures/one-user.js`

import { until } from '../rig/until.js';
import { Wire } from '../rig/wire.js';
import { cpu, withServer } from './rig.js';

const SOCKETS = Number(process.env.SOCKETS ?? 5_000);
const ROUNDS = 10;

async function measure(name, userOf, send) {
  await withServer({ TIDINGS_MAX_SOCKETS_PER_USER: '0' }, async (server) => {
    let came = 0;
    let ready = 0;
    const wires = [];
    for (let index = 0; index < SOCKETS; index += 1) {
      const wire = new Wire(server.url, { user_id: userOf(index), device_id: `d-${index}` }, {
        onEvent: (event) => {
          if (event === 'send_notification') came += 1;
          else ready += 1;
          wire.events.length = 0;
        },
      });
      wires.push(wire);
      if (index % 100 === 99) await until('they are attached', () => ready > index - 100, { deadline: 120_000 });
    }
    await until('all are attached', () => ready === SOCKETS, { deadline: 120_000 });
    await new Promise((settle) => setTimeout(settle, 3_000));
    const before = await cpu(server);
    for (let round = 1; round <= ROUNDS; round += 1) {
      await send(server);
      await until('all have it', () => came === round * SOCKETS, { deadline: 120_000 });
    }
    // Receipts and their storing belong to it.
    await new Promise((settle) => setTimeout(settle, 3_000));
    const took = (await cpu(server)) - before;
    console.log(`${name}: ${(took / ROUNDS).toFixed(3)} CPU s for ${SOCKETS} deliveries`);
  });
}

const users = Array.from({ length: SOCKETS }, (_, index) => `user-${index}`);
await measure('one user', () => 'ana', (server) => server.send('ana', 'm'));
await measure('as many users', (index) => users[index], async (server) => {
  for (let at = 0; at < SOCKETS; at += 1_000) {
    await server.ask('POST', '/v1/notifications', { to: users.slice(at, at + 1_000), message: 'm' });
  }
});
process.exit(0);
