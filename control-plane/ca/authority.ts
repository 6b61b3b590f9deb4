import 'reflect-metadata';
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

/** A certificate and its key, PEM. `chainPem` starts with the certificate and holds what a peer needs up to the root. */
export interface IssuedCertificate {
  readonly chainPem: string;
  readonly notAfterMs: number;
  readonly serialNumber: string;
}

export interface SigningMaterial {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** Certificates between the signing certificate and the root, or ''. */
  readonly intermediatesPem: string;
  /** Every root the mesh trusts now; two during a rotation (SC-06). */
  readonly rootsPem: string;
}

export interface IssueRequest {
  readonly publicKey: KeyObject;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlMs: number;
}

/**
 * The mesh's certificate authority: signs, and holds the trust bundle. It decides nothing about who may have
 * which name; that is the certificate service's.
 */
export class Authority {
  readonly rootsPem: string;
  readonly certificatePem: string;
  readonly notAfterMs: number;
  readonly #intermediatesPem: string;
  readonly #issuer: x509.X509Certificate;
  readonly #key: CryptoKey;
  readonly #algorithm: SigningAlgorithm;
  readonly #now: () => number;

  private constructor(
    material: SigningMaterial,
    issuer: x509.X509Certificate,
    key: CryptoKey,
    algorithm: SigningAlgorithm,
    now: () => number,
  ) {
    this.rootsPem = material.rootsPem;
    this.certificatePem = material.certificatePem;
    this.notAfterMs = issuer.notAfter.getTime();
    this.#intermediatesPem = material.intermediatesPem;
    this.#issuer = issuer;
    this.#key = key;
    this.#algorithm = algorithm;
    this.#now = now;
  }

  /** Throws AuthorityError where key and certificate do not fit or the certificate cannot sign now (F11). */
  static async open(material: SigningMaterial, now: () => number): Promise<Authority> {
    const certificate = parse(
      'CA certificate (ca-cert.pem)',
      () => new X509Certificate(material.certificatePem),
    );
    const privateKey = parse('CA private key (ca-key.pem)', () =>
      createPrivateKey(material.privateKeyPem),
    );
    if (!certificate.checkPrivateKey(privateKey)) {
      throw new AuthorityError('the CA certificate does not belong to the CA private key');
    }
    if (!certificate.ca)
      throw new AuthorityError('the CA certificate is not a CA (CA:TRUE is missing)');
    const issuer = new x509.X509Certificate(material.certificatePem);
    if (issuer.notAfter.getTime() <= now()) {
      throw new AuthorityError(
        `the CA certificate expired at ${issuer.notAfter.toISOString()}; put a new one in place, ` +
          'keeping the old root in root-cert.pem until every workload has a new certificate',
      );
    }
    const roots = parse('root certificates (root-cert.pem)', () =>
      splitPem(material.rootsPem).map((pem) => new X509Certificate(pem)),
    );
    checkTrusted(certificate, material.intermediatesPem, roots);
    const { importAlgorithm, algorithm } = signingAlgorithm(privateKey);
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    const key = await webcrypto.subtle.importKey('pkcs8', der, importAlgorithm, false, ['sign']);
    return new Authority(material, issuer, key as CryptoKey, algorithm, now);
  }

  /** A leaf for client and server use. Never lives longer than the CA. Back-dated by `BACKDATE_MS` for skewed clocks (F8). */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    const nowMs = this.#now();
    const notAfter = new Date(Math.min(nowMs + request.ttlMs, this.notAfterMs));
    const serialNumber = positiveSerial();
    const names = [
      ...request.uris.map((value) => ({ type: 'url' as const, value })),
      ...request.dnsNames.map((value) => ({ type: 'dns' as const, value })),
      ...request.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
    ];
    const spki = request.publicKey.export({ type: 'spki', format: 'der' });
    const publicKey = new x509.PublicKey(spki);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber,
      subject: '',
      issuer: this.#issuer.subjectName.toJSON(),
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter,
      signingAlgorithm: this.#algorithm,
      publicKey,
      signingKey: this.#key,
      extensions: [
        // RFC 5280 §4.2.1.6: critical, because the subject is empty.
        new x509.SubjectAlternativeNameExtension(names, true),
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        await x509.AuthorityKeyIdentifierExtension.create(this.#issuer.publicKey, false),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false),
      ],
    });
    const leaf = `${certificate.toString('pem')}\n`;
    return {
      chainPem: leaf + this.#chainBelowRoot(),
      notAfterMs: notAfter.getTime(),
      serialNumber,
    };
  }

  /** What a peer that knows only the roots needs besides the leaf: the CA itself is left out where it is a root. */
  #chainBelowRoot(): string {
    const own = new X509Certificate(this.certificatePem);
    const isRoot = own.subject === own.issuer;
    return isRoot ? '' : `${this.certificatePem.trim()}\n${this.#intermediatesPem}`;
  }
}

/** A new self-signed root, ECDSA P-256. */
export async function createRoot(
  trustDomain: string,
  nowMs: number,
  ttlMs: number,
): Promise<SigningMaterial> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: positiveSerial(),
    name: [{ O: [trustDomain] }, { CN: [`weft root ${randomBytes(4).toString('hex')}`] }],
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + ttlMs),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey as never));
  const certificatePem = `${certificate.toString('pem')}\n`;
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return {
    certificatePem,
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    intermediatesPem: '',
    rootsPem: certificatePem,
  };
}

/** The material of the authority is unusable; the message says which part and what to do. */
export class AuthorityError extends Error {
  readonly code = 'WEFT_CA';
}

/** One hour: how far a peer's clock may be behind the CA's (F8). */
export const BACKDATE_MS = 3_600_000;

/** The certificates of a PEM bundle, one string each. */
export function splitPem(bundle: string): string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

type SigningAlgorithm = { name: string; hash?: string };

function signingAlgorithm(key: KeyObject): {
  importAlgorithm:
    | webcrypto.Algorithm
    | webcrypto.EcKeyImportParams
    | webcrypto.RsaHashedImportParams;
  algorithm: SigningAlgorithm;
} {
  if (key.asymmetricKeyType === 'ec') {
    const curve = createPublicKey(key).asymmetricKeyDetails?.namedCurve;
    if (curve === 'prime256v1') {
      return {
        importAlgorithm: { name: 'ECDSA', namedCurve: 'P-256' },
        algorithm: { name: 'ECDSA', hash: 'SHA-256' },
      };
    }
    if (curve === 'secp384r1') {
      return {
        importAlgorithm: { name: 'ECDSA', namedCurve: 'P-384' },
        algorithm: { name: 'ECDSA', hash: 'SHA-384' },
      };
    }
  }
  if (key.asymmetricKeyType === 'rsa') {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    return { importAlgorithm: algorithm, algorithm };
  }
  throw new AuthorityError('the CA private key must be ECDSA P-256, ECDSA P-384 or RSA');
}

/** 16 random bytes, positive and without a leading zero byte (RFC 5280 §4.1.2.2). */
function positiveSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/**
 * Every workload would refuse every other one if the bundle did not lead to the signing certificate: damage to
 * `root-cert.pem` must stop the start and not the mesh.
 */
function checkTrusted(
  certificate: X509Certificate,
  intermediatesPem: string,
  roots: readonly X509Certificate[],
): void {
  if (roots.length === 0) {
    throw new AuthorityError('root-cert.pem holds no certificate; restore it from a backup');
  }
  const intermediates = parse('cert-chain.pem', () =>
    splitPem(intermediatesPem).map((pem) => new X509Certificate(pem)),
  );
  let top = certificate;
  for (let hops = 0; hops <= intermediates.length; hops++) {
    const signed = top;
    const issuedTop = (issuer: X509Certificate): boolean =>
      signed.checkIssued(issuer) && signed.verify(issuer.publicKey);
    if (roots.some((root) => root.fingerprint256 === signed.fingerprint256 || issuedTop(root))) {
      return;
    }
    const next = intermediates.find(
      (each) => each.fingerprint256 !== signed.fingerprint256 && issuedTop(each),
    );
    if (next === undefined) break;
    top = next;
  }
  throw new AuthorityError(
    'no certificate in root-cert.pem leads to ca-cert.pem (through cert-chain.pem), so that no workload could ' +
      'verify another; put the root that signed it into root-cert.pem',
  );
}

function parse<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new AuthorityError(
      `the ${what} cannot be read: ${(error as Error).message}; restore it from a backup`,
    );
  }
}
