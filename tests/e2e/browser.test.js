// The page in a real browser, as a person uses it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { below } from './rig/below.js';
import { launch } from './rig/browser.js';
import { Proxy } from './rig/proxy.js';
import { Server } from './rig/server.js';
import { DEADLINE, until } from './rig/until.js';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A browser of its own (no shared storage), in which anything that goes wrong on a page is kept. */
async function person(t) {
  const context = await browser.newContext();
  context.setDefaultTimeout(DEADLINE);
  t.after(() => context.close());
  const faults = [];
  const open = async (url) => {
    const page = await context.newPage();
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
    await page.goto(url);
    return new ConsolePage(page);
  };
  return { open, faults, context };
}

/** The page in the words of a person who looks at it. */
class ConsolePage {
  constructor(page) {
    this.page = page;
  }

  pane(user) {
    return new PaneOnPage(this.page, this.page.locator(`[data-testid="pane"][data-user="${user}"]`));
  }

  async send(fields) {
    const form = this.page.getByTestId('send-form');
    for (const name of ['to', 'title', 'message']) {
      if (name in fields) await form.getByTestId(`send-${name}`).fill(fields[name]);
    }
    if (fields.priority) await form.getByTestId('send-priority').selectOption(fields.priority);
    await form.getByTestId('send-submit').click();
  }
}

class PaneOnPage {
  constructor(page, root) {
    this.page = page;
    this.root = root;
    this.items = root.getByTestId('item');
  }

  item(message) {
    return this.items.filter({ hasText: message });
  }

  async shows(testId, text) {
    await until(`${testId} shows ${text}`, async () => (await this.root.getByTestId(testId).textContent()).trim() === text);
  }

  live() {
    return this.shows('connection', 'live');
  }

  async messages() {
    return this.root.getByTestId('message').allTextContents();
  }

  async showsMessages(...expected) {
    await until(`the list is ${expected}`, async () => {
      const shown = await this.messages();
      return shown.length === expected.length && shown.every((text, index) => text === expected[index]);
    });
  }

  press(message, button) {
    return this.item(message).getByTestId(button).click();
  }
}

describe('the page', { concurrency: 2 }, () => {
  test('shows two inboxes, live, within a strict policy and without a fault', async (t) => {
    const server = await Server.start(t);
    const { open, faults } = await person(t);
    const view = await open(server.url);
    const { page } = view;
    for (const user of ['ana', 'bo']) {
      await view.pane(user).live();
      await view.pane(user).shows('badge', '0 unread');
      assert.equal(await view.pane(user).root.getByTestId('empty').textContent(), 'Nothing here yet.');
    }
    assert.equal(await page.getByTestId('client-missing').isVisible(), false);
    assert.equal(await page.title(), 'Tidings');
    const policy = (await server.request('GET', '/')).headers.get('content-security-policy');
    assert.match(policy, /default-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.deepEqual(faults, []);
  });

  test('what is sent arrives at once, at whom it is for', async (t) => {
    const server = await Server.start(t);
    const { open, faults } = await person(t);
    const view = await open(server.url);
    const [ana, bo] = [view.pane('ana'), view.pane('bo')];
    await ana.live();
    await bo.live();
    await view.send({ to: 'ana', title: 'Order placed', message: 'Your order is confirmed.', priority: 'urgent' });
    await ana.showsMessages('Your order is confirmed.');
    await ana.shows('badge', '1 unread');
    await ana.shows('title', 'Order placed');
    await ana.shows('state', 'unread · delivered');
    await until('the sender learns that it was delivered', async () =>
      (await view.page.getByTestId('outbox').textContent()) === 'ana: Order placeddelivered');
    assert.equal(await view.page.title(), '(1) Tidings');
    await view.send({ to: 'bo', message: 'And one for bo' });
    await bo.showsMessages('And one for bo');
    await view.send({ to: 'ana', message: 'second' });
    await ana.showsMessages('second', 'Your order is confirmed.');
    await bo.shows('badge', '1 unread');
    assert.deepEqual(faults, []);
  });

  test('two tabs of one user: each change in one is in the other', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 4, (index) => ({ message: `message ${index + 1}` }));
    const { open, faults } = await person(t);
    const tabs = [await open(`${server.url}/?user=ana`), await open(`${server.url}/?user=ana`)].map((view) => view.pane('ana'));
    const [one, two] = tabs;
    const both = async (action) => {
      for (const tab of tabs) await action(tab);
    };
    await both((tab) => tab.live());
    await both((tab) => tab.shows('badge', '4 unread'));
    assert.equal((await server.devices('ana')).length, 2, 'each tab is a device');

    await server.send('ana', 'message 5');
    await both((tab) => tab.showsMessages('message 5', 'message 4', 'message 3', 'message 2', 'message 1'));
    await both((tab) => tab.shows('badge', '5 unread'));

    await one.press('message 2', 'mark-read');
    await both((tab) => tab.shows('badge', '4 unread'));
    await two.item('message 2').and(two.page.locator('[data-read="true"]')).waitFor();
    await two.press('message 2', 'mark-unread');
    await both((tab) => tab.shows('badge', '5 unread'));
    await two.press('message 3', 'archive');
    await both((tab) => tab.showsMessages('message 5', 'message 4', 'message 2', 'message 1'));
    await one.press('message 4', 'delete');
    await both((tab) => tab.showsMessages('message 5', 'message 2', 'message 1'));
    await both((tab) => tab.shows('badge', '3 unread'));
    await one.root.getByTestId('read-all').click();
    await both((tab) => tab.shows('badge', '0 unread'));

    const { data } = await server.inbox('ana');
    await server.ask('PATCH', `/v1/notifications/${data[0].id}`, { message: 'message 5, corrected' });
    await both((tab) => tab.showsMessages('message 5, corrected', 'message 2', 'message 1'));
    await two.root.getByTestId('view-archived').click();
    await two.showsMessages('message 3');
    await two.press('message 3', 'unarchive');
    await two.showsMessages();
    await both(async (tab) => tab.shows('badge', '1 unread'));
    await one.showsMessages('message 5, corrected', 'message 3', 'message 2', 'message 1');
    assert.deepEqual(faults, []);
  });

  test('a reload keeps what was done, and the device', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('ana', 2, (index) => ({ message: `message ${index + 1}` }));
    const { open, faults } = await person(t);
    const view = await open(server.url);
    const ana = view.pane('ana');
    await ana.live();
    await ana.press('message 1', 'mark-read');
    await ana.shows('badge', '1 unread');
    await view.page.reload();
    await ana.live();
    await ana.shows('badge', '1 unread');
    await ana.showsMessages('message 2', 'message 1');
    assert.equal((await server.devices('ana')).length, 1);
    assert.deepEqual(faults, []);
  });

  test('what happened while it was offline is there when it returns', async (t) => {
    const server = await Server.start(t);
    const proxy = await Proxy.start(t, server.port);
    const [first] = await server.sendMany('ana', 2, (index) => ({ message: `message ${index + 1}` }));
    const { open } = await person(t);
    const ana = (await open(proxy.url)).pane('ana');
    await ana.live();
    await ana.shows('badge', '2 unread');
    proxy.cut();
    await ana.shows('connection', 'offline');
    await server.send('ana', 'while away');
    await server.mark('ana', { op: 'read', ids: [first.id] });
    proxy.mend();
    await ana.live();
    await ana.showsMessages('while away', 'message 2', 'message 1');
    await ana.shows('badge', '2 unread');
    await server.send('ana', 'and after');
    await ana.showsMessages('and after', 'while away', 'message 2', 'message 1');
  });

  test('it outlives a killed server', async (t) => {
    const server = await Server.start(t);
    const { open } = await person(t);
    const view = await open(server.url);
    const ana = view.pane('ana');
    await ana.live();
    await server.kill();
    await ana.shows('connection', 'offline');
    await view.send({ to: 'ana', message: 'to nobody' });
    assert.equal(await view.page.getByTestId('send-problem').textContent(), 'The server does not answer.');
    await server.restart();
    await ana.live();
    await view.page.getByTestId('send-submit').click();
    await ana.showsMessages('to nobody');
    await ana.shows('badge', '1 unread');
  });

  test('an event that never came is noticed, and the inbox read anew', async (t) => {
    const server = await Server.start(t);
    const { open, context } = await person(t);
    let upgraded = false;
    let dropped = 0;
    await context.routeWebSocket(/socket\.io/, (socket) => {
      const upstream = socket.connectToServer();
      socket.onMessage((message) => {
        if (message === '5') upgraded = true;
        upstream.send(message);
      });
      upstream.onMessage((message) => {
        if (String(message).includes('swallowed on the way')) dropped += 1;
        else socket.send(message);
      });
    });
    const ana = (await open(`${server.url}/?user=ana`)).pane('ana');
    await ana.live();
    await until('the upgrade', () => upgraded);
    await server.send('ana', 'first');
    await ana.showsMessages('first');
    await server.send('ana', 'swallowed on the way');
    await until('one is lost', () => dropped === 1);
    await server.send('ana', 'third');
    await ana.showsMessages('third', 'swallowed on the way', 'first');
    await ana.shows('badge', '3 unread');
  });

  test('what a sender writes stays text', async (t) => {
    const server = await Server.start(t);
    const { open, faults } = await person(t);
    const view = await open(server.url);
    const ana = view.pane('ana');
    await ana.live();
    const hostile = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>';
    await server.send('ana', { title: hostile, message: hostile, category: '<b>c</b>', url: '/somewhere?a="b', actions: [{ label: hostile.slice(0, 40), url: 'https://example.org' }] });
    await ana.showsMessages(hostile);
    await ana.shows('title', hostile);
    assert.equal(await view.page.evaluate('window.owned'), undefined);
    assert.equal(await ana.root.locator('li img, li script, li b').count(), 0);
    const links = await ana.root.locator('li a').evaluateAll((all) => all.map((link) => [link.getAttribute('href'), link.rel]));
    assert.deepEqual(links, [[`${server.url}/somewhere?a=%22b`, 'noopener noreferrer'], ['https://example.org/', 'noopener noreferrer']]);
    assert.deepEqual(faults, []);
  });

  test('what the server refuses is said at the field', async (t) => {
    const server = await Server.start(t);
    const { open } = await person(t);
    const view = await open(server.url);
    await view.pane('ana').live();
    await view.send({ to: 'ana', title: 'no text' });
    const message = view.page.getByTestId('send-message');
    await until('the field is marked', async () => (await message.getAttribute('aria-invalid')) === 'true');
    assert.match(await view.page.getByTestId('send-problem').textContent(), /message/);
    assert.equal(await message.evaluate((field) => field === document.activeElement), true);
    await message.fill('now with one');
    await view.page.getByTestId('send-submit').click();
    await view.pane('ana').showsMessages('now with one');
    assert.equal(await message.getAttribute('aria-invalid'), null);
    assert.equal(await view.page.getByTestId('send-problem').isVisible(), false);
  });

  test('by keyboard alone, and every control has a name', async (t) => {
    const server = await Server.start(t);
    const { open } = await person(t);
    const { page } = await open(`${server.url}/?user=ana`);
    const ana = new ConsolePage(page).pane('ana');
    await ana.live();
    await page.getByLabel('To', { exact: true }).focus();
    await page.keyboard.press('Tab');
    await page.keyboard.type('By keyboard');
    await page.keyboard.press('Tab');
    await page.keyboard.type('typed');
    await page.keyboard.press('Control+Enter');
    await ana.showsMessages('typed');
    await page.getByRole('button', { name: 'Mark read: By keyboard' }).focus();
    await page.keyboard.press('Enter');
    await ana.shows('badge', '0 unread');
    await until('the focus stays with the notification', () =>
      page.evaluate(() => document.activeElement?.dataset.testid === 'mark-unread'));
    await page.keyboard.press('Enter');
    await ana.shows('badge', '1 unread');

    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll('input, select, textarea, button, a')]
        .filter((control) => !control.closest('template'))
        .filter((control) => !(control.labels?.[0]?.textContent.trim() || control.getAttribute('aria-label') || control.textContent.trim()))
        .map((control) => control.outerHTML));
    assert.deepEqual(unnamed, []);
    assert.equal(await ana.root.getByTestId('badge').getAttribute('aria-live'), 'polite');
  });

  test('switches users, and shows older ones when asked', async (t) => {
    const server = await Server.start(t);
    await server.sendMany('cy', 120);
    const { open, faults } = await person(t);
    const view = await open(server.url);
    await view.pane('ana').live();
    await view.pane('ana').root.getByTestId('user').fill('cy');
    await view.page.keyboard.press('Enter');
    const cy = view.pane('cy');
    await cy.live();
    await cy.shows('badge', '120 unread');
    for (const shown of [50, 100, 120]) {
      await until(`${shown} are shown`, async () => (await cy.items.count()) === shown);
      if (shown < 120) await cy.root.getByTestId('older').click();
    }
    assert.equal(await cy.root.getByTestId('older').isVisible(), false);
    await server.send('ana', 'not for this pane any more');
    await server.send('cy', 'new');
    await until('the new one is on top', async () => (await cy.messages())[0] === 'new');
    assert.equal(await cy.items.count(), 121);
    assert.match(view.page.url(), /\?user=cy&user=bo$/);
    assert.deepEqual(faults, []);
  });

  test('a page whose client file does not load says so, and is of use all the same', async (t) => {
    const server = await Server.start(t);
    await server.send('ana', 'stored');
    const { open, context } = await person(t);
    await context.route('**/socket.io/socket.io.js', (route) => route.fulfill({ status: 404, contentType: 'application/problem+json', body: '{}' }));
    const view = await open(server.url);
    await until('the banner', () => view.page.getByTestId('client-missing').isVisible());
    const ana = view.pane('ana');
    await ana.shows('connection', 'not live');
    await ana.showsMessages('stored');
    await ana.press('stored', 'mark-read');
    await ana.shows('badge', '0 unread');
    await view.send({ to: 'ana', message: 'sent all the same' });
    await ana.showsMessages('sent all the same', 'stored');
    await ana.shows('badge', '1 unread');
  });

  test('the original demo page works from another port of this machine', async (t) => {
    const server = await Server.start(t);
    const address = server.url.replace('127.0.0.1', 'localhost');
    const site = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>demo</title><ul id="list"></ul>
        <script src="${address}/socket.io/socket.io.js"></script>
        <script>
          const socket = io("${address}");
          socket.on("connect", () => { socket.emit("register_user", "user_123"); });
          socket.on("send_notification", (notification) => {
            document.querySelector("#list").append(notification.title);
          });
        </script>`);
    }).listen(0, '127.0.0.1');
    t.after(() => site.close());
    await once(site, 'listening');
    const { open } = await person(t);
    const { page } = await open(`http://localhost:${site.address().port}/`);
    await server.ask('POST', '/api/notifications/send', { user_id: 'user_123', title: 'Order Placed!', message: 'm' });
    await until('it is on the page', async () => (await page.locator('#list').textContent()) === 'Order Placed!');
  });

  test('works behind a proxy that serves it below a path of its own', async (t) => {
    const server = await Server.start(t);
    const front = await below(t, server, '/inbox/of/ours');
    const { open, faults } = await person(t);
    const view = await open(`${front}/`);
    await view.pane('ana').live();
    await view.send({ to: 'ana', message: 'through the proxy' });
    await view.pane('ana').showsMessages('through the proxy');
    await view.pane('ana').press('through the proxy', 'mark-read');
    await until('it is read', async () => (await server.counts('ana')).unread === 0);
    assert.deepEqual(faults, []);
  });
});
