import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type IssuedCertificate, readIssuedCertificate } from './issued-certificate.ts';

/** Where the identity outlives a restart. */
export interface IdentityStore {
  /** What was kept, or null; a file that cannot be used is told by `problem`. */
  load(): Promise<IssuedCertificate | { readonly problem: string } | null>;
  /** Rejects where it cannot be written. */
  save(issued: IssuedCertificate): Promise<void>;
}

/**
 * Key and certificate in the state directory, so that a sidecar that restarts while the control plane is away
 * still has its identity. The file is readable by its owner alone (0600); whoever wants keys in memory only sets
 * no state directory, or one on tmpfs (A5.1).
 */
export class IdentityFile implements IdentityStore {
  readonly #directory: string;
  readonly #file: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#file = join(directory, 'identity.json');
  }

  async load(): Promise<IssuedCertificate | { readonly problem: string } | null> {
    try {
      const { key, chain } = JSON.parse(await readFile(this.#file, 'utf8')) as {
        key: string;
        chain: readonly string[];
      };
      return readIssuedCertificate(key, chain);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      const reason = error instanceof SyntaxError ? 'it is no JSON' : (error as Error).message;
      return { problem: `${this.#file} cannot be used: ${reason}` };
    }
  }

  async save({
    privateKeyPem,
    certificateChainPem,
    trustedCaPem,
  }: IssuedCertificate): Promise<void> {
    const temporary = `${this.#file}.${process.pid}.tmp`;
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const handle = await open(temporary, 'w', 0o600);
      try {
        const chain = [certificateChainPem, trustedCaPem];
        await handle.writeFile(JSON.stringify({ key: privateKeyPem, chain }));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, this.#file);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw new Error(`${this.#file} cannot be written: ${(error as Error).message}`);
    }
  }
}
