import { listens } from './port.js';
import { run, temporaryFolder } from './run.js';

/**
 * A program that others depend on, in a folder of its own, on a port that stays: it can be killed, stopped in its tracks,
 * and started again. It ends with its test.
 */
export class Process {
  /** `missing` says what to do where the program is not installed. */
  constructor(t, { name, binary, args, port, missing }) {
    Object.assign(this, { t, name, binary, args, port, missing });
    t.after(() => this.kill());
  }

  /** Starts it (again) and waits until it listens. */
  async restart() {
    this.cwd ??= await temporaryFolder(this.t);
    const ran = run({ binary: this.binary, args: this.args, cwd: this.cwd });
    this.ran = ran;
    let failure;
    ran.ended.then(
      ({ code, signal }) => (failure = new Error(`${this.name} ended (${code ?? signal}):\n${ran.stdout}${ran.stderr}`)),
      (error) => (failure = new Error(`${this.name} cannot be started (${error.message}): ${this.missing}`)),
    );
    await listens(this.name, this.port, () => failure);
  }

  /** As a power cut does it. */
  async kill() {
    this.ran?.child.kill('SIGKILL');
    await this.ran?.ended.catch(() => {});
  }

  /** It neither answers nor closes anything from now on. */
  pause() {
    this.ran.child.kill('SIGSTOP');
  }

  goOn() {
    this.ran.child.kill('SIGCONT');
  }
}
