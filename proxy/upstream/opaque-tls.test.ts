import { expect, test } from 'vitest';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import { opaqueTls } from './opaque-tls.ts';

const tls = (...alpnProtocols: string[]): UpstreamTlsConfig => ({
  certificateSecret: 'default',
  validationSecret: 'ROOTCA',
  subjectAltNames: [],
  alpnProtocols,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: '',
  sni: 'outbound_.80_._.reviews.default.svc.cluster.local',
});

test('[PR-11] mesh TLS around opaque bytes says so, whatever HTTP the cluster speaks', () => {
  for (const http of ['istio-http/1.1', 'istio-h2']) {
    const given = tls(http);
    const opaque = opaqueTls(given)!;
    expect(opaque).toEqual({ ...given, alpnProtocols: ['istio'] });
    expect(opaqueTls(given)).toBe(opaque);
  }
});

test('any other TLS, and none, stays as it is', () => {
  for (const other of [tls('istio'), tls('h2', 'http/1.1'), tls(), null]) {
    expect(opaqueTls(other)).toBe(other);
  }
});
