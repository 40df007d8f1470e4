import net from 'node:net';

/** Of what comes back so much is kept. */
const KEPT = 64 * 1024;

/** The start of a close frame; all else that the server sends is ASCII, but for the lengths of longer frames. */
const CLOSE = /(?<!\x7e|\x7e[^])\x88/;

/** A bare TCP connection, to send what no client would. What breaks it is no error: that is what is expected. */
export class Raw {
  constructor(server) {
    this.answer = '';
    this.waiting = new Set();
    this.socket = net.connect(server.port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    this.socket.setEncoding('latin1').on('data', (text) => {
      this.answer = (this.answer + text).slice(-KEPT);
      for (const look of this.waiting) look();
      if (this.isWebsocket && CLOSE.test(text)) this.socket.end();
    });
    this.begun = new Promise((settle) => this.socket.once('connect', settle).once('close', settle));
    this.over = false;
    this.ended = new Promise((settle) => this.socket.once('close', settle)).then(() => {
      this.over = true;
      for (const look of this.waiting) look();
    });
  }

  /** A connection that has become a websocket, or was refused. */
  static async websocket(server, query = '') {
    const raw = new Raw(server);
    raw.write(upgrade(server, query));
    await raw.got('\r\n\r\n');
    raw.isWebsocket = true;
    return raw;
  }

  /** A websocket whose CONNECT was answered. */
  static async connected(server, auth = {}) {
    const raw = await Raw.websocket(server);
    raw.write(text(`40${JSON.stringify(auth)}`));
    await raw.got('40{"sid"');
    return raw;
  }

  write(data) {
    return this.socket.write(data);
  }

  /** Waits until the answer holds `wanted`, a text or a pattern; `false` when the connection ended before it did. */
  got(wanted) {
    return new Promise((settle) => {
      const look = () => {
        const found = wanted instanceof RegExp ? wanted.test(this.answer) : this.answer.includes(wanted);
        if (!found && !this.over) return;
        this.waiting.delete(look);
        settle(found);
      };
      this.waiting.add(look);
      look();
    });
  }

  /** Writes as fast as it is taken; `false` when the connection ended before all was. */
  async push(chunks) {
    for (const chunk of chunks) {
      if (this.over) return false;
      if (this.write(chunk)) continue;
      await Promise.race([this.ended, new Promise((settle) => this.socket.once('drain', settle))]);
    }
    return !this.over;
  }

  /** Reads nothing from now on. */
  deafen() {
    this.socket.pause();
  }

  /** Gone without a word. */
  vanish() {
    this.socket.destroy();
    return this.ended;
  }
}

/** A request for a websocket. */
export const upgrade = (server, query = '') =>
  `GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nConnection: Upgrade\r\n` +
  'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** The opcodes of websocket frames. */
export const [CONTINUATION, TEXT, BINARY, PING] = [0, 1, 2, 9];

/** A frame as a client sends it. Its mask is zero, which masks nothing. `length` may be other than the truth. */
export function frame(opcode, payload = '', { fin = true, length } = {}) {
  const body = Buffer.from(payload);
  const said = length ?? body.length;
  const head = Buffer.alloc(said < 126 ? 6 : said < 65_536 ? 8 : 14);
  head[0] = (fin ? 0x80 : 0) | opcode;
  if (said < 126) head[1] = 0x80 | said;
  else if (said < 65_536) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(said, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(said), 2);
  }
  return Buffer.concat([head, body]);
}

export const text = (payload) => frame(TEXT, payload);

/** Does `work` with each number below `count`, so many at once. */
export async function crowd(count, atOnce, work) {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(count, atOnce) }, async () => {
    while (next < count) await work(next++);
  }));
}
