import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
export const BINARY = resolve(process.env.TIDINGS_BIN ?? join(root, 'target/debug/tidings'));

/** What ends with this process, come what may: only processes that it started. */
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A folder of the test's own, gone after it. */
export async function temporaryFolder(t) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-e2e-'));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/**
 * Runs the binary with exactly this environment (nothing of the developer's), in an empty folder, so that no `.env` is
 * found by chance.
 */
export function run({ args = [], env = {}, cwd, binary = BINARY, ...options }) {
  const { PATH, HOME } = process.env;
  const child = spawn(binary, args, { cwd, env: { PATH, HOME, ...env }, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  const ran = { child, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (ran.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (ran.stderr += text));
  ran.ended = new Promise((settle, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      running.delete(child);
      settle({ code, signal });
    });
  });
  ran.ended.catch(() => {});
  return ran;
}
