import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import { accepts } from './accepts.ts';
import { NodeProcess } from './node-process.ts';
import { hasProgram } from './program.ts';
import type { TlsFiles } from './tls-files.ts';

export const noNghttpd = () =>
  hasProgram('nghttpd') ? false : 'nghttpd is not installed (Debian: nghttp2-server)';

export interface Nghttpd {
  readonly port: number;
  /** Of `/noise`. */
  readonly noiseSha256: string;
  stop(): Promise<void>;
}

/**
 * The HTTP/2 server of nghttp2, in clear text or over TLS: `/hello` is `hello\n`, `/noise` 16 MiB; a body is sent back;
 * each response that has a body ends with trailer `x-nghttpd: end`.
 */
export async function nghttpd(files?: TlsFiles): Promise<Nghttpd> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-nghttpd-'));
  const noise = randomBytes(16 * 1024 * 1024);
  writeFileSync(join(directory, 'hello'), 'hello\n');
  writeFileSync(join(directory, 'noise'), noise);
  const [port] = await freePorts(1);
  const args = ['-a', '127.0.0.1', '-d', directory, '--echo-upload', '--trailer', 'x-nghttpd: end'];
  const process = new NodeProcess(
    files === undefined
      ? [...args, '--no-tls', `${port}`]
      : [...args, `${port}`, files.privateKey, files.certificate],
    { command: 'nghttpd' },
  );
  const stop = async () => {
    await process.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await accepts(process, port!);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port: port!, noiseSha256: createHash('sha256').update(noise).digest('hex'), stop };
}
