import 'reflect-metadata';
import { createPublicKey, type KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A PKCS #10 request that has been judged: the key is ours to certify, the names are only what was asked for. */
export interface CheckedRequest {
  readonly publicKey: KeyObject;
  /** All subject alternative names asked for, as `URI:…`, `DNS:…`, `IP:…`. */
  readonly names: readonly string[];
}

/** Why a request is refused; `reason` is a counter label. */
export interface RefusedRequest {
  readonly reason: 'malformed' | 'signature' | 'key' | 'size';
  readonly problem: string;
}

/**
 * Reads and checks a CSR (A6.7): size, ASN.1, its own signature, and the key against an allow-list: ECDSA P-256 and
 * P-384, Ed25519, RSA 2048 to 4096. Subject, extensions other than SAN and their wishes (CA:TRUE, key usage) are
 * ignored: a certificate's content comes from the authority.
 */
export async function checkRequest(pem: string): Promise<CheckedRequest | RefusedRequest> {
  if (pem.length > CSR_CHARS_MAX)
    return { reason: 'size', problem: 'the request is larger than 16 KiB' };
  let request: x509.Pkcs10CertificateRequest;
  let publicKey: KeyObject;
  let names: string[];
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
    publicKey = createPublicKey({
      key: Buffer.from(request.publicKey.rawData),
      format: 'der',
      type: 'spki',
    });
    const san = request.extensions.find(
      (extension) => extension instanceof x509.SubjectAlternativeNameExtension,
    );
    names = (san?.names.items ?? []).map(
      ({ type, value }) => `${LABELS.get(type) ?? type}:${value}`,
    );
  } catch (error) {
    return {
      reason: 'malformed',
      problem: `no readable PKCS #10 request: ${(error as Error).message}`,
    };
  }
  const key = keyProblem(publicKey);
  if (key !== null) return { reason: 'key', problem: key };
  try {
    if (!(await request.verify(webcrypto as unknown as Crypto))) {
      return {
        reason: 'signature',
        problem: "the request's signature is not made with its own key",
      };
    }
  } catch (error) {
    return {
      reason: 'signature',
      problem: `the request's signature cannot be checked: ${(error as Error).message}`,
    };
  }
  return { publicKey, names };
}

function keyProblem(key: KeyObject): string | null {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case 'ec':
      return details?.namedCurve === 'prime256v1' || details?.namedCurve === 'secp384r1'
        ? null
        : `the curve ${details?.namedCurve} is not allowed: use P-256 or P-384`;
    case 'ed25519':
      return null;
    case 'rsa': {
      const bits = details?.modulusLength ?? 0;
      return bits >= 2048 && bits <= 4096
        ? null
        : `an RSA key of ${bits} bits is not allowed: use 2048 to 4096`;
    }
    default:
      return `a key of type ${key.asymmetricKeyType} is not allowed: use ECDSA, Ed25519 or RSA`;
  }
}

const CSR_CHARS_MAX = 16_384;
const LABELS = new Map<string, string>([
  ['url', 'URI'],
  ['dns', 'DNS'],
  ['ip', 'IP'],
  ['email', 'email'],
]);
