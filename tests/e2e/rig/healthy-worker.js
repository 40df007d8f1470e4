import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { settle, SPOTLESS, verdict } from '../checker.js';
import { OfficialDevice } from './device.js';
import { Server } from './server.js';
import { quantile } from './quantile.js';
import { until } from './until.js';

const USER = 'healthy';
/** Between two sends. It paces, it waits for nothing. */
const PACE = 15;

const server = Object.assign(new Server(), { url: workerData.url });
const latencies = [];
const devices = ['websocket', 'polling'].map((transport) => {
  const device = new OfficialDevice(server, USER, transport, { transports: [transport] });
  device.stay();
  device.socket.on('send_notification', ({ message }) => latencies.push(performance.now() - Number(message)));
  return device;
});

let going = true;
let sent = 0;
async function send() {
  while (going) {
    await server.send(USER, `${performance.now()}`);
    sent += 1;
    await delay(PACE);
  }
}

async function finish(sending) {
  going = false;
  await sending;
  const logs = devices.map(({ log }) => log);
  await settle(server, USER, logs);
  const found = await verdict(server, USER, logs);
  const [p50, p99, worst] = [0.5, 0.99, 1].map((share) => quantile(latencies, share));
  devices.forEach((device) => device.stop());
  return { sent, found, spotless: SPOTLESS, connects: devices.map(({ connects }) => connects), p50, p99, worst };
}

const failed = (error) => parentPort.postMessage({ error: error.stack });

try {
  await until('the healthy devices are attached', () => devices.every(({ log }) => log.cursor !== null));
  const sending = send();
  sending.catch(failed);
  parentPort.once('message', () => finish(sending).then((told) => parentPort.postMessage(told), failed));
  await until('the first notification', () => latencies.length > 0);
  parentPort.postMessage({});
} catch (error) {
  failed(error);
}
