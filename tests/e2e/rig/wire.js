import { WebSocket } from 'ws';
import { until } from './until.js';

/**
 * A Socket.IO client written by hand over a bare websocket, to do what official clients do not: keep a pong back, stop
 * reading, vanish. One of them costs little, so that there can be thousands.
 */
export class Wire {
  /** `auth` is the payload of CONNECT. Its answer is given to `onWelcome`, events to `onEvent(event, args)`, as they come. */
  constructor(url, auth, { pong = true, onEvent, onWelcome, origin } = {}) {
    this.events = [];
    this.pings = [];
    this.acks = new Map();
    this.nextAck = 0;
    this.pong = pong;
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`, {
      autoPong: pong,
      perMessageDeflate: false,
      origin,
    });
    this.closed = new Promise((settle) => this.socket.once('close', (code) => settle(code)));
    this.socket.on('error', (error) => (this.error = error));
    this.socket.on('ping', (data) => {
      if (!this.pong) this.pings.push(() => this.socket.pong(data));
    });
    this.socket.on('message', (data) => this.packet(data.toString(), auth, { onEvent, onWelcome }));
  }

  packet(text, auth, { onEvent, onWelcome }) {
    if (text === '2') {
      if (this.pong) this.socket.send('3');
      else this.pings.push(() => this.socket.send('3'));
    } else if (text.startsWith('0')) {
      this.handshake = JSON.parse(text.slice(1));
      this.socket.send(`40${JSON.stringify(auth ?? {})}`);
    } else if (text.startsWith('40')) {
      this.welcome = JSON.parse(text.slice(2));
      onWelcome?.(this.welcome);
    } else if (text.startsWith('44')) {
      this.refusal = JSON.parse(text.slice(2));
    } else if (text.startsWith('42')) {
      const [event, ...args] = JSON.parse(text.slice(text.indexOf('[')));
      this.events.push({ event, args });
      onEvent?.(event, args);
    } else if (text.startsWith('43')) {
      const at = text.indexOf('[');
      this.acks.get(Number(text.slice(2, at)))?.(JSON.parse(text.slice(at))[0]);
    }
  }

  emit(event, ...args) {
    const id = this.nextAck++;
    this.socket.send(`42${id}${JSON.stringify([event, ...args])}`);
    return new Promise((settle) => this.acks.set(id, settle));
  }

  /** Waits for the first event of a name, and gives its arguments. */
  async event(event) {
    const found = await until(`event ${event} on the bare websocket`, () => this.events.find((one) => one.event === event));
    return found.args;
  }

  /** Sends the pongs that were kept back. */
  release() {
    for (const answer of this.pings.splice(0)) answer();
  }

  /** Gone without a word, as a phone in a tunnel. */
  vanish() {
    this.socket.terminate();
    return this.closed;
  }
}
