import { isIP } from 'node:net';
import { AGE, type Kind } from './kind.ts';
import {
  EXPORT_TO,
  isWildcardHost,
  LABEL_KEY,
  LABEL_VALUE,
  PORT_NAME,
  RULE_HOST,
} from './name-format.ts';
import type { StringMap } from './resource.ts';
import {
  choice,
  integer,
  list,
  map,
  object,
  optional,
  type Report,
  required,
  type TextFormat,
  text,
  withDefault,
} from './schema.ts';
import { type WorkloadEntrySpec, workloadEntrySchema } from './workload-entry.ts';

/** networking.istio.io/v1 ServiceEntry, with defaults applied (DS-02). Field names are Istio's. */
export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  /** Virtual addresses: IP or CIDR. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
  /** Default MESH_EXTERNAL. */
  readonly location: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
  /** Default NONE. */
  readonly resolution: 'NONE' | 'STATIC' | 'DNS';
  /** Not together with `workloadSelector`. */
  readonly endpoints: readonly WorkloadEntrySpec[];
  /** Takes WorkloadEntries of the same namespace. */
  readonly workloadSelector?: { readonly labels: StringMap };
  /** Default `[*]`. */
  readonly exportTo: readonly string[];
  /** Accepted server identities (SPIFFE URIs). */
  readonly subjectAltNames: readonly string[];
}

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  /** Upper case: HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TCP, TLS, MONGO, REDIS, MYSQL, UDP; empty = detect. */
  readonly protocol: string;
  /** Port of the endpoints; default `number`. */
  readonly targetPort: number;
}

const PROTOCOLS = [
  'HTTP',
  'HTTPS',
  'HTTP2',
  'GRPC',
  'GRPC-WEB',
  'TCP',
  'TLS',
  'MONGO',
  'REDIS',
  'MYSQL',
  'UDP',
];

const PROTOCOL: TextFormat = {
  name: 'protocol',
  check: (protocol) =>
    PROTOCOLS.includes(protocol.toUpperCase())
      ? undefined
      : `is not one of ${PROTOCOLS.join(', ')}`,
};

const ADDRESS_OR_CIDR: TextFormat = {
  name: 'address',
  check: (address) => {
    const [ip = '', bits, ...more] = address.split('/');
    const family = isIP(ip);
    if (family === 0 || more.length > 0) return 'is not an IP address or CIDR';
    if (bits === undefined) return undefined;
    const bitsMax = family === 4 ? 32 : 128;
    return /^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax
      ? undefined
      : 'is not an IP address or CIDR';
  },
};

const servicePort = object<ServicePort>(
  {
    number: required(integer(1, 65535), 'Port that callers dial.'),
    name: required(text({ format: PORT_NAME }), 'Name, which endpoints refer to.'),
    protocol: withDefault(
      text({ format: PROTOCOL, mayBeEmpty: true }),
      '',
      `One of ${PROTOCOLS.join(', ')}; absent = detect (PR-02).`,
    ),
    targetPort: withDefault(integer(0, 65535), 0, 'Port of the endpoints; absent = number.'),
  },
  {
    complete: (port) => ({
      ...port,
      protocol: String(port['protocol']).toUpperCase(),
      targetPort: port['targetPort'] === 0 ? port['number'] : port['targetPort'],
    }),
  },
);

export const serviceEntry: Kind<ServiceEntrySpec> = {
  group: 'networking.istio.io',
  kind: 'ServiceEntry',
  plural: 'serviceentries',
  singular: 'serviceentry',
  shortNames: ['se'],
  versions: ['v1', 'v1beta1', 'v1alpha3'],
  doc: 'A service that no other registry knows: an external one, or workloads of the mesh (DS-02).',
  spec: object<ServiceEntrySpec>(
    {
      hosts: required(
        list(text({ format: RULE_HOST }), { itemsMin: 1, itemsMax: 256, distinct: true }),
        'DNS names of the service, also *.suffix.',
      ),
      addresses: withDefault(
        list(text({ format: ADDRESS_OR_CIDR }), { itemsMax: 256, distinct: true }),
        [],
        'Virtual IP addresses or CIDRs of the service.',
      ),
      ports: withDefault(list(servicePort, { itemsMax: 256 }), [], 'Ports that callers may dial.'),
      location: withDefault(
        choice(['MESH_EXTERNAL', 'MESH_INTERNAL']),
        'MESH_EXTERNAL',
        'Whether the endpoints are part of the mesh.',
      ),
      resolution: withDefault(
        choice(['NONE', 'STATIC', 'DNS'], {
          unsupportedValues: {
            DNS_ROUND_ROBIN: 'not supported by Weft yet; use DNS',
            DYNAMIC_DNS: 'not supported by Weft yet; list the hosts and use DNS',
          },
        }),
        'NONE',
        'How to find the endpoints: as dialled, as listed, by DNS.',
      ),
      endpoints: withDefault(list(workloadEntrySchema), [], 'Endpoints, listed here.'),
      workloadSelector: optional(
        object<{ readonly labels: StringMap }>({
          labels: required(
            map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true })),
            'Labels that a WorkloadEntry must have, all of them.',
          ),
        }),
        'Endpoints: the WorkloadEntries of the namespace with these labels.',
      ),
      exportTo: withDefault(
        list(text({ format: EXPORT_TO }), { itemsMax: 256, distinct: true }),
        ['*'],
        'Namespaces that may see it (TM-22).',
      ),
      subjectAltNames: withDefault(
        list(text(), { itemsMax: 256, distinct: true }),
        [],
        'Identities that the endpoints may prove.',
      ),
    },
    {
      rules: [checkPorts, checkResolution],
      // An empty exportTo is the default, as in Istio.
      complete: (spec) =>
        (spec['exportTo'] as unknown[]).length === 0
          ? { ...spec, exportTo: Object.freeze(['*']) }
          : spec,
    },
  ),
  specOptional: false,
  printerColumns: [
    { name: 'Hosts', type: 'string', doc: 'Hosts', path: ['spec', 'hosts'], priority: 0 },
    {
      name: 'Location',
      type: 'string',
      doc: 'Inside or outside the mesh',
      path: ['spec', 'location'],
      priority: 0,
    },
    {
      name: 'Resolution',
      type: 'string',
      doc: 'How endpoints are found',
      path: ['spec', 'resolution'],
      priority: 0,
    },
    AGE,
  ],
};

function checkPorts(
  { ports = [], endpoints = [] }: Partial<ServiceEntrySpec>,
  report: Report,
): void {
  const names = new Set<string>();
  const numbers = new Set<number>();
  ports.forEach((port, index) => {
    if (names.has(port.name)) report(['ports', index, 'name'], `"${port.name}" is used twice`);
    if (numbers.has(port.number))
      report(['ports', index, 'number'], `${port.number} is used twice`);
    names.add(port.name);
    numbers.add(port.number);
  });
  endpoints.forEach((endpoint, index) => {
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (!names.has(name)) {
        report(['endpoints', index, 'ports', name], `no port of the service is named "${name}"`);
      }
    }
  });
}

function checkResolution(spec: Partial<ServiceEntrySpec>, report: Report): void {
  const { hosts = [], endpoints = [], resolution = 'NONE', workloadSelector } = spec;
  if (workloadSelector !== undefined && endpoints.length > 0) {
    report(['workloadSelector'], 'cannot be used together with endpoints');
  }
  if (spec.ports === undefined && resolution !== 'NONE') report([], 'ports is required');
  hosts.forEach((host, index) => {
    if (host === '*') report(['hosts', index], '"*" would take every name; use *.suffix');
    else if (isWildcardHost(host) && resolution === 'DNS') {
      report(['hosts', index], `resolution DNS cannot look up the wildcard ${host}`);
    }
  });
  if (resolution === 'NONE' && endpoints.length > 0) {
    report(['endpoints'], 'is not used with resolution NONE; set resolution to STATIC or DNS');
  }
  if (resolution === 'NONE' && workloadSelector !== undefined) {
    report(['workloadSelector'], 'is not used with resolution NONE; set resolution to STATIC');
  }
  endpoints.forEach(({ address }, index) => {
    const literal = address.startsWith('unix://') || isIP(address) !== 0;
    if (resolution === 'STATIC' && !literal) {
      report(
        ['endpoints', index, 'address'],
        `"${address}" is a name; resolution STATIC takes IP addresses`,
      );
    } else if (resolution === 'DNS' && address.startsWith('unix://')) {
      report(['endpoints', index, 'address'], 'resolution DNS takes no socket paths');
    }
  });
}
