import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = promisify(execFile);

/** A certificate of its own making for these names (localhost's, if none are given), and its key. */
export async function certificate(folder, name, names = 'DNS:localhost,IP:127.0.0.1') {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  await openssl('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`,
    '-addext', `subjectAltName=${names}`, '-keyout', key, '-out', cert,
  ]);
  return { cert, key };
}
