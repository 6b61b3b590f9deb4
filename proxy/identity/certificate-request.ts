import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  bitString,
  booleanTrue,
  der,
  objectIdentifier,
  octetString,
  sequence,
  set,
  smallInteger,
} from './der.ts';

const EXTENSION_REQUEST = objectIdentifier('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = objectIdentifier('2.5.29.17');
const ECDSA_WITH_SHA256 = objectIdentifier('1.2.840.10045.4.3.2');
const URI_NAME = 0x86; // GeneralName [6] IA5String

export interface KeyAndRequest {
  /** PKCS #8 PEM; never leaves the process but for the state directory. */
  readonly privateKeyPem: string;
  /** PKCS #10 PEM (RFC 2986). */
  readonly requestPem: string;
}

/**
 * Makes a P-256 key and a request for a certificate with one URI SAN (SC-04). The subject is empty, so the SAN is
 * critical (RFC 5280 §4.2.1.6). The control plane takes the identity from the caller's credential in any case.
 */
export function makeKeyAndRequest(spiffeId: string): KeyAndRequest {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    requestPem: toPem(certificateRequest(spiffeId, publicKey, privateKey)),
  };
}

/**
 * ```
 * CertificationRequest ::= SEQUENCE {
 *   SEQUENCE { version 0, subject {}, subjectPKInfo, [0] { extensionRequest { subjectAltName } } }
 *   signatureAlgorithm, signature }
 * ```
 */
function certificateRequest(spiffeId: string, publicKey: KeyObject, privateKey: KeyObject): Buffer {
  const names = sequence(der(URI_NAME, Buffer.from(spiffeId, 'ascii')));
  const extension = sequence(SUBJECT_ALT_NAME, booleanTrue(), octetString(names));
  const attribute = sequence(EXTENSION_REQUEST, set(sequence(extension)));
  const info = sequence(
    smallInteger(0),
    sequence(),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa0, attribute),
  );
  const signature = sign('sha256', info, privateKey);
  return sequence(info, sequence(ECDSA_WITH_SHA256), bitString(signature));
}

function toPem(request: Buffer): string {
  const lines = request.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
