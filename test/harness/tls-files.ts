import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority } from '../certificates.ts';

/** Certificate, key and the authority's certificate as files, for programs that take them from nowhere else. */
export interface TlsFiles {
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly authorityPem: string;
  remove(): void;
}

/** For `localhost` and 127.0.0.1. */
export async function tlsFiles(): Promise<TlsFiles> {
  const root = await makeAuthority();
  const { certificatePem, privateKeyPem } = await root.issue({
    dns: ['localhost'],
    ip: ['127.0.0.1'],
  });
  const directory = mkdtempSync(join(tmpdir(), 'weft-tls-'));
  const file = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  return {
    certificate: file('certificate.pem', certificatePem),
    privateKey: file('key.pem', privateKeyPem),
    authority: file('authority.pem', root.certificatePem),
    certificatePem,
    privateKeyPem,
    authorityPem: root.certificatePem,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
