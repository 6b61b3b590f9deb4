import { isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { PeerCertificate } from './peer-certificate.ts';
import { readPeerCertificate, subjectAltNameProblem } from './peer-certificate.ts';
import type { UpstreamTlsConfig } from './tls-config.ts';
import type { TlsContext } from './tls-context.ts';

/** Where to connect, already resolved. */
export interface TlsTarget {
  /** IP literal. */
  readonly host: string;
  readonly port: number;
  /** '' = the kernel's choice. */
  readonly localAddress: string;
}

/**
 * Starts a TCP connection and a TLS handshake over it. The chain is verified by OpenSSL before
 * `secureConnect`; names are not: `verifyServer` has to be called there (A3.7). A server that cannot
 * do TLS makes the connection fail, it never becomes plain text (A4.1).
 */
export function startTlsClient(
  target: TlsTarget,
  config: UpstreamTlsConfig,
  context: TlsContext,
): TLSSocket {
  return connectTls({
    host: target.host,
    port: target.port,
    ...(target.localAddress === '' ? {} : { localAddress: target.localAddress }),
    secureContext: context.secureContext,
    rejectUnauthorized: true,
    // Node would compare names with its display string of the certificate; ours come from the DER.
    checkServerIdentity: () => undefined,
    // RFC 6066 §3: no IP literals in server_name.
    ...(config.sni !== '' && isIP(config.sni) === 0 ? { servername: config.sni } : {}),
    ...(config.alpnProtocols.length === 0 ? {} : { ALPNProtocols: [...config.alpnProtocols] }),
    // Not in the types of @types/node, taken by TLSSocket since version 10.
    ...{ allowHalfOpen: true },
  });
}

export type ServerVerdict =
  | { readonly kind: 'accepted'; readonly certificate: PeerCertificate }
  | { readonly kind: 'refused'; readonly detail: string };

/** Judges the names of the server's certificate. To be called once the chain has been verified. */
export function verifyServer(socket: TLSSocket, config: UpstreamTlsConfig): ServerVerdict {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return refused('TLS error: the server showed no certificate');
  const read = readPeerCertificate(leaf);
  if ('problem' in read) return refused(`TLS error: the server's certificate: ${read.problem}`);
  const { certificate } = read;
  const problem = subjectAltNameProblem(certificate, config.subjectAltNames);
  return problem === '' ? { kind: 'accepted', certificate } : refused(problem);
}

function refused(detail: string): ServerVerdict {
  return { kind: 'refused', detail };
}
