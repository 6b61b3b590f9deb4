/** Reasons of a failed handshake as counters label them (`…{reason=…}`). */
export type HandshakeFailure =
  /** The peer showed no certificate (A1.3). */
  | 'no_cert'
  /** Its chain does not lead to a trusted root, is expired or is not for this use. */
  | 'untrusted'
  /** It verifies, and is somebody else's (A3.7). */
  | 'san'
  /** No certificate or roots of ours yet, or they cannot be used. */
  | 'no_secret'
  | 'timeout'
  /** Version, cipher, ALPN or anything else of the protocol. */
  | 'protocol'
  /** The connection ended in the middle. */
  | 'closed';

/** What Node says about a handshake that OpenSSL ended. */
export function describeTlsError(error: NodeJS.ErrnoException): {
  readonly failure: HandshakeFailure;
  readonly detail: string;
} {
  const code = error.code ?? '';
  const reason = (error as { reason?: string }).reason ?? '';
  const detail = `TLS error: ${reason !== '' ? reason : error.message.trim()}${code === '' ? '' : ` (${code})`}`;
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return { failure: 'no_cert', detail };
  if (VERIFY_CODES.has(code)) {
    return { failure: 'untrusted', detail: `TLS error: certificate verify failed: ${code}` };
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_OSSL_') || code === 'EPROTO') {
    return { failure: 'protocol', detail };
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return { failure: 'closed', detail: 'connection closed during the TLS handshake' };
  }
  return { failure: 'protocol', detail };
}

/** OpenSSL's verify results in Node's spelling. */
const VERIFY_CODES: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'CERT_CHAIN_TOO_LONG',
  'CERT_REVOKED',
  'INVALID_CA',
  'PATH_LENGTH_EXCEEDED',
  'INVALID_PURPOSE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'UNSPECIFIED',
]);
