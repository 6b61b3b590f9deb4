import 'reflect-metadata';
import { type KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A PKCS #10 request (PEM) with no name in it: the identity is the caller's. */
export async function createRequest(keys: {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const { subtle } = webcrypto;
  const spki = keys.publicKey.export({ type: 'spki', format: 'der' });
  const pkcs8 = keys.privateKey.export({ type: 'pkcs8', format: 'der' });
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys: {
      publicKey: await subtle.importKey('spki', spki, algorithm, true, ['verify']),
      privateKey: await subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
    } as never,
    signingAlgorithm: algorithm as never,
  });
  return request.toString('pem');
}
