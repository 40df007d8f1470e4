import { join } from 'node:path';
import { BINARY, run, temporaryFolder } from './run.js';
import { store } from './store.js';
import { within } from './until.js';

export { BINARY, run, temporaryFolder } from './run.js';

const START = 30_000;

/** Runs a command of the binary to its end. */
export async function runToEnd(t, options) {
  const ran = run({ cwd: options.cwd ?? (await temporaryFolder(t)), ...options });
  t.after(() => ran.child.kill('SIGKILL'));
  const { code, signal } = await within(`the end of tidings ${(options.args ?? []).join(' ')}`, ran.ended, START);
  return { code, signal, stdout: ran.stdout, stderr: ran.stderr };
}

/** One server with its store. It may be killed and started again; port and store stay. */
export class Server {
  static async start(t, { env = {}, args = [], data, cwd, descriptors } = {}) {
    const server = new Server();
    t.after(() => server.kill());
    server.cwd = cwd ?? (await temporaryFolder(t));
    const own = { TIDINGS_DATA_DIR: data ?? join(server.cwd, 'data') };
    server.env = { PORT: '0', ...(data || 'MONGODB_URI' in env ? own : await store(own)), ...env };
    server.args = args;
    server.descriptors = descriptors;
    await server.restart();
    return server;
  }

  get data() {
    return this.env.TIDINGS_DATA_DIR;
  }

  get log() {
    return this.ran.stdout + this.ran.stderr;
  }

  /** Starts it (again) and waits until it says where it listens. */
  async restart() {
    // `descriptors`, as `ulimit -n` takes it, with which the server begins.
    const limited = this.descriptors && { binary: '/bin/sh', args: ['-c', `ulimit ${this.descriptors} && exec "$0" "$@"`, BINARY, ...this.args] };
    this.ran = run({ args: this.args, env: this.env, cwd: this.cwd, ...limited });
    const listening = new Promise((settle) => {
      const look = () => {
        const found = /listening on (https?:\/\/\S+?:(\d+))/.exec(this.log);
        if (found) settle(found);
      };
      this.ran.child.stdout.on('data', look);
      this.ran.child.stderr.on('data', look);
    });
    const ended = this.ran.ended.then(({ code, signal }) => {
      throw new Error(`the server ended at its start (${code ?? signal}):\n${this.log}`);
    });
    ended.catch(() => {});
    const [, url, port] = await within('the server listens', Promise.race([listening, ended]), START);
    this.url = url;
    this.port = Number(port);
    this.env.PORT = port;
  }

  /** As a power cut does it. */
  async kill() {
    this.ran?.child.kill('SIGKILL');
    await this.ran?.ended.catch(() => {});
  }

  /** As an operator does it. Gives how it ended. */
  async terminate(deadline = START) {
    this.ran.child.kill('SIGTERM');
    return within('the server ends after SIGTERM', this.ran.ended, deadline);
  }

  /** One request, with `this.headers` too; the body is JSON unless it is a text, a buffer or absent. */
  async request(method, path, body, headers = {}) {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...this.headers, ...headers },
      body: body === undefined || raw ? body : JSON.stringify(body),
      redirect: 'manual',
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    return {
      status: response.status,
      headers: response.headers,
      type,
      text,
      body: /\bjson\b/.test(type) && text !== '' ? JSON.parse(text) : text,
    };
  }

  /** The body of a request that must succeed. */
  async ask(method, path, body, headers) {
    const answer = await this.request(method, path, body, headers);
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path} was answered ${answer.status}: ${answer.text}`);
    }
    return answer.body;
  }

  /** Sends to one user, and gives what was answered for them. */
  async send(to, fields = {}, headers) {
    const body = typeof fields === 'string' ? { message: fields } : { message: 'hello', ...fields };
    const { notifications } = await this.ask('POST', '/v1/notifications', { to, ...body }, headers);
    return notifications[0];
  }

  /** Stores many for one user, in order. */
  async sendMany(to, count, fields = (index) => ({ message: `${index + 1}` })) {
    const receipts = [];
    for (let at = 0; at < count; at += 1_000) {
      const size = Math.min(1_000, count - at);
      const notifications = Array.from({ length: size }, (_, index) => ({ to, ...fields(at + index) }));
      const { results } = await this.ask('POST', '/v1/notifications/batch', { notifications });
      for (const result of results) receipts.push(result.notifications[0]);
    }
    return receipts;
  }

  inbox(user, query = '') {
    return this.ask('GET', `${userPath(user)}/inbox${query && `?${query}`}`);
  }

  counts(user) {
    return this.ask('GET', `${userPath(user)}/inbox/counts`);
  }

  mark(user, body) {
    return this.ask('POST', `${userPath(user)}/inbox/mark`, body);
  }

  notification(id) {
    return this.ask('GET', `/v1/notifications/${id}`);
  }

  async status(id) {
    return (await this.notification(id)).status;
  }

  async devices(user) {
    const answer = await this.ask('GET', `${userPath(user)}/devices`);
    return Array.isArray(answer) ? answer : answer.data;
  }

  /** The inbox's whole log from `since`, every page. */
  async changes(user, since = 0) {
    const data = [];
    let page;
    do {
      const epoch = page ? `&epoch=${page.epoch}` : '';
      const next = page?.next ? `&next=${encodeURIComponent(page.next)}` : '';
      page = await this.ask('GET', `${userPath(user)}/inbox/changes?since=${page?.cursor ?? since}${epoch}${next}`);
      data.push(...page.data);
    } while (page.has_more);
    return { ...page, data };
  }
}

export const userPath = (user) => `/v1/users/${encodeURIComponent(user)}`;
