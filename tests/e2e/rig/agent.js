// Clients of other makers, each kind a program of its own under tests/clients that holds several of them.

import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DeviceLog } from '../checker.js';
import { run } from './run.js';
import { until, within } from './until.js';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const clients = resolve(root, 'tests/clients');
const python = resolve(root, '.venv/bin/python');

const WEBSOCKET = ['websocket'];
const POLLING = ['polling'];
const UPGRADED = ['polling', 'websocket'];
const EACH = { websocket: WEBSOCKET, polling: POLLING, upgraded: UPGRADED };

/** With Tokio, rust_socketio takes each piece of a polling answer's body for a whole one, and fails by those that come in several. */
const WITHOUT_POLLING = { websocket: WEBSOCKET, upgraded: UPGRADED };

/**
 * Each kind: the program that runs it and what stands before its arguments, the transports that it has, and what it cannot:
 * an `auth` of more than texts, or another `auth` than the one it began with.
 */
export const KINDS = {
  'js 4.8': { binary: process.execPath, args: [`${clients}/agents/agent.js`, 'socket.io-client'], ways: EACH },
  'js 3.1': { binary: process.execPath, args: [`${clients}/agents/agent.js`, 'socket.io-client-3'], ways: EACH },
  'python sync': { binary: python, args: [`${clients}/agents/agent_sync.py`], ways: EACH },
  'python async': { binary: python, args: [`${clients}/agents/agent_async.py`], ways: EACH },
  java: { binary: 'java', args: ['-XX:TieredStopAtLevel=1', '-jar', `${clients}/java/target/agent.jar`], ways: EACH, texts: true },
  'rust async': { binary: `${clients}/rust/target/debug/agent`, args: ['async'], ways: WITHOUT_POLLING },
  'rust sync': { binary: `${clients}/rust/target/debug/agent`, args: ['sync'], ways: EACH, fixed: true },
};

// No registry offers this one: it is tried where tests/clients/cpp/build.sh has built it.
const cpp = `${clients}/cpp/target/agent`;
if (existsSync(cpp)) KINDS['c++'] = { binary: cpp, args: [], ways: { websocket: WEBSOCKET }, fixed: true };

/** A program with clients of one kind. It ends with its test. */
export class Agent {
  /** `describe(name)` gives what the client of that name attaches with. */
  static start(t, kind, url, describe) {
    const { binary, args, ways, texts = false, fixed = false } = KINDS[kind];
    const agent = Object.assign(new Agent(), { kind, texts, fixed });
    agent.devices = Object.entries(ways).map(([way, transports]) => new AgentDevice(agent, `${kind}, ${way}`, transports));
    const wanted = agent.devices.map(({ name, transports }) => ({ name, transports, auth: describe(name) }));
    agent.ran = run({ binary, args: [...args, url, JSON.stringify(wanted)], cwd: clients, stdio: ['pipe', 'pipe', 'pipe'] });
    agent.ran.ended.catch((error) => (agent.ran.stderr += error.message));
    agent.ran.child.stdin.on('error', () => {});
    t.after(async () => {
      agent.ran.child.kill('SIGKILL');
      await agent.ran.ended.catch(() => {});
    });
    readline.createInterface(agent.ran.child.stdout).on('line', (line) => {
      const { client, ...told } = JSON.parse(line);
      agent.devices.find(({ name }) => name === client).hear(told);
    });
    return agent;
  }

  tell(line) {
    this.ran.child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  /** It reads nothing from now on, as a program that hangs. */
  pause() {
    this.ran.child.kill('SIGSTOP');
  }

  goOn() {
    this.ran.child.kill('SIGCONT');
  }
}

/** One client of another maker: what it heard, as the checker's log of a device, and what it may be told to do. */
export class AgentDevice {
  #answers = new Map();
  #take = null;
  #next = 0;

  constructor(agent, name, transports) {
    Object.assign(this, { agent, name, transports, heard: [], attached: 0, log: new DeviceLog(name) });
  }

  /** Each of them is the one device of a user of its own. */
  get user() {
    return `user of ${this.name}`;
  }

  hear({ event, answer, args }) {
    if (answer !== undefined) {
      this.#answers.get(answer)?.(args);
      return;
    }
    this.heard.push({ event, args });
    if (event === 'inbox_ready') {
      this.attached += 1;
      this.#take = this.log.attachment();
    }
    this.#take?.(event, args);
  }

  all(event) {
    return this.heard.filter((one) => one.event === event).map(({ args }) => args);
  }

  async event(event, nth = 1) {
    try {
      return await until(`${this.name}: ${event} number ${nth}`, () => this.all(event)[nth - 1]);
    } catch (error) {
      throw new Error(`${error.message}; it heard ${JSON.stringify(this.heard.slice(-5))}; ${this.agent.ran.stderr}`);
    }
  }

  /** Emits and gives what the callback gets. */
  emit(event, ...args) {
    const id = (this.#next += 1);
    const answered = new Promise((settle) => this.#answers.set(id, settle));
    this.agent.tell({ client: this.name, id, emit: event, args });
    return within(`${this.name}: the answer to ${event}`, answered);
  }

  /** What it attaches with from its next connection on. */
  becomes(auth) {
    this.agent.tell({ client: this.name, auth });
  }
}
