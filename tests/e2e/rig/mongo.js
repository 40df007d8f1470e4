import { randomUUID } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './port.js';
import { Process } from './process.js';

const OF_THE_CHECKOUT = resolve(dirname(fileURLToPath(import.meta.url)), '../../../.venv/bin/secantusd-py');
const PROGRAM = process.env.TIDINGS_TEST_SECANTUS ?? OF_THE_CHECKOUT;
const ELSEWHERE = process.env.TIDINGS_TEST_MONGODB_URI;

/**
 * A server that speaks MongoDB's protocol. `TIDINGS_TEST_MONGODB_URI` names a replica set to use; else it is SecantusDB,
 * which `test.sh` installs.
 */
export class Mongo {
  /** `standalone`: a single server without transactions, always one of our own. */
  static async start(t, { standalone = false } = {}) {
    const mongo = new Mongo();
    if (ELSEWHERE && !standalone) return mongo;
    const port = await freePort();
    const args = ['--host', '127.0.0.1', '--port', `${port}`, '--sync-on-commit', '--storage-path', 'data'];
    mongo.process = new Process(t, {
      name: 'SecantusDB',
      binary: PROGRAM,
      args: standalone ? [...args, '--standalone'] : args,
      port,
      missing: 'let ./test.sh install it, or set TIDINGS_TEST_MONGODB_URI to a replica set',
    });
    await mongo.process.restart();
    return mongo;
  }

  /** Where a database of that name is; without a name, one that no other test has. */
  uri(database = `tidings_test_${randomUUID().replaceAll('-', '')}`) {
    if (this.process) return `mongodb://127.0.0.1:${this.process.port}/${database}`;
    const [, hosts, options = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?[^?]*(\?.*)?$/.exec(ELSEWHERE);
    return `${hosts}/${database}${options}`;
  }

  get #own() {
    if (!this.process) throw new Error('this test stops its MongoDB server: run it without TIDINGS_TEST_MONGODB_URI');
    return this.process;
  }

  /** As a power cut does it. */
  kill() {
    return this.#own.kill();
  }

  restart() {
    return this.#own.restart();
  }

  /** It neither answers nor closes anything until it goes on. */
  pause() {
    this.#own.pause();
  }

  goOn() {
    this.#own.goOn();
  }
}
