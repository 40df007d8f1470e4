// The page at `/`: two inboxes side by side, each a device of its own, and a form that sends.
//
// Each pane keeps a cursor (`epoch`, `rev`) and follows three rules:
//   - what is at or below the cursor has been applied already and is dropped;
//   - what says that it follows something above the cursor (`prev`) shows a gap, and the inbox is read anew;
//   - the inbox read over HTTP is complete up to its `head`, which becomes the cursor.

const PAGE = 50;
const WIRE_LINES = 60;
/** Rare enough that a burst stays far below what a server takes from one socket. */
const ACK_AFTER = 100;
const VIEWS = {
  all: { query: "status=all&archived=exclude", holds: (n) => !n.is_archived, empty: "Nothing here yet." },
  unread: { query: "status=unread&archived=exclude", holds: (n) => !n.is_archived && !n.is_read, empty: "All read." },
  archived: { query: "archived=only", holds: (n) => n.is_archived, empty: "Nothing archived." },
};
/** The operations that can bring notifications into a view which the page may not hold. */
const BRINGS = { all: ["unarchive"], unread: ["unarchive", "unread"], archived: ["archive"] };

/** The server's root as this page sees it: a proxy may serve it below a path of its own. */
const ROOT = new URL("..", import.meta.url);

const byId = (id) => document.getElementById(id);
const part = (root, name) => root.querySelector(`[data-part="${name}"]`);
const fromTemplate = (id) => byId(id).content.firstElementChild.cloneNode(true);

// ---- the server over HTTP ----------------------------------------------------------------------------------------

/** A refusal as the server put it, or the lack of an answer. */
class Problem extends Error {
  constructor(detail, { code = "unavailable", errors = [] } = {}) {
    super(detail);
    this.code = code;
    this.errors = errors;
  }
}

async function call(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT), {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Problem("The server does not answer.");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    throw new Problem(answer?.detail ?? answer?.title ?? `The server answered ${response.status}.`, answer ?? {});
  }
  return answer;
}

const inboxPath = (user) => `v1/users/${encodeURIComponent(user)}/inbox`;

/** `randomUUID` exists on secure origins only; the page may be opened over plain HTTP in a local network. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ---- one inbox as this device knows it ---------------------------------------------------------------------------

class Inbox {
  constructor(user) {
    this.user = user;
    this.view = "all";
    this.forget();
  }

  forget() {
    this.epoch = null;
    this.cursor = 0;
    this.counts = null;
    this.items = new Map();
    this.olderThan = null;
  }

  get known() {
    return this.epoch !== null;
  }

  /** Newest first. */
  shown() {
    return [...this.items.values()].filter(VIEWS[this.view].holds).sort((a, b) => b.seq - a.seq);
  }

  async load() {
    const { data, meta, page } = await call("GET", `${inboxPath(this.user)}?${VIEWS[this.view].query}&limit=${PAGE}`);
    this.items = new Map(data.map((notification) => [notification.id, notification]));
    this.epoch = meta.epoch;
    this.cursor = meta.head;
    this.counts = meta;
    this.olderThan = page.has_more ? page.before : null;
  }

  async loadOlder() {
    const path = `${inboxPath(this.user)}?${VIEWS[this.view].query}&limit=${PAGE}`;
    const { data, page } = await call("GET", `${path}&before=${encodeURIComponent(this.olderThan)}`);
    for (const notification of data) {
      // What an event has changed since is newer than what this page says.
      const held = this.items.get(notification.id);
      if (!held || held.rev < notification.rev) this.items.set(notification.id, notification);
    }
    this.olderThan = page.has_more ? page.before : null;
  }

  /** Where an event stands: "old" (known already), "next", or "gap" (something before it was missed). */
  place(epoch, rev, prev) {
    if (epoch !== this.epoch) return "gap";
    if (rev <= this.cursor) return "old";
    return prev > this.cursor ? "gap" : "next";
  }

  put(notification) {
    if (notification.deleted) this.items.delete(notification.id);
    else this.items.set(notification.id, notification);
  }

  /** Applies a change of state. Returns whether it may have brought in something that is not held here. */
  apply({ op, ids, up_to: upTo, category, notifications, rev }) {
    if (notifications) {
      notifications.forEach((notification) => this.put(notification));
      return false;
    }
    const now = new Date().toISOString();
    const reached = (n) => n.seq <= upTo && n.is_archived === (op === "unarchive") && (!category || n.category === category);
    const targets = ids ? ids.map((id) => this.items.get(id)).filter(Boolean) : [...this.items.values()].filter(reached);
    for (const target of targets) {
      if (op === "delete") {
        this.items.delete(target.id);
        continue;
      }
      const next = { ...target, rev: rev ?? target.rev };
      if (op === "read") Object.assign(next, { is_read: true, is_seen: true, read_at: target.read_at ?? now });
      if (op === "unread") Object.assign(next, { is_read: false, read_at: null });
      if (op === "seen") next.is_seen = true;
      if (op === "archive") next.is_archived = true;
      if (op === "unarchive") next.is_archived = false;
      this.items.set(next.id, next);
    }
    return BRINGS[this.view].includes(op) && (!ids || targets.length < ids.length);
  }
}

// ---- one pane: a device that shows an inbox ----------------------------------------------------------------------

class Pane {
  constructor(index, user) {
    this.index = index;
    this.inbox = new Inbox(user);
    this.fresh = new Set();
    this.waiting = null;
    this.problem = "";
    this.root = fromTemplate("pane");
    this.root.querySelector('[name="user"]').value = user;
    part(this.root, "who").addEventListener("submit", (event) => this.switchUser(event));
    part(this.root, "read-all").addEventListener("click", () => this.mark({ op: "read", all: true }));
    part(this.root, "older").addEventListener("click", () => this.attempt(() => this.inbox.loadOlder()));
    part(this.root, "list").addEventListener("click", (event) => this.clicked(event));
    for (const button of this.root.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => this.switchView(button.dataset.view));
    }
    this.connection("connecting", "connecting");
    this.start();
  }

  get user() {
    return this.inbox.user;
  }

  /** One device a tab and pane: it outlives a reload, and two tabs are two devices. */
  deviceId() {
    const key = `tidings.device.${this.index}.${this.user}`;
    let id = null;
    try {
      id = sessionStorage.getItem(key);
      if (!id) sessionStorage.setItem(key, (id = `console-${newId().slice(0, 12)}`));
    } catch {
      id ??= `console-${newId().slice(0, 12)}`;
    }
    return id;
  }

  async start() {
    this.root.dataset.user = this.user;
    this.draw();
    await this.reload();
    this.attach();
  }

  // ---- the socket

  attach() {
    if (typeof globalThis.io !== "function") {
      this.connection("offline", "not live");
      return;
    }
    const { inbox } = this;
    const deviceId = this.deviceId();
    const socket = globalThis.io(ROOT.origin, {
      path: `${ROOT.pathname}socket.io/`,
      forceNew: true,
      auth: (give) => {
        const cursor = inbox.known ? { epoch: inbox.epoch, cursor: inbox.cursor } : {};
        give({ user_id: inbox.user, device_id: deviceId, acks: true, ...cursor });
      },
    });
    this.socket = socket;
    const mine = (handler) => (...args) => {
      if (this.socket === socket) handler(...args);
    };
    socket.on("connect", mine(() => this.connection("connecting", "attaching")));
    socket.on("disconnect", mine(() => this.connection("offline", "offline")));
    socket.on("connect_error", mine((error) => {
      // With `data` the server refused, and the client does not try again by itself.
      this.connection(error.data ? "refused" : "offline", error.data ? "refused" : "offline");
      if (error.data) this.complain(error.data.detail ?? error.message);
    }));
    socket.on("inbox_ready", mine((info, offset) => this.ready(info, offset)));
    socket.on("send_notification", mine((notification, meta, offset) => {
      this.note("send_notification", meta.prev, offset);
      this.receive(offset, notification.rev, meta, meta, () => {
        inbox.put(notification);
        this.fresh.add(notification.id);
        announce(`For ${this.user}: ${notification.title || notification.message}`);
      });
    }));
    socket.on("notification_updated", mine((change, counts, offset) => {
      this.note(change.op, change.prev, offset);
      this.receive(offset, change.rev, change, counts, () => inbox.apply(change));
    }));
    socket.on("sync_required", mine(({ reason }) => {
      this.note(`sync_required (${reason})`);
      this.reload();
    }));
  }

  ready(info, offset) {
    this.note(`inbox_ready (${info.mode})`, undefined, offset);
    this.connection("live", "live");
    this.complain("");
    const { inbox } = this;
    if (!inbox.known || info.mode === "snapshot" || inbox.place(info.epoch, info.cursor + 1, info.cursor) === "gap") {
      this.reload();
    } else {
      this.acknowledge();
    }
  }

  /** Takes one event in its turn. While the inbox is being read anew, events wait for it. */
  receive(offset, rev, { prev }, counts, apply) {
    if (this.waiting) {
      this.waiting.push([offset, rev, { prev }, counts, apply]);
      return;
    }
    const { epoch, rev: cursor } = placeOf(offset);
    const { inbox } = this;
    const place = inbox.place(epoch, rev, prev);
    if (place === "gap") this.reload();
    if (place !== "next") return;
    const incomplete = apply() === true;
    // A part of a revision that another part follows carries the cursor of the revision before.
    inbox.cursor = Math.max(inbox.cursor, cursor);
    inbox.counts = { ...inbox.counts, ...pick(counts, ["unread", "unseen", "total"]) };
    this.acknowledge();
    this.draw();
    if (incomplete) this.reload();
  }

  /** Tells the server up to where this device has everything: once for all that arrives within a moment. */
  acknowledge() {
    this.acknowledging ??= setTimeout(async () => {
      const { inbox, socket } = this;
      const rev = inbox.cursor;
      const answer = socket?.connected ? await emit(socket, "ack_notifications", { rev }) : null;
      this.acknowledging = null;
      if (inbox !== this.inbox || !answer?.ok) return;
      for (const notification of inbox.items.values()) {
        if (notification.rev <= rev) notification.status = "delivered";
      }
      this.draw();
      if (inbox.cursor > rev) this.acknowledge();
    }, ACK_AFTER);
  }

  // ---- reading the inbox

  async reload() {
    if (this.waiting) {
      this.again = true;
      return;
    }
    this.waiting = [];
    const { inbox } = this;
    do {
      this.again = false;
      await this.attempt(() => inbox.load());
    } while (this.again && inbox === this.inbox);
    if (inbox !== this.inbox) return;
    const events = this.waiting;
    this.waiting = null;
    if (inbox.known) {
      events.forEach((event) => this.receive(...event));
      this.acknowledge();
    }
  }

  /** Does something that may be refused, and says so on the page. */
  async attempt(action) {
    const { inbox } = this;
    try {
      await action();
      if (inbox === this.inbox) this.complain("");
      return true;
    } catch (problem) {
      if (inbox === this.inbox) this.complain(problem.message);
      return false;
    }
  }

  // ---- what a person does

  clicked(event) {
    const button = event.target.closest("[data-op]");
    if (!button) return;
    const row = button.closest("[data-id]");
    // The button that was used may vanish with its row: keep the keyboard where it was.
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    this.refocus = { id: row.dataset.id, op: button.dataset.op, neighbour: neighbour?.dataset.id };
    this.mark({ op: button.dataset.op, ids: [row.dataset.id] });
  }

  async mark(body) {
    const { inbox, socket } = this;
    await this.attempt(async () => {
      let answer = socket?.connected ? await emit(socket, "mark", body) : null;
      if (answer && !answer.ok) throw new Problem(answer.detail, answer);
      answer ??= await call("POST", `${inboxPath(inbox.user)}/mark`, body);
      // Shown at once; the event that follows says the same and moves the cursor.
      if (answer.rev <= inbox.cursor) return;
      const incomplete = inbox.apply({ ...body, up_to: body.all ? Number.MAX_SAFE_INTEGER : body.up_to });
      inbox.counts = { ...inbox.counts, ...pick(answer, ["unread", "unseen", "total"]) };
      if (incomplete || !socket?.connected) this.reload();
    });
    this.draw();
  }

  switchView(view) {
    this.inbox.view = view;
    for (const button of this.root.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
    this.draw();
    this.reload();
  }

  switchUser(event) {
    event.preventDefault();
    const field = this.root.querySelector('[name="user"]');
    const user = field.value;
    field.blur();
    if (user === "" || user === this.user) return;
    this.socket?.disconnect();
    this.socket = null;
    this.waiting = null;
    const { view } = this.inbox;
    this.inbox = new Inbox(user);
    this.inbox.view = view;
    part(this.root, "wire").replaceChildren();
    this.connection("connecting", "connecting");
    rememberUsers();
    this.start();
  }

  // ---- what is shown

  connection(state, words) {
    const element = part(this.root, "connection");
    element.dataset.state = state;
    element.textContent = words;
  }

  complain(words) {
    const element = part(this.root, "problem");
    element.textContent = words;
    element.hidden = words === "";
    this.draw();
  }

  note(event, prev, offset) {
    const line = document.createElement("li");
    const rev = offset ? ` ${placeOf(offset).rev}` : "";
    const after = prev === undefined ? "" : ` after ${prev}`;
    line.textContent = `${new Date().toLocaleTimeString()}  ${event}${rev}${after}`;
    const wire = part(this.root, "wire");
    wire.prepend(line);
    while (wire.childElementCount > WIRE_LINES) wire.lastElementChild.remove();
  }

  /** Draws once for all that changed in one go. */
  draw() {
    if (this.drawing) return;
    this.drawing = true;
    queueMicrotask(() => {
      this.drawing = false;
      this.drawNow();
    });
  }

  drawNow() {
    const { inbox, root } = this;
    const badge = part(root, "badge");
    const words = inbox.counts ? `${inbox.counts.unread} unread` : "…";
    // Written only when it differs, or a screen reader would say it again.
    if (badge.textContent !== words) badge.textContent = words;
    badge.dataset.unread = inbox.counts?.unread ?? 0;

    const list = part(root, "list");
    list.setAttribute("aria-label", `Notifications of ${inbox.user}`);
    const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
    const shown = inbox.shown();
    shown.forEach((notification, position) => {
      const row = rows.get(notification.id) ?? fromTemplate("item");
      rows.delete(notification.id);
      drawItem(row, notification, this.fresh);
      if (list.children[position] !== row) list.insertBefore(row, list.children[position] ?? null);
    });
    rows.forEach((row) => row.remove());
    this.restoreFocus(list);

    const empty = part(root, "empty");
    empty.hidden = shown.length > 0 || !inbox.known;
    empty.textContent = VIEWS[inbox.view].empty;
    part(root, "older").hidden = inbox.olderThan === null;
    part(root, "read-all").disabled = !inbox.counts?.unread;
    part(root, "position").textContent = inbox.known ? `rev ${inbox.cursor}` : "";
    drawTitle();
  }

  restoreFocus(list) {
    if (!this.refocus || document.activeElement !== document.body) return;
    const { id, op, neighbour } = this.refocus;
    const opposite = { read: "unread", unread: "read" }[op];
    const next =
      list.querySelector(`[data-id="${CSS.escape(id)}"] [data-op="${opposite}"]:not([hidden])`) ??
      list.querySelector(`[data-id="${CSS.escape(neighbour ?? "")}"] [data-op]:not([hidden])`) ??
      list;
    this.refocus = null;
    next.focus();
  }
}

function drawItem(row, notification, fresh) {
  row.dataset.id = notification.id;
  row.dataset.seq = notification.seq;
  row.dataset.read = notification.is_read;
  row.dataset.status = notification.status;
  row.dataset.priority = notification.priority;
  if (fresh.delete(notification.id)) row.classList.add("fresh");

  part(row, "title").textContent = notification.title;
  part(row, "title").hidden = notification.title === "";
  part(row, "message").textContent = notification.message;
  const priority = part(row, "priority");
  priority.textContent = notification.priority;
  priority.dataset.priority = notification.priority;
  priority.hidden = notification.priority === "normal";
  const category = part(row, "category");
  category.textContent = notification.category ?? "";
  category.hidden = !notification.category;
  drawTime(part(row, "time"), notification.timestamp);
  drawLinks(part(row, "links"), notification);
  part(row, "state").textContent = `${notification.is_read ? "read" : "unread"} · ${notification.status}`;

  const about = notification.title || notification.message.slice(0, 60);
  const useful = {
    read: !notification.is_read,
    unread: notification.is_read,
    archive: !notification.is_archived,
    unarchive: notification.is_archived,
    delete: true,
  };
  for (const button of row.querySelectorAll("[data-op]")) {
    button.hidden = !useful[button.dataset.op];
    button.setAttribute("aria-label", `${button.textContent}: ${about}`);
  }
}

/** Only http, https and paths of this server: what a sender wrote must not run here. */
function safeUrl(text) {
  if (typeof text !== "string" || !/^(https?:\/\/|\/(?![/\\]))/i.test(text)) return null;
  try {
    return new URL(text, location.origin).href;
  } catch {
    return null;
  }
}

function drawLinks(element, { url, actions }) {
  const wanted = [...(url ? [{ label: "Open", url }] : []), ...(actions ?? [])];
  const links = wanted.flatMap(({ label, url: target }) => {
    const href = safeUrl(target);
    if (!href) return [];
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    link.rel = "noopener noreferrer";
    link.target = "_blank";
    return [link];
  });
  element.replaceChildren(...links);
  element.hidden = links.length === 0;
}

function drawTime(element, timestamp) {
  const at = new Date(timestamp);
  const minutes = Math.floor((Date.now() - at) / 60_000);
  const recent = minutes < 1 ? "now" : minutes < 60 ? `${minutes} min` : null;
  const sameDay = at.toDateString() === new Date().toDateString();
  element.dateTime = timestamp;
  element.title = at.toLocaleString();
  element.textContent = recent ?? (sameDay ? at.toLocaleTimeString([], { timeStyle: "short" }) : at.toLocaleDateString());
}

function drawTitle() {
  const inboxes = new Map(panes.map((pane) => [pane.user, pane.inbox.counts?.unread ?? 0]));
  const unread = [...inboxes.values()].reduce((sum, count) => sum + count, 0);
  document.title = unread > 0 ? `(${unread}) Tidings` : "Tidings";
}

function announce(words) {
  byId("announcer").textContent = words;
}

// ---- sending -----------------------------------------------------------------------------------------------------

const OUTBOX_LINES = 6;
const WATCH_FOR = 30_000;

function startComposer() {
  const form = byId("send");
  const problem = byId("send-problem");
  /** Of the body last tried: the same again is a retry, and must not be stored twice. */
  let tried = { text: null, key: null };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    const text = JSON.stringify(body);
    if (tried.text !== text) tried = { text, key: newId() };
    const button = form.querySelector("button");
    button.disabled = true;
    showProblem(form, problem, null);
    try {
      const { notifications } = await call("POST", "v1/notifications", body, { "idempotency-key": tried.key });
      tried = { text: null, key: null };
      for (const stored of notifications) showSent(stored, body.title ?? body.message);
      // A page without the client file is not told of what arrives.
      for (const pane of panes) if (!pane.socket) pane.reload();
      form.elements.title.value = "";
      form.elements.message.value = "";
    } catch (refused) {
      showProblem(form, problem, refused);
    } finally {
      button.disabled = false;
    }
  });

  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

function showProblem(form, element, problem) {
  const wrong = new Set((problem?.errors ?? []).map((error) => error.field));
  for (const field of form.elements) {
    if (!field.name) continue;
    const invalid = wrong.has(field.name);
    field.toggleAttribute("aria-invalid", false);
    if (invalid) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", element.id);
    } else {
      field.removeAttribute("aria-describedby");
    }
  }
  const details = (problem?.errors ?? []).map(({ field, detail }) => `${field} ${detail}`);
  element.textContent = problem ? details.join(". ") || problem.message : "";
  element.hidden = !problem;
  form.querySelector("[aria-invalid]")?.focus();
}

function showSent({ user_id: user, id, status }, what) {
  byId("outbox-empty").hidden = true;
  const line = document.createElement("li");
  line.dataset.id = id;
  const text = document.createElement("span");
  text.className = "what";
  text.textContent = `${user}: ${what}`;
  const state = document.createElement("span");
  state.className = `status ${status}`;
  state.textContent = status;
  line.append(text, state);
  const outbox = byId("outbox");
  outbox.prepend(line);
  while (outbox.childElementCount > OUTBOX_LINES) outbox.lastElementChild.remove();
  watch(id, line, state, Date.now() + WATCH_FOR);
}

/** Follows one notification until a device has confirmed it. That is news for the sender only: no event tells it. */
function watch(id, line, state, until) {
  setTimeout(async () => {
    if (!line.isConnected) return;
    try {
      const { status } = await call("GET", `v1/notifications/${id}`);
      state.textContent = status;
      state.className = `status ${status}`;
      if (status === "delivered") return;
    } catch (problem) {
      if (problem.code === "not_found") {
        state.textContent = "deleted";
        return;
      }
    }
    if (Date.now() < until) watch(id, line, state, until);
  }, 500);
}

// ---- small things ------------------------------------------------------------------------------------------------

const pick = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));

/** The epoch and the revision in the last argument of an event; what follows them after a `;` is the server's own. */
function placeOf(offset) {
  const [, epoch, rev] = /^(.+?):(\d+)(?:;.*)?$/.exec(offset);
  return { epoch, rev: Number(rev) };
}

/** Emits and waits for the server's answer; `null` when none comes. */
function emit(socket, event, argument) {
  return new Promise((resolve) => {
    socket.timeout(5_000).emit(event, argument, (error, answer) => resolve(error ? null : answer));
  });
}

/** `?user=ana` shows one pane, `?user=ana&user=bo` two; without it the page starts with ana and bo. */
function rememberUsers() {
  const query = new URLSearchParams(panes.map((pane) => ["user", pane.user]));
  history.replaceState(null, "", `?${query}`);
  offerUsers();
}

function offerUsers() {
  const names = [...new Set(panes.map((pane) => pane.user))];
  byId("users").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  const to = byId("send").elements.to;
  if (to.value === "") to.value = names[0];
}

const panes = [];
const asked = new URLSearchParams(location.search).getAll("user").filter((user) => user !== "").slice(0, 4);
for (const user of asked.length > 0 ? asked : ["ana", "bo"]) {
  const pane = new Pane(panes.length, user);
  panes.push(pane);
  byId("panes").append(pane.root);
}
byId("client-missing").hidden = typeof globalThis.io === "function";
offerUsers();
startComposer();
setInterval(() => panes.forEach((pane) => pane.draw()), 30_000);
