// Official JavaScript clients as tests/e2e/makers.test.js drives them. Usage: agent.js PACKAGE URL CLIENTS, where CLIENTS is a
// JSON array of {name, transports, auth}. Each line of its output is {client, event, args}; each line of its input is
// {client, id, emit, args}, which the line {client, answer: id, args} answers, or {client, auth}, which holds from the next
// connection on.

import readline from "node:readline";

const [, , name, url, clients] = process.argv;
const { io } = await import(name);

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const sockets = new Map();
const auths = new Map();
for (const { name: client, transports, auth } of JSON.parse(clients)) {
  auths.set(client, auth);
  const socket = io(url, { forceNew: true, transports, auth: (give) => give(auths.get(client)) });
  for (const event of ["connect", "disconnect", "connect_error"]) {
    socket.on(event, (why) => say({ client, event, args: why === undefined ? [] : [why.message ?? why] }));
  }
  socket.onAny((event, ...args) => say({ client, event, args }));
  sockets.set(client, socket);
}

for await (const line of readline.createInterface(process.stdin)) {
  const { client, id, emit, args, auth } = JSON.parse(line);
  const socket = sockets.get(client);
  if (auth) {
    auths.set(client, auth);
    // A client that was refused does not try again by itself.
    if (!socket.active) socket.connect();
  } else {
    socket.emit(emit, ...args, (...answer) => say({ client, answer: id, args: answer }));
  }
}
process.exit();
