import { expect, test } from 'vitest';
import { MESH_DEFAULTS } from '../mesh/mesh-options.ts';
import { buildSnapshot, type MeshSnapshot } from '../mesh/snapshot.ts';
import type { ProvidedService, Service, ServicePort } from '../registry/registry.ts';
import { type ProxyView, parseProxyView } from './proxy-view.ts';
import { withServicePorts } from './service-ports.ts';

function service(
  name: string,
  ports: readonly ServicePort[],
  more: Partial<Service> = {},
): ProvidedService {
  const host = `${name}.default.svc.cluster.local`;
  return {
    endpoints: [],
    service: {
      host,
      namespace: 'default',
      ports,
      addresses: ['10.96.0.1'],
      resolution: 'STATIC',
      location: 'MESH_INTERNAL',
      exportTo: ['*'],
      subjectAltNames: [],
      serviceAccounts: [],
      creationTimestamp: '2026-01-01T00:00:00Z',
      origin: `Service default/${name}`,
      selector: { app: 'reviews' },
      ...more,
    },
  };
}

function snapshot(...provided: ProvidedService[]): MeshSnapshot {
  const none = { virtualServices: [], destinationRules: [], peerAuthentications: [] };
  const registries = [{ services: [], workloads: [], provided }];
  return buildSnapshot(
    { ...none, serviceEntries: [], workloadEntries: [], registries },
    MESH_DEFAULTS,
  );
}

function proxy(metadata: Record<string, unknown> = {}): ProxyView {
  const parsed = parseProxyView(
    {
      id: 'sidecar~10.0.0.1~reviews-1.default~default.svc.cluster.local',
      userAgentName: 'weft',
      metadata: { WEFT_MODE: 'redirect', LABELS: { app: 'reviews', version: 'v1' }, ...metadata },
    } as never,
    MESH_DEFAULTS,
  );
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.view;
}

const http = { number: 80, name: 'http', protocol: 'http', targetPort: 8080 } as const;

test('a redirected proxy has the ports of the services that select it, by the container’s number', () => {
  const grpc = { number: 80, name: 'grpc', protocol: 'http2', targetPort: 9090 } as const;
  const made = withServicePorts(
    snapshot(service('reviews', [http]), service('other', [grpc])),
    proxy(),
  );
  expect(made.ports.map(({ number, protocol, app }) => [number, protocol, app.port])).toEqual([
    [8080, 'http', 8080],
    [9090, 'http2', 9090],
  ]);
  expect(made.host).toBe('other.default.svc.cluster.local');
});

test('of two services that name one port the older decides its protocol', () => {
  const young = { creationTimestamp: '2026-02-01T00:00:00Z' };
  const tcp = { number: 9000, name: 'tcp', protocol: 'tcp', targetPort: 8080 } as const;
  const made = withServicePorts(
    snapshot(service('a', [tcp], young), service('z', [http])),
    proxy(),
  );
  expect(made.ports.map(({ protocol }) => protocol)).toEqual(['http']);
  expect(made.host).toBe('z.default.svc.cluster.local');
});

test.each([
  ['a service of another namespace', service('a', [http], { namespace: 'shop' }), {}],
  ['a service that selects others', service('a', [http], { selector: { app: 'ratings' } }), {}],
  ['a proxy that is not redirected', service('a', [http]), { WEFT_MODE: 'explicit' }],
])('%s gives no ports', (_name, provided, metadata) => {
  expect(withServicePorts(snapshot(provided), proxy(metadata)).ports).toEqual([]);
});

test('a proxy that declares its ports keeps them', () => {
  const declared = [{ number: 5000, protocol: 'tcp', listen: '127.0.0.1:1', app: '127.0.0.1:2' }];
  const view = proxy({ WEFT_PORTS: declared });
  expect(withServicePorts(snapshot(service('a', [http])), view)).toBe(view);
});

test('UDP ports, and those whose target nobody knows, are left out', () => {
  const ports = [
    { number: 53, name: 'dns', protocol: 'udp', targetPort: 5353 },
    { number: 81, name: 'later', protocol: 'http' },
  ] as const;
  expect(withServicePorts(snapshot(service('a', ports)), proxy()).ports).toEqual([]);
});
