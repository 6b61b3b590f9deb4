import { isIP } from 'node:net';
import type { FieldPath } from '../../../proto/field-path.ts';
import type { HostPort } from '../../tcp/socket-address.ts';
import type { Problems } from '../compile/problems.ts';
import { parseHostPort } from './host-port.ts';

/** How the app's health is found out. */
export type AppProbeSetting =
  | { readonly kind: 'none' }
  | { readonly kind: 'tcp' }
  | { readonly kind: 'http'; readonly path: string };

/** A port of the app that the sidecar serves (`WEFT_PORTS`). */
export interface WorkloadPort {
  readonly number: number;
  /** Where the app listens. */
  readonly app: HostPort;
}

/**
 * What Envoy's bootstrap has no field for; rides in `node.metadata` under keys that start with `WEFT_`.
 * docs/architecture.md lists the keys that the control plane reads as well.
 */
export interface WeftSettings {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `WEFT_TRUST_DOMAIN`, default cluster.local. */
  readonly trustDomain: string;
  /** `WEFT_READINESS`, `WEFT_PROMETHEUS`: null = closed. Default ports 15021 and 15090 beside an ADS server. */
  readonly readiness: HostPort | null;
  readonly prometheus: HostPort | null;
  /** `WEFT_STATUS`: app probes, merged metrics, quit (`proxy/status/`); null = closed. Default 15020 beside an ADS server. */
  readonly status: HostPort | null;
  /** `WEFT_CA`: the certificate service; null = the address of the ADS server. */
  readonly certificateService: HostPort | null;
  /** `WEFT_ROOT_CERT`: PEM file of the control plane's root, or ''. */
  readonly rootCertFile: string;
  /** `WEFT_TOKEN_FILE`: join token or service-account token, or ''. */
  readonly tokenFile: string;
  /** `WEFT_STATE_DIR`: last good configuration and identity; '' = nothing is kept. */
  readonly stateDirectory: string;
  /** `WEFT_CERT_TTL`, seconds asked for; 0 = as the control plane likes. */
  readonly certificateTtlSeconds: number;
  /** `WEFT_INSECURE_XDS`: plain text to an ADS server that is not on this host. */
  readonly insecureXds: boolean;
  /** `WEFT_APP_PROBE`: `none`, `tcp` (default with ports) or a path. */
  readonly appProbe: AppProbeSetting;
  readonly ports: readonly WorkloadPort[];
  /** `WEFT_DNS`, or 127.0.0.1:15053 where `DNS_CAPTURE` is true: where names are answered; null = nowhere (DS-05). */
  readonly dns: HostPort | null;
  /** `WEFT_DNS_UPSTREAM`: name servers, `address[:port]`; empty = those of /etc/resolv.conf. */
  readonly dnsUpstreams: readonly HostPort[];
  /** `WEFT_MODE: redirect`, or Istio's `INTERCEPTION_MODE: REDIRECT`: rules bring the connections here. */
  readonly redirected: boolean;
}

/** Every key; `environment.ts` takes each as a variable too. */
export const SETTING_KEYS: ReadonlySet<string> = new Set([
  'WEFT_MODE',
  'WEFT_OUTBOUND',
  'WEFT_SERVICE',
  'WEFT_PORTS',
  'WEFT_ADMIN',
  'WEFT_READINESS',
  'WEFT_PROMETHEUS',
  'WEFT_STATUS',
  'WEFT_CA',
  'WEFT_ROOT_CERT',
  'WEFT_TOKEN_FILE',
  'WEFT_STATE_DIR',
  'WEFT_TRUST_DOMAIN',
  'WEFT_CERT_TTL',
  'WEFT_INSECURE_XDS',
  'WEFT_APP_PROBE',
  'WEFT_DNS',
  'WEFT_DNS_UPSTREAM',
]);

const METADATA_PATH: FieldPath = ['node', 'metadata'];

/** Reads `node.metadata`; `dynamic`: the bootstrap names an ADS server. */
export function readSettings(
  metadata: Readonly<Record<string, unknown>>,
  dynamic: boolean,
  problems: Problems,
): WeftSettings {
  const reader = new SettingsReader(metadata, problems);
  for (const key of Object.keys(metadata)) {
    if (key.startsWith('WEFT_') && !SETTING_KEYS.has(key)) {
      reader.problem(key, `is not one of ${[...SETTING_KEYS].join(', ')}`);
    }
  }
  const ports = readPorts(reader);
  return {
    name: reader.text('WORKLOAD_NAME') || reader.text('NAME') || 'unknown',
    namespace: reader.text('NAMESPACE') || 'default',
    serviceAccount: reader.text('SERVICE_ACCOUNT') || 'default',
    trustDomain: reader.text('WEFT_TRUST_DOMAIN') || 'cluster.local',
    readiness: reader.address('WEFT_READINESS', dynamic ? { host: '0.0.0.0', port: 15021 } : null),
    prometheus: reader.address(
      'WEFT_PROMETHEUS',
      dynamic ? { host: '0.0.0.0', port: 15090 } : null,
    ),
    status: reader.address('WEFT_STATUS', dynamic ? { host: '0.0.0.0', port: 15020 } : null),
    certificateService: reader.address('WEFT_CA', null),
    rootCertFile: reader.text('WEFT_ROOT_CERT'),
    tokenFile: reader.text('WEFT_TOKEN_FILE'),
    stateDirectory: reader.text('WEFT_STATE_DIR'),
    certificateTtlSeconds: reader.number('WEFT_CERT_TTL'),
    insecureXds: ['true', '1'].includes(reader.text('WEFT_INSECURE_XDS')),
    appProbe: readProbe(reader, ports.length > 0),
    ports,
    dns: readDns(reader, dynamic),
    dnsUpstreams: readDnsUpstreams(reader),
    redirected:
      (reader.text('WEFT_MODE') || reader.text('INTERCEPTION_MODE').toLowerCase()) === 'redirect',
  };
}

class SettingsReader {
  readonly #metadata: Readonly<Record<string, unknown>>;
  readonly #problems: Problems;

  constructor(metadata: Readonly<Record<string, unknown>>, problems: Problems) {
    this.#metadata = metadata;
    this.#problems = problems;
  }

  problem(key: string, message: string, ...rest: (string | number)[]): void {
    this.#problems.add([...METADATA_PATH, key, ...rest], message);
  }

  value(key: string): unknown {
    return this.#metadata[key];
  }

  text(key: string): string {
    const value = this.value(key);
    if (value === undefined || value === null) return '';
    if (typeof value === 'string') return value;
    if (typeof value === 'boolean' || typeof value === 'number') return String(value);
    this.problem(key, 'must be text');
    return '';
  }

  number(key: string): number {
    const value = Number(this.text(key) || 0);
    if (Number.isFinite(value) && value >= 0) return value;
    this.problem(key, 'must be a number of seconds');
    return 0;
  }

  /** `none` closes what has a default. */
  address(key: string, fallback: HostPort | null): HostPort | null {
    const text = this.text(key);
    if (text === '') return fallback;
    if (text === 'none') return null;
    const parsed = parseHostPort(text);
    if (parsed === undefined) this.problem(key, `"${text}" must read host:port`);
    return parsed ?? fallback;
  }
}

function readProbe(reader: SettingsReader, hasPorts: boolean): AppProbeSetting {
  const text = reader.text('WEFT_APP_PROBE');
  if (text === 'none') return { kind: 'none' };
  if (text === '') return { kind: hasPorts ? 'tcp' : 'none' };
  if (text === 'tcp') return { kind: 'tcp' };
  if (/^\/[!-~]*$/.test(text)) return { kind: 'http', path: text };
  reader.problem('WEFT_APP_PROBE', `"${text}" must be none, tcp or a path that starts with "/"`);
  return { kind: 'none' };
}

const DNS_PORT = 53;
const DNS_UPSTREAMS_MAX = 8;

/** Without a control plane nobody would say what the names are. */
function readDns(reader: SettingsReader, dynamic: boolean): HostPort | null {
  const isCaptured = ['true', '1'].includes(reader.text('DNS_CAPTURE').toLowerCase());
  const address = reader.address(
    'WEFT_DNS',
    isCaptured ? { host: '127.0.0.1', port: 15053 } : null,
  );
  if (address === null) return null;
  if (!dynamic) {
    if (reader.text('WEFT_DNS') !== '') {
      reader.problem('WEFT_DNS', 'needs a control plane (dynamic_resources.ads_config)');
    }
    return null;
  }
  if (address.host !== 'localhost' && isIP(address.host) === 0) {
    reader.problem('WEFT_DNS', `"${address.host}" must be an IP address`);
  }
  return address;
}

/** A list, or text with commas. */
function readDnsUpstreams(reader: SettingsReader): HostPort[] {
  const value = reader.value('WEFT_DNS_UPSTREAM');
  const items = Array.isArray(value) ? value : reader.text('WEFT_DNS_UPSTREAM').split(',');
  const servers: HostPort[] = [];
  for (const item of items) {
    const text = String(item).trim();
    if (text === '') continue;
    const server = isIP(text) === 0 ? parseHostPort(text) : { host: text, port: DNS_PORT };
    if (server === undefined || isIP(server.host) === 0 || server.port === 0) {
      reader.problem(
        'WEFT_DNS_UPSTREAM',
        `"${text}" must be an IP address, with or without a port`,
      );
    } else servers.push(server);
  }
  if (servers.length > DNS_UPSTREAMS_MAX) {
    reader.problem('WEFT_DNS_UPSTREAM', `lists more than ${DNS_UPSTREAMS_MAX} name servers`);
  }
  return servers;
}

function readPorts(reader: SettingsReader): WorkloadPort[] {
  const value = reader.value('WEFT_PORTS');
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    reader.problem('WEFT_PORTS', 'must be a list');
    return [];
  }
  const ports: WorkloadPort[] = [];
  value.forEach((item: unknown, index) => {
    const { number, app } = (item ?? {}) as Readonly<Record<string, unknown>>;
    const address = typeof app === 'string' ? parseHostPort(app) : undefined;
    if (typeof number !== 'number' || !(number >= 1 && number <= 65_535)) {
      reader.problem('WEFT_PORTS', 'must be a port, 1 to 65535', index, 'number');
    } else if (address === undefined) {
      reader.problem('WEFT_PORTS', 'must read host:port', index, 'app');
    } else ports.push({ number, app: address });
  });
  return ports;
}
