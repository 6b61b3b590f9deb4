import { type HeaderBlock, headerValues, removeHeader, setHeader } from '../http/header-block.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';

const NAME = 'x-forwarded-client-cert';

/**
 * The `x-forwarded-client-cert` element of one connection, made once; '' where the client showed no
 * verified certificate (SC-17).
 */
export function clientCertElement(
  config: ConnectionManagerConfig,
  connection: DownstreamConnectionInfo,
): string {
  const certificate = connection.peerCertificate;
  if (!connection.mutualTls) return '';
  const parts: string[] = [];
  if (connection.localPrincipal !== '')
    parts.push(`By=${quotedIfNeeded(connection.localPrincipal)}`);
  if (certificate !== null && certificate.sha256 !== '') parts.push(`Hash=${certificate.sha256}`);
  if (config.clientCertSubject) parts.push(`Subject=${quoted(certificate?.subject ?? '')}`);
  if (config.clientCertUri) parts.push(`URI=${quotedIfNeeded(connection.peerPrincipal)}`);
  if (config.clientCertDns && certificate !== null) {
    for (const name of certificate.dnsSans) parts.push(`DNS=${quotedIfNeeded(name)}`);
  }
  return parts.join(';');
}

/**
 * Forwards, drops or replaces the field as configured. Without a verified client certificate what
 * came is dropped, because anybody could have written it (A2.1); ALWAYS_FORWARD_ONLY is the
 * operator's word that this cannot be.
 */
export function applyClientCert(
  mode: ConnectionManagerConfig['forwardClientCert'],
  mutualTls: boolean,
  element: string,
  headers: HeaderBlock,
): void {
  if (mode === 'ALWAYS_FORWARD_ONLY') return;
  if (mode === 'SANITIZE' || !mutualTls) {
    removeHeader(headers, NAME);
    return;
  }
  if (mode === 'FORWARD_ONLY' || element === '') return;
  const received = mode === 'APPEND_FORWARD' ? headerValues(headers, NAME) : null;
  setHeader(
    headers,
    NAME,
    received === null || received === '' ? element : `${received},${element}`,
  );
}

/** Separators of the field within a value need quotes, quotes and backslashes an escape. */
function quotedIfNeeded(value: string): string {
  return /[,;="]/.test(value) ? quoted(value) : value;
}

function quoted(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}
