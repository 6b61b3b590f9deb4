import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AuthorityError, createRoot, type SigningMaterial } from './authority.ts';

/**
 * The authority's files, under Istio's names (secret `cacerts`, SC-07), so that a plugged-in CA is a copy of four
 * files: `ca-cert.pem`, `ca-key.pem`, `cert-chain.pem` (intermediates, optional) and `root-cert.pem` (one or more roots).
 * Directory 0700, key 0600. A new root is made only where none of the files is there; anything half there is an
 * error, never a new trust root in silence (F11).
 */
export async function openAuthorityFiles(
  directory: string,
  trustDomain: string,
  nowMs: number,
): Promise<SigningMaterial> {
  const file = (name: string) => join(directory, name);
  const present = REQUIRED.filter((name) => existsSync(file(name)));
  if (present.length === 0) {
    const material = await createRoot(trustDomain, nowMs, ROOT_TTL_MS);
    installNewRoot(directory, material);
    return material;
  }
  const missing = REQUIRED.filter((name) => !present.includes(name));
  if (missing.length > 0) {
    throw new AuthorityError(missingText(directory, present, missing));
  }
  chmodSync(directory, 0o700);
  chmodSync(file('ca-key.pem'), 0o600);
  const read = (name: string) => readFileSync(file(name), 'utf8');
  return {
    certificatePem: read('ca-cert.pem'),
    privateKeyPem: read('ca-key.pem'),
    intermediatesPem: existsSync(file('cert-chain.pem')) ? read('cert-chain.pem') : '',
    rootsPem: read('root-cert.pem'),
  };
}

/**
 * The three files appear together: they are written beside and the directory is renamed into place, so that a crash
 * leaves either no authority or a whole one.
 */
function installNewRoot(directory: string, material: SigningMaterial): void {
  const beside = `${directory}.new-${process.pid}`;
  rmSync(beside, { recursive: true, force: true });
  mkdirSync(beside, { recursive: true, mode: 0o700 });
  writeFileAtomic(join(beside, 'root-cert.pem'), material.rootsPem, 0o644);
  writeFileAtomic(join(beside, 'ca-cert.pem'), material.certificatePem, 0o644);
  writeFileAtomic(join(beside, 'ca-key.pem'), material.privateKeyPem, 0o600);
  if (existsSync(directory)) rmdirSync(directory); // throws where it holds anything else
  renameSync(beside, directory);
}

/** A secret of 32 random bytes kept in `path` (mode 0600), made on first use. */
export function openSecretFile(path: string): Buffer {
  if (!existsSync(path)) writeFileAtomic(path, `${randomBytes(32).toString('base64')}\n`, 0o600);
  chmodSync(path, 0o600);
  const secret = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64');
  if (secret.length < 32) {
    throw new AuthorityError(
      `${path} holds no key of 32 bytes in base64; remove it to make a new one (tokens made before end)`,
    );
  }
  return secret;
}

/** Whole or not at all, on disk when it returns: temporary file, fsync, rename. */
export function writeFileAtomic(path: string, text: string, mode: number): void {
  const temporary = `${path}.${process.pid}.tmp`;
  const descriptor = openSync(temporary, 'w', mode);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, path);
}

/** Without these there is no authority. */
export const REQUIRED = ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem'] as const;
/** Ten years, as Istio's self-signed root. */
export const ROOT_TTL_MS = 3650 * 86_400_000;

function missingText(directory: string, present: string[], missing: string[]): string {
  return (
    `${directory} holds ${present.join(' and ')} but not ${missing.join(' and ')}: ` +
    'restore what is missing, or move the directory away to start with a new root (every workload must then join again)'
  );
}
