import { expect, test } from 'vitest';
import { readJson } from '../../proto/json.ts';
import { sidecarBootstrap, splitHostPort } from './sidecar-bootstrap.ts';

const settings = {
  workload: 'reviews-v2',
  namespace: 'default',
  serviceAccount: 'reviews',
  service: 'reviews',
  labels: { app: 'reviews', version: 'v2' },
  ports: [{ number: 9080, protocol: 'http', listen: '127.0.0.1:1', app: '127.0.0.1:2' }],
  address: '127.0.0.1',
  outbound: '127.0.0.1:3',
  admin: '127.0.0.1:4',
  readiness: '127.0.0.1:5',
  prometheus: '127.0.0.1:6',
  controlPlane: '127.0.0.1:7',
  rootCertFile: '/r.pem',
  joinTokenFile: '/t',
  trustDomain: '',
  stateDirectory: '',
  probe: 'tcp',
};

test('the bootstrap of a sidecar is an Envoy bootstrap without an unknown field', () => {
  const { problems } = readJson('envoy.config.bootstrap.v3.Bootstrap', sidecarBootstrap(settings));
  expect(problems).toEqual([]);
});

test('a mere client registers no service', () => {
  const text = JSON.stringify(sidecarBootstrap({ ...settings, service: '', ports: [] }));
  expect(text).not.toContain('WEFT_SERVICE');
  expect(text).not.toContain('WEFT_PORTS');
});

test('host:port is taken apart, IPv6 in brackets, and anything else refused', () => {
  expect(splitHostPort('127.0.0.1:80')).toEqual({ host: '127.0.0.1', port: 80 });
  expect(splitHostPort('[::1]:80')).toEqual({ host: '::1', port: 80 });
  for (const bad of ['80', ':80', 'a:b', 'a:99999', '::1:80']) {
    expect(() => splitHostPort(bad)).toThrow(RangeError);
  }
});
