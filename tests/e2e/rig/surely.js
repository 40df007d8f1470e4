import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** Sends until it is answered with a 2xx, with one key all along. Gives the answer. */
export async function surely(server, body, headers = {}) {
  const keyed = { ...headers, 'idempotency-key': randomUUID() };
  for (;;) {
    const answer = await server.request('POST', '/v1/notifications', body, keyed).catch(() => null);
    if (answer?.status === 201) return answer.body.notifications;
    if (answer && answer.status !== 503) throw new Error(`a send was answered ${answer.status}: ${answer.text}`);
    await delay(10);
  }
}
