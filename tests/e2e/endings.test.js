// How the server ends websockets: never by a close frame without a code, after which some clients do not return.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { Server } from './rig/server.js';
import { within } from './rig/until.js';
import { Wire } from './rig/wire.js';

/** What a client sees of a connection that ended without a close frame; and a code that says "come back". */
const RETURNS = [1006, 1012];
const KEY = 'k'.repeat(40);
const SECRET = 's'.repeat(40);

const bearer = (key) => ({ authorization: `Bearer ${key}` });

const session = (server, auth) => new Wire(server.url, auth);

/** Each gives the code with which a websocket was closed. */
const ENDINGS = {
  'SIGTERM': [{}, async (t, server) => {
    const wire = session(server, { user_id: 'ana' });
    await wire.event('inbox_ready');
    const [code] = await Promise.all([wire.closed, server.terminate()]);
    return code;
  }],
  'no handshake': [{ TIDINGS_HANDSHAKE_SECONDS: '1' }, async (t, server) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
    return new Promise((settle) => socket.on('close', settle));
  }],
  'no registration': [{ TIDINGS_REGISTER_SECONDS: '1' }, async (t, server) => session(server, {}).closed],
  'not the protocol': [{}, async (t, server) => {
    const wire = session(server, { user_id: 'ana' });
    await wire.event('inbox_ready');
    wire.socket.send('nonsense');
    return wire.closed;
  }],
  'the end of its token': [{ TIDINGS_API_KEYS: KEY, TIDINGS_JWT_SECRET: SECRET }, async (t, server) => {
    const { token } = await server.ask('POST', '/v1/users/ana/tokens', { ttl_seconds: 2 }, bearer(KEY));
    return session(server, { token }).closed;
  }],
  'the end of its sessions': [{ TIDINGS_API_KEYS: KEY, TIDINGS_JWT_SECRET: SECRET }, async (t, server) => {
    const { token } = await server.ask('POST', '/v1/users/ana/tokens', {}, bearer(KEY));
    const wire = session(server, { token });
    await wire.event('inbox_ready');
    await server.ask('DELETE', '/v1/users/ana/sessions', undefined, bearer(KEY));
    return wire.closed;
  }],
  'a second upgrade of one session': [{}, async (t, server) => {
    const open = await server.request('GET', '/socket.io/?EIO=4&transport=polling');
    const { sid } = JSON.parse(open.text.slice(1));
    const upgrade = () => new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
    const first = upgrade();
    t.after(() => first.terminate());
    const probed = new Promise((settle) => first.on('message', (data) => data.toString() === '3probe' && settle()));
    first.on('open', () => first.send('2probe'));
    await within('the probe', probed);
    return new Promise((settle) => upgrade().on('close', settle));
  }],
};

describe('a websocket that the server ends lets its client return', { concurrency: 4 }, () => {
  for (const [name, [env, end]] of Object.entries(ENDINGS)) {
    test(`after ${name}`, async (t) => {
      const server = await Server.start(t, { env });
      const code = await within('the end', end(t, server));
      assert.ok(RETURNS.includes(code), `closed with ${code}`);
    });
  }

  test('what was sent before still arrives', async (t) => {
    const server = await Server.start(t, { env: { TIDINGS_API_KEYS: KEY, TIDINGS_JWT_SECRET: SECRET } });
    const { token } = await server.ask('POST', '/v1/users/ana/tokens', {}, bearer(KEY));
    const wire = session(server, { token });
    await wire.event('inbox_ready');
    let told = false;
    wire.socket.on('message', (data) => (told ||= data.toString() === '41'));
    for (let n = 0; n < 200; n += 1) wire.socket.send('42["unheard of"]');
    await server.ask('DELETE', '/v1/users/ana/sessions', undefined, bearer(KEY));
    await within('the end', wire.closed);
    assert.ok(told, 'it was not told to stay away');
  });
});
