// What docs/deploy says fits together, and to the server.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { test } from 'node:test';
import { parse } from 'yaml';

const read = (path) => readFile(new URL(`../../docs/${path}`, import.meta.url), 'utf8');
const compose = async () => parse(await read('deploy/compose.yaml'), { merge: true });
const seconds = (text) => Number(/^(\d+)s$/.exec(text)[1]);

test('every setting that is named exists', async () => {
  const settings = new Set((await read('configuration.md')).match(/(?<=^\| `)\w+(?=`)/gm));
  for (const file of await readdir(new URL('../../docs/deploy/', import.meta.url))) {
    for (const name of (await read(`deploy/${file}`)).match(/\bTIDINGS_\w+/g) ?? []) assert.ok(settings.has(name), `${file}: ${name}`);
  }
  const { services } = await compose();
  for (const name of Object.keys(services['tidings-1'].environment)) assert.ok(settings.has(name), name);
});

test('the compose file holds together', async () => {
  const { services, networks, volumes } = await compose();
  const nodes = Object.keys(services).filter((name) => name.startsWith('tidings-'));
  assert.equal(nodes.length, 3);
  for (const [name, service] of Object.entries(services)) {
    for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.ok(services[needed], `${name} needs ${needed}`);
      // The nodes' check is the image's.
      if (condition === 'service_healthy') assert.ok(services[needed].healthcheck ?? nodes.includes(needed), needed);
    }
    for (const network of service.networks) assert.ok(network in networks, network);
    for (const volume of service.volumes ?? []) {
      const [from] = volume.split(':');
      assert.ok(from.startsWith('./') ? await read(`deploy/${from}`) : from in volumes, volume);
    }
  }
  for (const node of nodes.map((name) => services[name])) {
    assert.ok(seconds(node.stop_grace_period) > node.environment.TIDINGS_DRAIN_SECONDS);
    assert.equal(node.environment.TIDINGS_TRUSTED_PROXIES, networks.front.ipam.config[0].subnet);
    assert.ok(isIPv4(node.environment.TIDINGS_BIND));
    assert.deepEqual(node.depends_on, services[nodes[0]].depends_on);
  }
  // What is behind the nodes can be reached by nobody else.
  assert.ok(networks.stores.internal);
  for (const name of ['mongo-1', 'mongo-2', 'mongo-3', 'redis']) assert.deepEqual(services[name].networks, ['stores']);
});

test('both proxies name the nodes of the compose file', async () => {
  const { services } = await compose();
  for (const node of Object.keys(services).filter((name) => name.startsWith('tidings-'))) {
    assert.equal((await read('deploy/tidings.nginx.conf')).split(`server ${node}:3000 `).length, 3);
    assert.ok((await read('deploy/Caddyfile')).includes(`${node}:3000`));
  }
});
