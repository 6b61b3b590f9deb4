import { createHash } from 'node:crypto';
import type { ConnectionInfo } from '../observe/request-record.ts';
import { type CertificateNames, readCertificateNames } from './certificate-names.ts';
import type { SanMatcher } from './tls-config.ts';

/** The names in a peer's leaf certificate, read from its DER. */
export interface PeerCertificate {
  /** The one URI SAN where it is a SPIFFE id (SC-03), else ''. */
  readonly principal: string;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly string[];
  /** Most specific part first, as XFCC shows it, e.g. `CN=client,O=org`; '' where it is empty. */
  readonly subject: string;
  /** SHA-256 of the DER, lower-case hex (XFCC `Hash`). */
  readonly sha256: string;
}

/** What the filters behind a listener are told about the connection they take over. */
export interface DownstreamConnectionInfo extends ConnectionInfo {
  /** The client's verified certificate, for `x-forwarded-client-cert`; null without one. */
  readonly peerCertificate: PeerCertificate | null;
  /** Protocol agreed in the TLS handshake, or ''. */
  readonly alpnProtocol: string;
  /** The transport is TLS: requests have the scheme `https`. */
  readonly tls: boolean;
}

/** What `readPeerCertificate` needs of Node's `X509Certificate`. */
export interface CertificateSource {
  readonly raw: Buffer;
  readonly subject: string | undefined;
}

/** The certificate's names, or why they cannot be used. */
export function readPeerCertificate(
  certificate: CertificateSource,
): { readonly certificate: PeerCertificate } | { readonly problem: string } {
  const names = readCertificateNames(certificate.raw);
  if (names.problem !== '') return { problem: names.problem };
  const isSpiffe = names.uris.some((uri) => uri.startsWith('spiffe://'));
  // X509-SVID §2: exactly one URI SAN; which of several is the identity would be a matter of taste.
  if (isSpiffe && names.uris.length > 1)
    return { problem: 'more than one URI SAN beside a SPIFFE id' };
  return {
    certificate: {
      principal: isSpiffe ? names.uris[0]! : '',
      uriSans: names.uris,
      dnsSans: names.dnsNames,
      ipSans: names.ips,
      subject: subjectText(certificate.subject ?? ''),
      sha256: createHash('sha256').update(certificate.raw).digest('hex'),
    },
  };
}

/** '' where a name of the certificate is wanted or none is asked for, else the sentence for the log (A3.7). */
export function subjectAltNameProblem(
  certificate: PeerCertificate,
  wanted: readonly SanMatcher[],
): string {
  if (wanted.length === 0) return '';
  for (const matcher of wanted) {
    if (sansOfType(certificate, matcher.type).some((san) => matcher.matches(san))) return '';
  }
  const expected = wanted.map(({ text }) => text);
  const seen = [...certificate.uriSans, ...certificate.dnsSans, ...certificate.ipSans];
  return `SAN mismatch: expected ${listed(expected)}, seen ${listed(seen)}`;
}

function sansOfType(certificate: PeerCertificate, type: SanMatcher['type']): readonly string[] {
  switch (type) {
    case 'URI':
      return certificate.uriSans;
    case 'DNS':
      return certificate.dnsSans;
    case 'IP':
      return certificate.ipSans;
    case 'ANY':
      return [...certificate.uriSans, ...certificate.dnsSans, ...certificate.ipSans];
  }
}

/** The first few, so that a certificate with many names does not fill the log. */
function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return names.length > NAMES_SHOWN_MAX
    ? `${shown} and ${names.length - NAMES_SHOWN_MAX} more`
    : shown;
}
const NAMES_SHOWN_MAX = 4;

/** Node gives one `TYPE=value` a line, least specific first. For display only. */
function subjectText(subject: string): string {
  return subject.split('\n').filter(Boolean).reverse().join(',');
}

export type { CertificateNames };
