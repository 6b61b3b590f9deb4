import { DURATION } from './duration.ts';
import { AGE, type Kind } from './kind.ts';
import { DNS_LABEL, EXPORT_TO, LABEL_KEY, LABEL_VALUE, RULE_HOST } from './name-format.ts';
import type { StringMap } from './resource.ts';
import {
  choice,
  type FieldsOf,
  integer,
  list,
  map,
  object,
  optional,
  type Report,
  required,
  text,
  withDefault,
} from './schema.ts';

/** networking.istio.io/v1 DestinationRule, with defaults applied. Field names are Istio's. */
export interface DestinationRuleSpec {
  /** A short name expands with the object's namespace; may be a wildcard (`*.example.com`). */
  readonly host: string;
  readonly trafficPolicy?: TrafficPolicy;
  readonly subsets: readonly Subset[];
  /** Default `[*]`. */
  readonly exportTo: readonly string[];
}

/** A named part of a host's endpoints (TM-09). Its policy replaces only the blocks that it names. */
export interface Subset {
  readonly name: string;
  readonly labels: StringMap;
  readonly trafficPolicy?: TrafficPolicy;
}

export interface TrafficPolicy extends PolicyBlocks {
  /** Replaces the parent whole for that port: what an entry omits falls to defaults. */
  readonly portLevelSettings: readonly PortTrafficPolicy[];
}

export interface PortTrafficPolicy extends PolicyBlocks {
  readonly port: { readonly number: number };
}

export interface PolicyBlocks {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly tls?: ClientTLSSettings;
}

export interface LoadBalancerSettings {
  /** Default LEAST_REQUEST; Istio's deprecated LEAST_CONN and UNSPECIFIED arrive as LEAST_REQUEST. */
  readonly simple: 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM' | 'PASSTHROUGH';
}

export interface ConnectionPoolSettings {
  readonly tcp?: {
    /** Duration string, at least 1ms; absent = 10s (RS-10). */
    readonly connectTimeout?: string;
  };
}

export interface ClientTLSSettings {
  /** Absent block = automatic mutual TLS (SC-02). */
  readonly mode: 'DISABLE' | 'ISTIO_MUTUAL';
}

const LATER = {
  outlierDetection: 'outlier detection (RS-14 to RS-18) is not there yet',
  connectionPoolLimits: 'connection pool limits (RS-13) are not there yet',
  loadBalancing: 'only loadBalancer.simple is supported',
  tlsOrigination: 'TLS origination (SIMPLE, MUTUAL) is not there yet',
};

const loadBalancer = object<LoadBalancerSettings>(
  {
    simple: withDefault(
      choice(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM', 'PASSTHROUGH'], {
        aliases: { LEAST_CONN: 'LEAST_REQUEST', UNSPECIFIED: 'LEAST_REQUEST' },
      }),
      'LEAST_REQUEST',
      'How to choose an endpoint (LB-01, LB-02, LB-06).',
    ),
  },
  {
    unsupported: {
      consistentHash: LATER.loadBalancing,
      localityLbSetting: LATER.loadBalancing,
      warmup: LATER.loadBalancing,
      warmupDurationSecs: LATER.loadBalancing,
    },
  },
);

const connectionPool = object<ConnectionPoolSettings>(
  {
    tcp: optional(
      object<NonNullable<ConnectionPoolSettings['tcp']>>(
        {
          connectTimeout: optional(text({ format: DURATION }), 'To connect; absent = 10s (RS-10).'),
        },
        {
          unsupported: {
            maxConnections: LATER.connectionPoolLimits,
            tcpKeepalive: LATER.connectionPoolLimits,
            maxConnectionDuration: LATER.connectionPoolLimits,
            idleTimeout: LATER.connectionPoolLimits,
          },
        },
      ),
      'Settings of connections, HTTP or not.',
    ),
  },
  { unsupported: { http: LATER.connectionPoolLimits } },
);

const clientTls = object<ClientTLSSettings>(
  {
    mode: required(
      choice(['DISABLE', 'ISTIO_MUTUAL'], {
        unsupportedValues: { SIMPLE: LATER.tlsOrigination, MUTUAL: LATER.tlsOrigination },
      }),
      'Plain text, or mutual TLS with the mesh certificate.',
    ),
  },
  {
    unsupported: {
      clientCertificate: LATER.tlsOrigination,
      privateKey: LATER.tlsOrigination,
      caCertificates: LATER.tlsOrigination,
      caCrl: LATER.tlsOrigination,
      credentialName: LATER.tlsOrigination,
      subjectAltNames: LATER.tlsOrigination,
      sni: LATER.tlsOrigination,
      insecureSkipVerify: LATER.tlsOrigination,
    },
  },
);

const policyBlocks: FieldsOf<PolicyBlocks> = {
  loadBalancer: optional(loadBalancer, 'Choice of endpoint.'),
  connectionPool: optional(connectionPool, 'Limits of connections.'),
  tls: optional(clientTls, 'TLS towards the endpoints; absent = automatic mutual TLS (SC-01).'),
};

const trafficPolicy = object<TrafficPolicy>(
  {
    ...policyBlocks,
    portLevelSettings: withDefault(
      list(
        object<PortTrafficPolicy>(
          {
            ...policyBlocks,
            port: required(
              object<{ readonly number: number }>({
                number: required(integer(1, 65535), 'Port of the service.'),
              }),
              'The port that this is about.',
            ),
          },
          { unsupported: { outlierDetection: LATER.outlierDetection } },
        ),
        { itemsMax: 256 },
      ),
      [],
      'Policy of single ports; what an entry omits falls to defaults.',
    ),
  },
  {
    unsupported: {
      outlierDetection: LATER.outlierDetection,
      tunnel: 'tunnels through a forward proxy (PR-10) are not there yet',
      proxyProtocol: 'the PROXY protocol (PR-13) is not there yet',
      retryBudget: 'retry budgets (RS-05) are not there yet',
    },
    rules: [
      ({ portLevelSettings = [] }, report) => {
        const seen = new Set<number>();
        portLevelSettings.forEach(({ port }, index) => {
          if (seen.has(port.number)) {
            report(['portLevelSettings', index, 'port', 'number'], `${port.number} is used twice`);
          }
          seen.add(port.number);
        });
      },
    ],
  },
);

const subset = object<Subset>({
  name: required(text({ format: DNS_LABEL }), 'What routes call it.'),
  labels: withDefault(
    map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true })),
    {},
    'Labels that an endpoint must have, all of them.',
  ),
  trafficPolicy: optional(
    trafficPolicy,
    'Replaces the blocks that it names for this subset (TM-09).',
  ),
});

export const destinationRule: Kind<DestinationRuleSpec> = {
  group: 'networking.istio.io',
  kind: 'DestinationRule',
  plural: 'destinationrules',
  singular: 'destinationrule',
  shortNames: ['dr'],
  versions: ['v1', 'v1beta1', 'v1alpha3'],
  doc: 'Subsets of a service, and how to call it once a route has chosen it (TM-09).',
  spec: object<DestinationRuleSpec>(
    {
      host: required(
        text({ format: RULE_HOST }),
        'The service; short names expand with the namespace.',
      ),
      trafficPolicy: optional(trafficPolicy, 'How to call it.'),
      subsets: withDefault(list(subset, { itemsMax: 1024 }), [], 'Named parts of its endpoints.'),
      exportTo: withDefault(
        list(text({ format: EXPORT_TO }), { itemsMax: 256, distinct: true }),
        ['*'],
        'Namespaces whose callers follow it (TM-22).',
      ),
    },
    {
      unsupported: { workloadSelector: 'rules for some callers only are not there yet' },
      rules: [checkSubsets],
      complete: (spec) =>
        (spec['exportTo'] as unknown[]).length === 0
          ? { ...spec, exportTo: Object.freeze(['*']) }
          : spec,
    },
  ),
  specOptional: false,
  printerColumns: [
    { name: 'Host', type: 'string', doc: 'Host of the rule', path: ['spec', 'host'], priority: 0 },
    AGE,
  ],
};

function checkSubsets({ subsets = [] }: Partial<DestinationRuleSpec>, report: Report): void {
  const seen = new Set<string>();
  subsets.forEach(({ name }, index) => {
    if (seen.has(name)) report(['subsets', index, 'name'], `subset "${name}" is defined twice`);
    seen.add(name);
  });
}
