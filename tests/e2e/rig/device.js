import { io } from 'socket.io-client';
import { DeviceLog } from '../checker.js';
import { until } from './until.js';
import { Wire } from './wire.js';

/** Acknowledges as a client does: once for all that came within a moment. */
function acknowledger(log, emit) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      emit({ rev: log.cursor });
    }, 50).unref();
  };
}

/**
 * A device on a bare websocket that keeps its own cursor, and repeats `pid` and offset as an official client does: it
 * attaches, vanishes and comes back as it is told.
 */
export class BareDevice {
  constructor(server, user, name, { acks = true } = {}) {
    this.server = server;
    this.user = user;
    this.acks = acks;
    this.log = new DeviceLog(name);
    this.came = 0;
  }

  /** Attaches, without waiting for anything. */
  attach() {
    const take = this.log.attachment();
    let current = true;
    const acknowledge = acknowledger(this.log, (position) => current && wire.emit('ack_notifications', position));
    const wire = new Wire(
      this.server.url,
      { user_id: this.user, device_id: this.log.name, acks: this.acks, ...this.log.position, ...this.log.repeated(this.pid) },
      {
        onWelcome: ({ pid }) => (this.pid = pid),
        onEvent: (event, args) => {
          if (!current) return;
          take(event, args);
          this.came += 1;
          if (this.acks && event !== 'inbox_ready') acknowledge();
        },
      },
    );
    wire.closed.then(() => (current = false));
    this.wire = wire;
    return wire;
  }

  /** Attaches, and again as soon as it is gone, until `stop`. */
  stay() {
    this.staying = true;
    (async () => {
      while (this.staying) {
        await this.attach().closed;
        // A server that is down refuses at once: come back a moment later, as every client does.
        await new Promise((settle) => setTimeout(settle, 20));
      }
    })();
  }

  /** Waits for so many more events, or for `over`. */
  async more(count, over) {
    const goal = this.came + count;
    await until(`${this.log.name} gets ${count} more events`, () => this.came >= goal || over());
  }

  async stop() {
    this.staying = false;
    await this.wire?.vanish();
  }
}

/** A device with the official client, which comes back by itself. */
export class OfficialDevice {
  constructor(server, user, name, { transports = ['websocket'] } = {}) {
    this.server = server;
    this.log = new DeviceLog(name);
    this.user = user;
    this.transports = transports;
    this.connects = 0;
  }

  stay() {
    const { log } = this;
    const acknowledge = acknowledger(log, (position) => this.socket.connected && this.socket.emit('ack_notifications', position, () => {}));
    let take;
    this.socket = io(this.server.url, {
      forceNew: true,
      transports: this.transports,
      reconnectionDelay: 20,
      reconnectionDelayMax: 100,
      auth: (give) => give({ user_id: this.user, device_id: log.name, acks: true, ...log.position }),
    });
    // A client that knows several servers tries another one.
    this.socket.io.on('reconnect_attempt', () => (this.socket.io.uri = this.server.url));
    this.socket.on('connect', () => {
      take = log.attachment();
      this.connects += 1;
    });
    this.socket.onAny((event, ...args) => {
      take(event, args);
      if (event !== 'inbox_ready') acknowledge();
    });
  }

  /** Loses its connection, and comes back by itself. While it is coming back it cannot lose it again. */
  stumble() {
    if (this.socket.connected) this.socket.io.engine.close();
  }

  stop() {
    this.socket?.disconnect();
  }
}
