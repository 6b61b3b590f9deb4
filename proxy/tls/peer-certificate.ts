import type { ConnectionInfo } from '../observe/request-record.ts';

/** The names in a peer's leaf certificate, read from its DER. */
export interface PeerCertificate {
  /** The one URI SAN where it is a SPIFFE id (SC-03), else ''. */
  readonly principal: string;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** Textual IP addresses. */
  readonly ipSans: readonly string[];
  /** RFC 2253 order as XFCC shows it, e.g. `CN=client,O=org`; '' where the subject is empty. */
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
