import { expect, test } from 'vitest';
import { policies } from './mesh.testing.ts';
import { PeerAuthenticationIndex } from './peer-authentication-index.ts';

function index(yaml: string): PeerAuthenticationIndex {
  return new PeerAuthenticationIndex(policies(yaml).peerAuthentications, 'istio-system');
}

function policy(name: string, namespace: string, spec: string): string {
  return `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
}

const MESH = policy('mesh', 'istio-system', '{mtls: {mode: STRICT}}');
const NAMESPACE = policy('namespace', 'shop', '{mtls: {mode: DISABLE}}');
const WORKLOAD = policy(
  'workload',
  'shop',
  '{selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {"8080": {mode: STRICT}, "9090": {mode: UNSET}}}',
);

test('[SC-02] PERMISSIVE where nothing is said', () => {
  expect(index('').mode('shop', { app: 'web' }, 80)).toBe('PERMISSIVE');
});

test('[SC-02][PL-04] port before workload before namespace before mesh', () => {
  const all = index(MESH + NAMESPACE + WORKLOAD);
  expect(all.mode('shop', { app: 'web' }, 8080)).toBe('STRICT');
  expect(all.mode('shop', { app: 'web' }, 9090)).toBe('PERMISSIVE');
  expect(all.mode('shop', { app: 'web' }, 80)).toBe('PERMISSIVE');
  expect(all.mode('shop', { app: 'other' }, 8080)).toBe('DISABLE');
  expect(all.mode('other', { app: 'web' }, 8080)).toBe('STRICT');
});

test('[SC-02] UNSET is inherited', () => {
  const unset = policy('w', 'shop', '{selector: {matchLabels: {app: web}}, mtls: {mode: UNSET}}');
  expect(index(MESH + unset).mode('shop', { app: 'web' }, 80)).toBe('STRICT');
});

test('[PL-04] of two at one level the oldest', () => {
  const older = policy('z-older', 'shop', '{mtls: {mode: STRICT}}');
  expect(index(older + NAMESPACE).mode('shop', {}, 80)).toBe('STRICT');
});

test('a selector in the root namespace takes workloads of the root namespace alone', () => {
  const selecting = policy(
    'r',
    'istio-system',
    '{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}',
  );
  expect(index(selecting).mode('shop', { app: 'web' }, 80)).toBe('PERMISSIVE');
  expect(index(selecting).mode('istio-system', { app: 'web' }, 80)).toBe('STRICT');
});

test('whether any port refuses mutual TLS is known', () => {
  expect(index(MESH + WORKLOAD).someDisable).toBe(false);
  expect(index(NAMESPACE).someDisable).toBe(true);
});
