import {
  type HeaderBlock,
  hasHeader,
  headerValue,
  headerValues,
  setHeader,
  setOwnHeader,
} from '../http/header-block.ts';
import type { RequestHead } from '../http/message.ts';
import { shorten } from '../http/shorten.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { type RequestStage, StageResult } from './request-stage.ts';
import { applyClientCert } from './xfcc.ts';

/**
 * What proxies tell each other about the client. Fields that only a proxy of ours may have written
 * are taken off where the sender is not the local app (A2.1); `x-forwarded-for` is appended at edges
 * only, as in Istio (PR-16), and no policy of ours reads it.
 */
export function forwardedFields(config: ConnectionManagerConfig): RequestStage {
  const edge = config.useRemoteAddress;
  const distrusts = edge || config.direction === 'INBOUND';
  return {
    name: 'forwarded fields',
    begin(stream) {
      const { headers } = stream.head;
      const { connection } = stream;
      if (distrusts) {
        if (connection.info.mutualTls) readOriginalVersion(stream.head);
        dropProxyFields(headers);
      }
      applyClientCert(
        config.forwardClientCert,
        connection.info.mutualTls,
        connection.clientCertElement,
        headers,
      );
      if (edge) appendForwardedFor(headers, connection.info.remoteAddress);
      if (edge || !hasHeader(headers, 'x-forwarded-proto')) {
        // What the connection is: `:scheme` and an absolute form are only what the client says (A2.1).
        setOwnHeader(headers, 'x-forwarded-proto', connection.info.tls ? 'https' : 'http');
      }
      return StageResult.Continue;
    },
  };
}

/** PR-06: the other sidecar has carried HTTP/1.1 here over HTTP/2. The app is asked in what its caller spoke. */
function readOriginalVersion(head: RequestHead): void {
  const original = headerValue(head.headers, 'x-weft-orig-proto');
  if (original === 'HTTP/1.1' || original === 'HTTP/1.0') head.originalVersion = 'HTTP/1.1';
}

function appendForwardedFor(headers: HeaderBlock, remoteAddress: string): void {
  const colon = remoteAddress.lastIndexOf(':');
  const address = remoteAddress.slice(0, colon < 0 ? undefined : colon).replaceAll(/[[\]]/g, '');
  const received = headerValues(headers, 'x-forwarded-for');
  setHeader(headers, 'x-forwarded-for', received === null ? address : `${received},${address}`);
}

/** Fields of the other sidecar that the app may see. */
const KEPT: ReadonlySet<string> = new Set([
  'x-envoy-attempt-count',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-original-host',
  'x-envoy-original-path',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
]);

/** Removes `x-envoy-*`, `x-weft-*` and spellings with `_` of what we vouch for, in one pass. */
function dropProxyFields(headers: HeaderBlock): void {
  let write = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!;
    if (name.charCodeAt(0) === 0x78 /* x */ && isProxyField(name)) continue;
    if (write !== at) {
      headers[write] = name;
      headers[write + 1] = headers[at + 1]!;
    }
    write += 2;
  }
  shorten(headers, write);
}

function isProxyField(name: string): boolean {
  if (name.startsWith('x-envoy-')) return !KEPT.has(name);
  if (name.startsWith('x-weft-')) return true;
  if (name.charCodeAt(1) !== 0x5f && !name.includes('_')) return false;
  const dashed = name.replaceAll('_', '-');
  return (
    dashed.startsWith('x-envoy-') ||
    dashed.startsWith('x-weft-') ||
    dashed.startsWith('x-forwarded-') ||
    dashed === 'x-real-ip' ||
    dashed === 'x-request-id'
  );
}
