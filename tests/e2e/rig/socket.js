import { io } from 'socket.io-client';
import { DEADLINE, until, within } from './until.js';

/** An official client, closed with the test. It comes back fast, so that tests need not wait. */
export function connect(t, url, { auth, ...options } = {}) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, auth, ...options });
  t.after(() => socket.disconnect());
  return new Client(socket);
}

/** An official client with a log of what it received, in the order it came. */
export class Client {
  constructor(socket) {
    this.socket = socket;
    this.received = [];
    this.failures = [];
    socket.onAny((event, ...args) => this.received.push({ event, args, at: performance.now() }));
    socket.on('connect_error', (error) => this.failures.push(error));
  }

  /** What came under one name. */
  all(event) {
    return this.received.filter((received) => received.event === event).map(({ args }) => args);
  }

  /** The notifications that came as new. */
  get notifications() {
    return this.all('send_notification').map(([notification]) => notification);
  }

  get messages() {
    return this.notifications.map(({ message }) => message);
  }

  get updates() {
    return this.all('notification_updated');
  }

  /** Waits until an event has come (the `nth`, from 1), and gives its arguments. */
  event(event, nth = 1) {
    return until(`event ${event} number ${nth}`, () => this.all(event)[nth - 1]);
  }

  /** Waits for so many new notifications; more than that is an error of the caller's to look at. */
  async count(count) {
    await until(`${count} notifications (${this.messages.length} came)`, () => this.messages.length >= count);
    return this.notifications;
  }

  connected() {
    return until('the socket is connected', () => this.socket.connected);
  }

  /** Emits and gives what the callback gets. */
  emit(event, ...args) {
    return this.socket.timeout(DEADLINE).emitWithAck(event, ...args);
  }

  ready() {
    return this.event('inbox_ready').then(([info]) => info);
  }

  refused() {
    return until('the connection is refused', () => this.failures[0]);
  }

  disconnected(deadline) {
    return within(
      'the socket is disconnected',
      new Promise((settle) => (this.socket.connected ? this.socket.once('disconnect', settle) : settle())),
      deadline,
    );
  }
}
