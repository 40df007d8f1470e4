// How much memory eight readers of a long resume take: 10,000 notifications of 18 KB, one of them a device that is served, eight
// at once. `TIDINGS_BIN=… node figures/resume-memory.js`

import { DeviceLog } from '../checker.js';
import { until } from '../rig/until.js';
import { Wire } from '../rig/wire.js';
import { peak, resident, withServer } from './rig.js';

const COUNT = Number(process.env.COUNT ?? 10_000);
const READERS = 8;

await withServer({}, async (server) => {
  const data = { filling: 'x'.repeat(15_800) };
  const message = 'm'.repeat(2_000);
  // The body of one request is bounded, and so is a batch.
  for (let at = 0; at < COUNT; at += 100) await server.sendMany('ana', Math.min(100, COUNT - at), () => ({ message, data }));
  await new Promise((settle) => setTimeout(settle, 2_000));
  const before = await resident(server);
  const stop = peak(server);
  const wires = Array.from({ length: READERS }, (_, index) => {
    const log = new DeviceLog(`reader ${index}`);
    const take = log.attachment();
    const wire = new Wire(server.url, { user_id: 'ana', device_id: `reader-${index}`, cursor: 0, acks: true }, {
      onEvent: (event, args) => {
        take(event, args.map((arg) => (arg?.data ? { ...arg, data: {}, message: '' } : arg)));
        wire.events.length = 0;
      },
    });
    return { log, wire };
  });
  await until('all have everything', () => wires.every(({ log }) => log.cursor >= COUNT), { deadline: 300_000 });
  const most = await stop();
  console.log(`resume: ${READERS} readers of ${COUNT} of 18 KB: ${before.toFixed(0)} MB before, at most ${most.toFixed(0)} MB, grown by ${(most - before).toFixed(0)} MB`);
  await Promise.all(wires.map(({ wire }) => wire.vanish()));
});
process.exit(0);
