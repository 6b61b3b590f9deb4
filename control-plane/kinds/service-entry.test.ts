import { describe, expect, test } from 'vitest';
import { withDefaults } from './kind.ts';
import { formatPath } from './problem.ts';
import { serviceEntry } from './service-entry.ts';
import { Findings, validate } from './validate.ts';

function problems(spec: object): string[] {
  const findings = new Findings();
  validate(serviceEntry.spec, spec, [], findings);
  return findings.list.map(({ path, message }) => `${formatPath(path)}: ${message}`);
}

const PORTS = [{ number: 80, name: 'http', protocol: 'http' }];

describe('ServiceEntry', () => {
  test('[DS-02] defaults are filled in', () => {
    expect(
      withDefaults(serviceEntry, {
        hosts: ['a.example'],
        ports: PORTS,
        resolution: 'STATIC',
        endpoints: [{ address: '10.0.0.1' }],
      }),
    ).toEqual({
      hosts: ['a.example'],
      addresses: [],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: 80 }],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      endpoints: [{ address: '10.0.0.1', ports: {}, labels: {}, weight: 1 }],
      exportTo: ['*'],
      subjectAltNames: [],
    });
  });

  test('[LB-07] weight 0 is 1', () => {
    const endpoints = [
      { address: '10.0.0.1', weight: 0 },
      { address: '10.0.0.2', weight: 5 },
    ];
    const spec = withDefaults(serviceEntry, { hosts: ['a'], endpoints });
    expect(spec.endpoints.map(({ weight }) => weight)).toEqual([1, 5]);
  });

  test('every supported field is accepted', () => {
    expect(
      problems({
        hosts: ['reviews.default.svc.cluster.local', '*.example.com'],
        addresses: ['10.1.0.1', '10.2.0.0/16', 'fd00::/8'],
        ports: [...PORTS, { number: 9000, name: 'tcp', targetPort: 9001 }],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        endpoints: [
          {
            address: 'fd00::1',
            ports: { http: 8080 },
            labels: { version: 'v1' },
            locality: 'eu/eu-1/a',
            weight: 3,
            serviceAccount: 'bookinfo-reviews',
          },
        ],
        exportTo: ['.'],
        subjectAltNames: ['spiffe://cluster.local/ns/default/sa/reviews'],
      }),
    ).toEqual([]);
    const workloadSelector = { labels: { app: 'a' } };
    expect(
      problems({ hosts: ['a'], ports: PORTS, resolution: 'STATIC', workloadSelector }),
    ).toEqual([]);
  });

  test.each<[string, object, string]>([
    ['no hosts', { hosts: [] }, 'hosts: must not be empty'],
    ['every host', { hosts: ['*'] }, 'hosts[0]: "*" would take every name'],
    ['a host twice', { hosts: ['a', 'a'] }, 'hosts[1]: a is listed twice'],
    [
      'a port number twice',
      { ports: [...PORTS, { number: 80, name: 'b' }] },
      'ports[1].number: 80 is used twice',
    ],
    [
      'a port name twice',
      { ports: [...PORTS, { number: 81, name: 'http' }] },
      'ports[1].name: "http" is used twice',
    ],
    [
      'a protocol',
      { ports: [{ number: 80, name: 'a', protocol: 'SPDY' }] },
      'ports[0].protocol: "SPDY" is not one of',
    ],
    [
      'port 0',
      { ports: [{ number: 0, name: 'a' }] },
      'ports[0].number: 0 is not a whole number from 1 to 65535',
    ],
    [
      'a CIDR',
      { addresses: ['10.0.0.0/33'] },
      'addresses[0]: "10.0.0.0/33" is not an IP address or CIDR',
    ],
    [
      'a name with STATIC',
      { resolution: 'STATIC', endpoints: [{ address: 'a.b' }] },
      'resolution STATIC takes IP addresses',
    ],
    [
      'a wildcard with DNS',
      { hosts: ['*.a'], resolution: 'DNS' },
      'cannot look up the wildcard *.a',
    ],
    [
      'endpoints with NONE',
      { endpoints: [{ address: '10.0.0.1' }] },
      'endpoints: is not used with resolution NONE',
    ],
    [
      'endpoints and selector',
      {
        resolution: 'STATIC',
        endpoints: [{ address: '10.0.0.1' }],
        workloadSelector: { labels: {} },
      },
      'cannot be used together with endpoints',
    ],
    [
      'an unknown port of an endpoint',
      { resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', ports: { grpc: 1 } }] },
      'no port of the service is named "grpc"',
    ],
    [
      'resolution for later',
      { resolution: 'DNS_ROUND_ROBIN' },
      'resolution: DNS_ROUND_ROBIN: not supported by Weft yet; use DNS',
    ],
    [
      'a network',
      { resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', network: 'n' }] },
      'endpoints[0].network: known to Istio',
    ],
    [
      'a locality',
      { resolution: 'STATIC', endpoints: [{ address: '10.0.0.1', locality: 'a/b/c/d' }] },
      'locality: "a/b/c/d" is not region',
    ],
    [
      'ports of a socket',
      { resolution: 'STATIC', endpoints: [{ address: 'unix:///s', ports: {} }] },
      'must not be set with a unix:// address',
    ],
  ])('[PL-05] %s is refused with its path', (_name, spec, expected) => {
    expect(problems({ hosts: ['a.example'], ports: PORTS, ...spec }).join()).toContain(expected);
  });
});
