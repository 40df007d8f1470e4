import { readdir, readFile, writeFile } from 'node:fs/promises';

/** What the operating system says of a process's memory, in bytes. */
async function status(pid, name) {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)[1]) * 1024;
}

/** What is resident now. */
export const resident = (pid) => status(pid, 'VmRSS');

/** The most that was resident since `forgetPeak`. The kernel keeps it, so that no peak falls between two samples. */
export const peak = (pid) => status(pid, 'VmHWM');
export const forgetPeak = (pid) => writeFile(`/proc/${pid}/clear_refs`, '5');

/** How many files and connections it has open. */
export const open = async (pid) => (await readdir(`/proc/${pid}/fd`)).length;

export const MB = 1024 * 1024;
export const inMB = (bytes) => (bytes / MB).toFixed(1);
