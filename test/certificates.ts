import 'reflect-metadata';
import { type KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** Certificates for tests: `const mesh = await makeAuthority(); await mesh.issue({ uri: ['spiffe://…'] })`. */

x509.cryptoProvider.set(webcrypto as unknown as Crypto);
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const MINUTE_MS = 60_000;

export interface IssueOptions {
  readonly uri?: readonly string[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly commonName?: string;
  /** Milliseconds from now; negative = in the past. Default one hour. */
  readonly notAfterMs?: number;
  readonly notBeforeMs?: number;
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** Leaf, then intermediates: here the leaf alone. */
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  /** The first URI SAN, or ''. */
  readonly principal: string;
  readonly der: Buffer;
}

export interface TestAuthority {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  issue(options?: IssueOptions): Promise<IssuedCertificate>;
}

/** A self-signed root with a P-256 key. */
export async function makeAuthority(commonName = 'test root'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${commonName}`,
    notBefore: new Date(Date.now() - MINUTE_MS),
    notAfter: new Date(Date.now() + 60 * MINUTE_MS),
    signingAlgorithm: P256,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificatePem: root.toString('pem'),
    privateKeyPem: await privatePem(keys.privateKey),
    async issue(options = {}) {
      const leafKeys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
      const names = [
        ...(options.uri ?? []).map((value) => new x509.GeneralName('url', value)),
        ...(options.dns ?? []).map((value) => new x509.GeneralName('dns', value)),
        ...(options.ip ?? []).map((value) => new x509.GeneralName('ip', value)),
      ];
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: options.commonName === undefined ? '' : `CN=${options.commonName}`,
        issuer: root.subject,
        notBefore: new Date(Date.now() + (options.notBeforeMs ?? -MINUTE_MS)),
        notAfter: new Date(Date.now() + (options.notAfterMs ?? 60 * MINUTE_MS)),
        signingAlgorithm: P256,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([
            x509.ExtendedKeyUsage.serverAuth,
            x509.ExtendedKeyUsage.clientAuth,
          ]),
          ...(names.length === 0
            ? []
            : [new x509.SubjectAlternativeNameExtension(names, options.commonName === undefined)]),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return {
        certificatePem: leaf.toString('pem'),
        certificateChainPem: leaf.toString('pem'),
        privateKeyPem: await privatePem(leafKeys.privateKey),
        principal: options.uri?.[0] ?? '',
        der: Buffer.from(leaf.rawData),
      };
    },
  };
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const { KeyObject } = await import('node:crypto');
  const object: KeyObject = KeyObject.from(key);
  return object.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0]! &= 0x7f;
  bytes[0]! |= 0x40;
  return Buffer.from(bytes).toString('hex');
}
