import { describe, expect, test } from 'vitest';
import { type HttpVersion, RequestHead } from '../http/message.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { ClusterConfig } from './cluster-config.ts';
import {
  offersSharing,
  type PoolProtocol,
  poolProtocol,
  poolTls,
  speaksHttp2,
} from './pool-protocol.ts';

type Configured = ClusterConfig['httpProtocol'];
type Row = [Configured, 'shared' | 'own', HttpVersion, string, PoolProtocol];

describe('the pool of a request', () => {
  test.each<Row>([
    // One version whatever the caller speaks; shared where the other sidecar knows what is meant (PR-05, PR-06).
    ['HTTP1', 'own', 'HTTP/1.1', '', 'HTTP1'],
    ['HTTP1', 'own', 'HTTP/1.0', '', 'HTTP1'],
    ['HTTP1', 'own', 'HTTP/2', '', 'HTTP1'],
    ['HTTP1', 'shared', 'HTTP/1.1', '', 'SHARED'],
    ['HTTP1', 'shared', 'HTTP/1.0', '', 'SHARED'],
    ['HTTP1', 'shared', 'HTTP/2', '', 'SHARED'],
    // A tunnel takes its connection for itself (PR-09).
    ['HTTP1', 'shared', 'HTTP/1.1', 'websocket', 'HTTP1'],
    ['HTTP1', 'shared', 'HTTP/2', 'websocket', 'HTTP1'],
    ['HTTP1', 'own', 'HTTP/1.1', 'websocket', 'HTTP1'],
    ['HTTP2', 'own', 'HTTP/1.1', '', 'HTTP2'],
    ['HTTP2', 'shared', 'HTTP/1.1', '', 'HTTP2'],
    ['HTTP2', 'own', 'HTTP/2', '', 'HTTP2'],
    ['HTTP2', 'own', 'HTTP/1.1', 'websocket', 'HTTP2'],
    // As the caller's app.
    ['DOWNSTREAM', 'own', 'HTTP/1.1', '', 'HTTP1'],
    ['DOWNSTREAM', 'own', 'HTTP/2', '', 'HTTP2'],
    ['DOWNSTREAM', 'shared', 'HTTP/1.1', '', 'SHARED'],
    ['DOWNSTREAM', 'shared', 'HTTP/1.0', '', 'SHARED'],
    ['DOWNSTREAM', 'shared', 'HTTP/2', '', 'HTTP2'],
    ['DOWNSTREAM', 'shared', 'HTTP/1.1', 'websocket', 'HTTP1'],
    ['DOWNSTREAM', 'own', 'HTTP/2', 'websocket', 'HTTP2'],
    ['ALPN', 'own', 'HTTP/1.1', '', 'ALPN'],
    ['ALPN', 'own', 'HTTP/2', '', 'ALPN'],
    ['ALPN', 'shared', 'HTTP/1.1', '', 'ALPN'],
    ['ALPN', 'own', 'HTTP/1.1', 'websocket', 'HTTP1'],
  ])('%s, %s, %s %s → %s', (configured, sharing, original, upgrade, expected) => {
    const head = new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1');
    head.originalVersion = original;
    head.upgrade = upgrade;
    expect(poolProtocol(configured, sharing === 'shared', head)).toBe(expected);
  });
});

test('what a connection speaks follows from its pool, and from ALPN where that is open', () => {
  const agreed = ['', 'h2', 'istio-h2', 'weft-h2', 'http/1.1', 'istio-http/1.1', 'istio'];
  const of = (protocol: PoolProtocol) => agreed.filter((alpn) => speaksHttp2(protocol, alpn));
  expect(of('HTTP1')).toEqual([]);
  expect(of('HTTP2')).toEqual(agreed);
  expect(of('ALPN')).toEqual(['h2', 'istio-h2', 'weft-h2']);
  expect(of('SHARED')).toEqual(['h2', 'istio-h2', 'weft-h2']);
});

describe('the names that a pool offers', () => {
  const tls = (...alpnProtocols: string[]): UpstreamTlsConfig => ({
    certificateSecret: 'default',
    validationSecret: 'ROOTCA',
    subjectAltNames: [],
    alpnProtocols,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: '',
    sni: '',
  });

  test.each<[string, PoolProtocol, string]>([
    ['', 'HTTP1', ''],
    ['', 'HTTP2', 'h2'],
    ['', 'ALPN', 'h2 http/1.1'],
    ['h2 http/1.1', 'HTTP1', 'http/1.1'],
    ['h2 http/1.1', 'HTTP2', 'h2'],
    ['h2 http/1.1', 'ALPN', 'h2 http/1.1'],
    // An `http` port of the mesh, and one that declares nothing.
    ['weft-h2 istio-http/1.1', 'SHARED', 'weft-h2 istio-http/1.1'],
    ['weft-h2 istio-http/1.1', 'HTTP1', 'istio-http/1.1'],
    ['weft-h2 istio-http/1.1 istio-h2', 'SHARED', 'weft-h2 istio-http/1.1'],
    ['weft-h2 istio-http/1.1 istio-h2', 'HTTP1', 'istio-http/1.1'],
    ['weft-h2 istio-http/1.1 istio-h2', 'HTTP2', 'weft-h2 istio-h2'],
    ['istio-h2', 'HTTP2', 'istio-h2'],
  ])('configured %j, %s: %j', (configured, protocol, expected) => {
    const names = configured === '' ? [] : configured.split(' ');
    expect(poolTls(tls(...names), protocol)!.alpnProtocols.join(' ')).toBe(expected);
  });

  test('are in one object for one TLS configuration, by which contexts are kept', () => {
    const configured = tls('weft-h2', 'istio-http/1.1');
    expect(poolTls(configured, 'SHARED')).toBe(poolTls(configured, 'SHARED'));
    expect(poolTls(configured, 'HTTP1')).not.toBe(poolTls(configured, 'SHARED'));
    expect(poolTls(configured, 'HTTP1')).toMatchObject({ certificateSecret: 'default' });
    expect(poolTls(null, 'SHARED')).toBeNull();
  });

  test('say whether HTTP/1.1 may be carried over HTTP/2', () => {
    expect(offersSharing(tls('weft-h2', 'istio-http/1.1'))).toBe(true);
    expect(offersSharing(tls('istio-h2', 'h2', 'istio-http/1.1'))).toBe(false);
    expect(offersSharing(tls())).toBe(false);
    expect(offersSharing(null)).toBe(false);
  });
});
