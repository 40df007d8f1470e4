import { freePort } from './port.js';
import { Process } from './process.js';

/** A Redis of the test's own, which keeps nothing. */
export class Redis extends Process {
  /** One that is not there yet: `restart` brings it. */
  static async absent(t) {
    const port = await freePort();
    return new Redis(t, {
      name: 'redis-server',
      binary: 'redis-server',
      args: ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
      port,
      missing: 'let ./test.sh install it',
    });
  }

  static async start(t) {
    const redis = await Redis.absent(t);
    await redis.restart();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }
}
