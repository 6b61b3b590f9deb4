import { X509Certificate } from 'node:crypto';
import { readCertificateNames } from '../tls/certificate-names.ts';
import { pemBlocks } from '../tls/secret-store.ts';

/** A certificate with its key, the way to its root, and the roots to trust. */
export interface IssuedCertificate {
  readonly privateKeyPem: string;
  /** Leaf first, without roots. */
  readonly certificateChainPem: string;
  /** One or more roots (SC-06); '' where the issuer sent none. */
  readonly trustedCaPem: string;
  /** The URI SAN of the leaf, or ''. */
  readonly principal: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly serialNumber: string;
}

/**
 * Sorts the certificates of a CreateCertificate response: those that signed themselves are the roots, wherever
 * they stand. Throws where the leaf is missing or unreadable.
 */
export function readIssuedCertificate(
  privateKeyPem: string,
  certChain: readonly string[],
): IssuedCertificate {
  const blocks = certChain.flatMap((text) => pemBlocks(text));
  const first = blocks[0];
  if (first === undefined) throw new Error('the response holds no certificate');
  const leaf = new X509Certificate(first);
  const chain = [first];
  const roots = new Set<string>();
  for (const block of blocks.slice(1)) {
    const certificate = new X509Certificate(block);
    if (certificate.checkIssued(certificate)) roots.add(block);
    else chain.push(block);
  }
  return {
    privateKeyPem,
    certificateChainPem: `${chain.join('\n')}\n`,
    trustedCaPem: roots.size === 0 ? '' : `${[...roots].join('\n')}\n`,
    principal: readCertificateNames(leaf.raw).uris[0] ?? '',
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
    serialNumber: leaf.serialNumber,
  };
}
