import { Transform } from 'node:stream';

const SHARE = 0.05;
const MESSAGE = '>3\r\n$7\r\nmessage\r\n';

/** Where the first value of `data` ends that begins at `at`, in Redis' protocol; 0 when it is not whole yet. */
function endOf(data, at) {
  const line = data.indexOf('\r\n', at);
  if (line < 0) return 0;
  const kind = String.fromCharCode(data[at]);
  const count = Number(data.toString('latin1', at + 1, line));
  let end = line + 2;
  if ('$=!'.includes(kind)) {
    if (count >= 0) end += count + 2;
    return end <= data.length ? end : 0;
  }
  const parts = '*~>'.includes(kind) ? count : kind === '%' ? 2 * count : 0;
  for (let part = 0; part < parts; part += 1) {
    end = endOf(data, end);
    if (end === 0) return 0;
  }
  return end;
}

/**
 * What Redis never does to a subscriber who is there: of what is published it loses, doubles and reorders 5 % each. Answers
 * and confirmations pass as they are. To be put into a `Proxy` between a node and Redis.
 */
export class Unruly {
  #random;
  #calm = false;
  did = { passed: 0, lost: 0, doubled: 0, reordered: 0 };

  constructor(random) {
    this.#random = random;
  }

  /** From now on everything passes. */
  calmDown() {
    this.#calm = true;
  }

  /** What runs from Redis to one connection. */
  stream = () => {
    let rest = Buffer.alloc(0);
    let held = [];
    const unruly = this;
    return new Transform({
      transform(chunk, _, done) {
        rest = Buffer.concat([rest, chunk]);
        for (let end = endOf(rest, 0); end > 0; end = endOf(rest, 0)) {
          const value = rest.subarray(0, end);
          rest = rest.subarray(end);
          const next = unruly.#treat(value);
          // What was held back comes after the next one.
          if (next !== 'later') this.push(Buffer.concat([...Array(next).fill(value), ...held.splice(0)]));
          else held.push(value);
        }
        done();
      },
    });
  };

  /** How often it is told now, or `later`. */
  #treat(value) {
    if (this.#calm || value.toString('latin1', 0, MESSAGE.length) !== MESSAGE) return 1;
    const dice = this.#random.next();
    const [what, answer] = dice < SHARE ? ['lost', 0] : dice < 2 * SHARE ? ['doubled', 2] : dice < 3 * SHARE ? ['reordered', 'later'] : ['passed', 1];
    this.did[what] += 1;
    return answer;
  }
}
