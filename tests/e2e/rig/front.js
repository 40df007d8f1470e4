import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { certificate } from './certificate.js';
import { freePort } from './port.js';
import { run, runToEnd, temporaryFolder } from './server.js';
import { until, within } from './until.js';

const committed = (name) => readFile(new URL(`../../../docs/deploy/${name}`, import.meta.url), 'utf8');

/** A real reverse proxy before some nodes, with the configuration of `docs/deploy`, of which only the addresses differ. */
export class Front {
  constructor(url, ca) {
    this.url = url;
    this.ca = ca;
  }

  static async nginx(t, nodes) {
    const folder = await temporaryFolder(t);
    const [port, plain] = [await freePort(), await freePort()];
    await mkdir(join(folder, 'certs'));
    const { cert } = await certificate(join(folder, 'certs'), 'tidings');
    const upstreams = (_, before, after) => nodes.map((node) => `${before}127.0.0.1:${node.port}${after}`).join('');
    const site = (await committed('tidings.nginx.conf'))
      .replace(/( +server )tidings-1:3000( .*\n)(?: +server tidings-\d.*\n)*/g, upstreams)
      .replace(/^ +listen \[::\].*\n/gm, '')
      .replace('listen 80;', `listen 127.0.0.1:${plain};`)
      .replace('listen 443 ', `listen 127.0.0.1:${port} `)
      .replace('/var/log/nginx/', `${folder}/`);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`);
    await writeFile(join(folder, 'tidings.conf'), site);
    await writeFile(
      join(folder, 'nginx.conf'),
      `daemon off; pid ${folder}/pid; user ${userInfo().username};
events { worker_connections 1024; }
http { ${temporary.join(' ')} include ${folder}/tidings.conf; }`,
    );
    const front = new Front(`https://localhost:${port}`, await readFile(cert, 'utf8'));
    front.plain = `http://localhost:${plain}`;
    front.accessLog = () => readFile(join(folder, 'tidings.log'), 'utf8');
    return front.begin(t, { binary: 'nginx', args: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], cwd: folder }, port);
  }

  static async caddy(t, nodes) {
    const folder = await temporaryFolder(t);
    const port = await freePort();
    await writeFile(join(folder, 'Caddyfile'), await committed('Caddyfile'));
    const env = {
      HOME: folder,
      CADDY_ADMIN: 'off',
      SITE: `http://localhost:${port}`,
      NODES: nodes.map((node) => `127.0.0.1:${node.port}`).join(' '),
    };
    const { code, stdout, stderr } = await runToEnd(t, { binary: 'caddy', args: ['adapt', '--config', 'Caddyfile'], cwd: folder, env });
    if (code !== 0) throw new Error(stderr);
    // A site's address says nothing of the interface.
    await writeFile(join(folder, 'caddy.json'), stdout.replace(`":${port}"`, `"127.0.0.1:${port}"`));
    const front = new Front(`http://localhost:${port}`);
    return front.begin(t, { binary: 'caddy', args: ['run', '--config', 'caddy.json'], cwd: folder, env }, port, 'SIGKILL');
  }

  /** `end` is how it is ended: nginx takes its workers along, and Caddy would wait for what its nodes still owe. */
  async begin(t, options, port, end = 'SIGTERM') {
    const ran = run(options);
    t.after(async () => {
      ran.child.kill(end);
      await within(`the end of ${options.binary}`, ran.ended);
    });
    await until(`${options.binary} listens`, async () => {
      if (ran.child.exitCode !== null) throw new Error(ran.stderr);
      const socket = net.connect(port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
      return true;
    });
    return this;
  }

  /** What an official client needs to be told. */
  get trust() {
    return this.ca ? { ca: this.ca } : {};
  }

  /** The answer to a request, of which the body is still to come. */
  open(method, path, body, { headers = {}, from } = {}) {
    const { request } = this.ca ? https : http;
    const options = { method, headers, ca: this.ca, localAddress: from, family: 4, agent: false };
    return new Promise((settle, reject) =>
      request(new URL(path, this.url), options).on('response', settle).on('error', reject).end(body));
  }

  async ask(method, path, body, options = {}) {
    const headers = { ...(body && { 'content-type': 'application/json' }), ...options.headers };
    const answer = await this.open(method, path, body && JSON.stringify(body), { ...options, headers });
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk;
    return { status: answer.statusCode, headers: answer.headers, text };
  }
}
