import { Worker } from 'node:worker_threads';
import { within } from './until.js';

/**
 * Somebody who does nothing wrong while others do: two official clients of one user, one by websocket and one by polling,
 * who are sent notifications all the while. In a thread of its own, so that what the attackers cost this process does not
 * count as the server's slowness.
 */
export class Healthy {
  static async start(t, server) {
    const healthy = new Healthy();
    healthy.worker = new Worker(new URL('./healthy-worker.js', import.meta.url), { workerData: { url: server.url } });
    t.after(() => healthy.worker.terminate());
    await healthy.told('the healthy client has its first notification');
    return healthy;
  }

  async told(what) {
    const told = new Promise((settle, reject) => this.worker.once('message', settle).once('error', reject));
    const message = await within(what, told, 60_000);
    if (message.error) throw new Error(`the healthy client: ${message.error}`);
    return message;
  }

  /** Ends the sending, and gives what came of it. */
  async finish() {
    this.worker.postMessage('finish');
    return this.told('the healthy client is judged');
  }
}
