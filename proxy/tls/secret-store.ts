import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { CertificateSecret, SecretStore, ValidationSecret } from './tls-config.ts';

/**
 * Certificates and trusted roots by name, in memory only. A secret that cannot work is refused with
 * the reason, and the last good one stays. New handshakes use new material, open connections keep
 * what they were made with (SC-05).
 */
export class InMemorySecretStore implements SecretStore {
  readonly #certificates = new Map<string, CertificateSecret>();
  readonly #validations = new Map<string, ValidationSecret>();
  readonly #listeners = new Set<(name: string) => void>();

  certificate(name: string): CertificateSecret | undefined {
    return this.#certificates.get(name);
  }

  validation(name: string): ValidationSecret | undefined {
    return this.#validations.get(name);
  }

  /** Every name held, for `/certs`. */
  get names(): readonly string[] {
    return [...new Set([...this.#certificates.keys(), ...this.#validations.keys()])];
  }

  /** '' when taken, else why not. */
  setCertificate(name: string, secret: CertificateSecret): string {
    const problem = certificateProblem(secret);
    if (problem !== '') return `secret '${name}': ${problem}`;
    this.#certificates.set(name, Object.freeze({ ...secret }));
    this.#announce(name);
    return '';
  }

  /** '' when taken, else why not. */
  setValidation(name: string, secret: ValidationSecret): string {
    const problem = trustedRootsProblem(secret.trustedCaPem);
    if (problem !== '') return `secret '${name}': ${problem}`;
    this.#validations.set(name, Object.freeze({ ...secret }));
    this.#announce(name);
    return '';
  }

  remove(name: string): void {
    const had = this.#certificates.delete(name);
    if (this.#validations.delete(name) || had) this.#announce(name);
  }

  onChange(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #announce(name: string): void {
    for (const listener of [...this.#listeners]) listener(name);
  }
}

/** Whether chain and key can serve: '' or the reason, without a byte of the key in it. */
export function certificateProblem(secret: CertificateSecret): string {
  const blocks = pemBlocks(secret.certificateChainPem);
  if (blocks.length === 0) return 'the certificate chain holds no PEM certificate';
  if (blocks.length > CHAIN_CERTIFICATES_MAX) {
    return `the certificate chain holds more than ${CHAIN_CERTIFICATES_MAX} certificates`;
  }
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(blocks[0]!);
    for (const block of blocks.slice(1)) new X509Certificate(block);
  } catch {
    return 'a certificate of the chain cannot be read';
  }
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(secret.privateKeyPem))) {
      return 'the private key does not match the certificate';
    }
  } catch {
    return 'the private key cannot be read';
  }
  return '';
}

/** Whether these roots can be trusted: '' or the reason. */
export function trustedRootsProblem(pem: string): string {
  const blocks = pemBlocks(pem);
  if (blocks.length === 0) return 'the trusted roots hold no PEM certificate';
  if (blocks.length > ROOTS_MAX) return `more than ${ROOTS_MAX} trusted roots`;
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch {
    return 'a trusted root cannot be read';
  }
  return '';
}

const CHAIN_CERTIFICATES_MAX = 10;
/** A bundle of public roots has about 150. */
const ROOTS_MAX = 1_000;

/** The certificates of a PEM text, in order. */
export function pemBlocks(pem: string): readonly string[] {
  const blocks: string[] = [];
  for (let at = 0; ; ) {
    const start = pem.indexOf(PEM_BEGIN, at);
    const end = start < 0 ? -1 : pem.indexOf(PEM_END, start);
    if (end < 0) return blocks;
    at = end + PEM_END.length;
    blocks.push(pem.slice(start, at));
  }
}
const PEM_BEGIN = '-----BEGIN CERTIFICATE-----';
const PEM_END = '-----END CERTIFICATE-----';
