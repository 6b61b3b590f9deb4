import {
  type ConfigDump,
  type Json,
  type JsonValue,
  list,
  object,
  parseConfigDump,
  text,
} from './config-dump.ts';

/** One thing that a sidecar holds, as it was answered and as lines of a table. */
export interface ConfigItem {
  readonly source: JsonValue;
  readonly rows: readonly (readonly string[])[];
}

/** A table over one answer of a sidecar's admin port, in istioctl's columns (CL-03). */
export interface ConfigView {
  readonly path: string;
  readonly headers: readonly string[];
  readonly items: (body: JsonValue, filter: ConfigFilter) => ConfigItem[];
}

export interface ConfigFilterOptions {
  /** Part of a host name. */
  readonly fqdn: string;
  readonly port: string;
  readonly direction: string;
}

/** Each '' lets everything through. */
export class ConfigFilter {
  readonly #options: ConfigFilterOptions;

  constructor(options: ConfigFilterOptions) {
    this.#options = options;
  }

  /** '' stands for a property that the thing has not: a filter on it then lets nothing through. */
  passes(fqdn: string, port: string, direction: string): boolean {
    const wanted = this.#options;
    return (
      (wanted.fqdn === '' || fqdn.includes(wanted.fqdn)) &&
      (wanted.port === '' || port === wanted.port) &&
      (wanted.direction === '' || direction === wanted.direction)
    );
  }
}

/** `outbound|9080|v2|reviews.default.svc.cluster.local` taken apart; any other name is the FQDN. */
function clusterName(name: string): {
  fqdn: string;
  port: string;
  subset: string;
  direction: string;
} {
  const parts = name.split('|');
  if (parts.length !== 4) return { fqdn: name, port: '', subset: '', direction: '' };
  return { direction: parts[0]!, port: parts[1]!, subset: parts[2]!, fqdn: parts[3]! };
}

const dash = (value: string) => (value === '' ? '-' : value);

function clusterItems(dump: ConfigDump, filter: ConfigFilter): ConfigItem[] {
  return dump.clusters.flatMap((cluster) => {
    const { fqdn, port, subset, direction } = clusterName(text(cluster['name']));
    if (!filter.passes(fqdn, port, direction)) return [];
    const type = text(cluster['type']) || 'STATIC';
    const metadata = object(object(object(cluster['metadata'])['filter_metadata'])['istio']);
    const rule = text(metadata['config']).split('/').at(-1) ?? '';
    return [
      { source: cluster, rows: [[fqdn, dash(port), dash(subset), dash(direction), type, rule]] },
    ];
  });
}

function listenerItems(dump: ConfigDump, filter: ConfigFilter): ConfigItem[] {
  return dump.listeners.flatMap((listener) => {
    const address = object(object(listener['address'])['socket_address']);
    const port = text(address['port_value']);
    const direction = text(listener['traffic_direction']).toLowerCase();
    if (!filter.passes('', port, direction)) return [];
    const chains = [...list(listener['filter_chains']), listener['default_filter_chain']].map(
      object,
    );
    const rows = chains
      .filter((chain) => Object.keys(chain).length > 0)
      .map((chain) => [text(address['address']), port, matchOf(chain), destinationOf(chain)]);
    return [{ source: listener, rows }];
  });
}

function matchOf(chain: Json): string {
  const match = object(chain['filter_chain_match']);
  const parts = [
    ['Trans', text(match['transport_protocol'])],
    ['App', list(match['application_protocols']).map(text).join(',')],
    ['SNI', list(match['server_names']).map(text).join(',')],
    ['Port', text(match['destination_port'])],
  ];
  const shown = parts
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${value}`);
  return shown.length === 0 ? 'ALL' : shown.join('; ');
}

function destinationOf(chain: Json): string {
  for (const filter of list(chain['filters']).map(object)) {
    const config = object(filter['typed_config']);
    const rds = object(config['rds']);
    if (text(rds['route_config_name']) !== '') return `Route: ${text(rds['route_config_name'])}`;
    const inline = object(config['route_config']);
    if (text(inline['name']) !== '') return `Inline Route: ${text(inline['name'])}`;
    if (text(config['cluster']) !== '') return `Cluster: ${text(config['cluster'])}`;
  }
  return 'Non-HTTP/Non-TCP';
}

function routeItems(dump: ConfigDump, filter: ConfigFilter): ConfigItem[] {
  return dump.routes.flatMap((config) => {
    const name = text(config['name']);
    const direction = name.startsWith('inbound') ? 'inbound' : 'outbound';
    const rows = list(config['virtual_hosts'])
      .map(object)
      .filter((host) => {
        const domains = list(host['domains']).map(text);
        const port = text(host['name']).split(':').at(-1) ?? '';
        return domains.some((domain) =>
          filter.passes(domain, /^\d+$/.test(port) ? port : name, direction),
        );
      })
      .flatMap((host) => {
        const domains = list(host['domains']).map(text);
        const shown =
          domains.slice(0, 2).join(', ') +
          (domains.length > 2 ? ` + ${domains.length - 2} more` : '');
        return list(host['routes'])
          .map(object)
          .map((route) => [name, text(host['name']), shown, routeMatch(route), routeTarget(route)]);
      });
    return rows.length === 0 ? [] : [{ source: config, rows }];
  });
}

function routeMatch(route: Json): string {
  const match = object(route['match']);
  const regex = text(object(match['safe_regex'])['regex']);
  const path =
    text(match['path']) ||
    (regex === '' ? '' : `regex ${regex}`) ||
    (match['connect_matcher'] === undefined ? `${text(match['prefix'])}*` : 'CONNECT');
  const headers = list(match['headers']).map((header) => text(object(header)['name']));
  return headers.length === 0 ? path : `${path} if ${headers.join(', ')}`;
}

function routeTarget(route: Json): string {
  const action = object(route['route']);
  const weighted = list(object(action['weighted_clusters'])['clusters']).map(object);
  if (weighted.length > 0) {
    return weighted.map((part) => `${text(part['name'])} ${text(part['weight'])}`).join(', ');
  }
  if (text(action['cluster']) !== '') return text(action['cluster']);
  const direct = object(route['direct_response']);
  if (text(direct['status']) !== '') return `direct response ${text(direct['status'])}`;
  return route['redirect'] === undefined ? '-' : 'redirect';
}

/** From `/clusters?format=json`: what the load balancer sees, health included. */
function endpointItems(body: JsonValue, filter: ConfigFilter): ConfigItem[] {
  return list(object(body)['cluster_statuses'])
    .map(object)
    .flatMap((cluster) => {
      const name = text(cluster['name']);
      const { fqdn, port, direction } = clusterName(name);
      if (!filter.passes(fqdn, port, direction)) return [];
      const rows = list(cluster['host_statuses'])
        .map(object)
        .map((host) => {
          const address = object(object(host['address'])['socket_address']);
          const health = text(object(host['health_status'])['eds_health_status']) || 'HEALTHY';
          const locality = object(host['locality']);
          const place = ['region', 'zone', 'sub_zone']
            .map((part) => text(locality[part]))
            .filter(Boolean);
          return [
            `${text(address['address'])}:${text(address['port_value'])}`,
            health,
            place.join('/'),
            name,
          ];
        });
      return rows.length === 0 ? [] : [{ source: cluster, rows }];
    });
}

function certificateItems(body: JsonValue): ConfigItem[] {
  return list(object(body)['certificates'])
    .map(object)
    .map((certificate) => {
      const row = (type: string) => (entry: JsonValue) => {
        const details = object(entry);
        const days = Number(text(details['days_until_expiration']) || '0');
        const expires = Date.parse(text(details['expiration_time']));
        const valid = Number.isNaN(expires) ? days > 0 : expires > Date.now();
        const names = list(details['subject_alt_names'])
          .map((name) => text(object(name)['uri']) || text(object(name)['dns']))
          .join(', ');
        return [
          names || text(details['path']) || '-',
          type,
          'ACTIVE',
          String(valid),
          text(details['serial_number']),
          text(details['expiration_time']),
          text(details['valid_from']),
        ];
      };
      return {
        source: certificate,
        rows: [
          ...list(certificate['cert_chain']).map(row('Cert Chain')),
          ...list(certificate['ca_cert']).map(row('CA')),
        ],
      };
    });
}

const dumped =
  (items: (dump: ConfigDump, filter: ConfigFilter) => ConfigItem[]) =>
  (body: JsonValue, filter: ConfigFilter) =>
    items(parseConfigDump(body), filter);

export const CONFIG_VIEWS: ReadonlyMap<string, ConfigView> = new Map<string, ConfigView>([
  [
    'listeners',
    {
      path: '/config_dump',
      headers: ['addresses', 'port', 'match', 'destination'],
      items: dumped(listenerItems),
    },
  ],
  [
    'routes',
    {
      path: '/config_dump',
      headers: ['name', 'vhost name', 'domains', 'match', 'destination'],
      items: dumped(routeItems),
    },
  ],
  [
    'clusters',
    {
      path: '/config_dump',
      headers: ['service fqdn', 'port', 'subset', 'direction', 'type', 'destination rule'],
      items: dumped(clusterItems),
    },
  ],
  [
    'endpoints',
    {
      path: '/clusters?format=json',
      headers: ['endpoint', 'status', 'locality', 'cluster'],
      items: endpointItems,
    },
  ],
  [
    'certs',
    {
      path: '/certs',
      headers: [
        'resource name',
        'type',
        'status',
        'valid cert',
        'serial number',
        'not after',
        'not before',
      ],
      items: certificateItems,
    },
  ],
]);
