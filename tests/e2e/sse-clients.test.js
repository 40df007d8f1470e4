// The stream as EventSource and its polyfills read it: each comes back by itself after a cut, and to all that it missed.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EventSource } from 'eventsource';
import { DeviceLog, settle, SPOTLESS, verdict } from './checker.js';
import { launch } from './rig/browser.js';
import { Proxy } from './rig/proxy.js';
import { Server, userPath } from './rig/server.js';
import { until } from './rig/until.js';

const EVENTS = ['inbox_ready', 'send_notification', 'notification_updated', 'sync_required', 'message'];

/** What came to a client, and the log that its server begins anew with each connection. */
class Heard {
  constructor() {
    this.log = new DeviceLog('browser');
    this.came = [];
  }

  hear(name, data, id) {
    this.came.push({ name, data });
    if (name === 'inbox_ready') this.take = this.log.attachment();
    this.take?.(name, [...JSON.parse(data), id]);
  }

  all(name) {
    return this.came.filter((one) => one.name === name);
  }
}

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/** In a page of the server's own origin, after the `script` that brings it where the browser has none. */
const inBrowser = (name, script) => async (t, url) => {
  const heard = new Heard();
  const page = await browser.newPage({ bypassCSP: true });
  t.after(() => page.close());
  await page.goto(new URL('/api/health', url).href);
  await page.exposeFunction('hear', (...told) => heard.hear(...told));
  if (script) await page.addScriptTag({ content: await readFile(script, 'utf8') });
  await page.evaluate(([client, from, events]) => {
    const source = new window[client](from);
    for (const event of events) source.addEventListener(event, ({ data, lastEventId }) => window.hear(event, data, lastEventId));
  }, [name, url, EVENTS]);
  return heard;
};

const inNode = async (t, url) => {
  const heard = new Heard();
  const source = new EventSource(url);
  t.after(() => source.close());
  for (const event of EVENTS) source.addEventListener(event, ({ data, lastEventId }) => heard.hear(event, data, lastEventId));
  return heard;
};

const polyfill = fileURLToPath(import.meta.resolve('event-source-polyfill/src/eventsource.min.js'));

// The polyfill appends `?lastEventId=` to the URL, where a header would need a preflight; the others send the header.
const CLIENTS = {
  'EventSource of the browser': inBrowser('EventSource'),
  'event-source-polyfill in the browser': inBrowser('EventSourcePolyfill', polyfill),
  'eventsource in Node': inNode,
};

describe('clients of the stream', { concurrency: 2 }, () => {
  for (const [name, open] of Object.entries(CLIENTS)) {
    test(`${name} comes back by itself after a cut, complete and without an empty message`, async (t) => {
      const server = await Server.start(t);
      const line = await Proxy.start(t, server.port);
      await server.sendMany('ana', 2);
      const heard = await open(t, `${line.url}${userPath('ana')}/stream?device_id=browser`);
      const { log } = heard;
      await until('it has what waited', () => log.cursor === 2);
      for (const round of [1, 2]) {
        line.cut();
        const receipts = await server.sendMany('ana', 3);
        await server.mark('ana', { op: 'read', ids: [receipts[0].id] });
        line.mend();
        await until('it is back', () => heard.all('inbox_ready').length > round);
        await settle(server, 'ana', [log]);
      }
      await server.send('ana', 'after');
      await settle(server, 'ana', [log]);
      assert.deepEqual(await verdict(server, 'ana', [log]), SPOTLESS);
      assert.deepEqual(heard.all('message'), []);
      assert.deepEqual(heard.all('sync_required'), []);
      assert.equal(heard.all('send_notification').length, 9);
    });

    test(`${name} comes back by itself after a restart of the server`, async (t) => {
      const server = await Server.start(t);
      const heard = await open(t, `${server.url}${userPath('ana')}/stream?device_id=browser`);
      const { log } = heard;
      await until('it is there', () => log.cursor === 0);
      await server.send('ana', 'before');
      await until('it has it', () => log.cursor === 1);
      for (const [round, end] of [[1, () => server.terminate()], [2, () => server.kill()]]) {
        await end();
        await server.restart();
        await server.send('ana', 'after');
        await until('it is back', () => heard.all('inbox_ready').length > round);
        await settle(server, 'ana', [log]);
      }
      assert.deepEqual(await verdict(server, 'ana', [log]), SPOTLESS);
    });
  }
});
