import { formatAddress, type HostPort } from '../../tcp/socket-address.ts';
import { parseHostPort } from './host-port.ts';

/** A port of the app as `node.metadata.WEFT_PORTS` lists it. */
export interface DeclaredPort {
  /** As callers know it. */
  readonly number: number;
  readonly protocol: string;
  readonly name: string;
  /** `host:port` where the sidecar is reached, and where the app listens. */
  readonly listen: string;
  readonly app: string;
}

export type ParsedPorts =
  | { readonly ok: true; readonly ports: readonly DeclaredPort[] }
  | { readonly ok: false; readonly problems: readonly string[] };

export interface PortDefaults {
  readonly mode: 'redirect' | 'explicit';
  /** Address of this workload, where the sidecar listens in explicit mode. */
  readonly address: string;
}

/** Words for what a port speaks (PR-01), to which the control plane gives their meaning; '' = find out. */
const PROTOCOLS: readonly unknown[] = [
  '',
  'http',
  'http2',
  'grpc',
  'grpc-web',
  'https',
  'tls',
  'tcp',
  'mongo',
  'mysql',
  'redis',
];

/**
 * `WEFT_PORTS`: `9080`, `9080:http`, `9080:http:127.0.0.1:8080` or `9080:http:8080`, separated by commas; or the JSON
 * list of the metadata, in which only `number` is needed. The app is at 127.0.0.1 and the same port unless said.
 */
export function parsePorts(text: string, defaults: PortDefaults): ParsedPorts {
  const problems: string[] = [];
  const ports: DeclaredPort[] = [];
  const items = readItems(text, problems);
  items.forEach((item, index) => {
    const port = completePort(item, defaults);
    if (typeof port === 'string') problems.push(`[${index}]: ${port}`);
    else if (ports.some(({ number }) => number === port.number)) {
      problems.push(`[${index}]: port ${port.number} stands here twice`);
    } else ports.push(port);
  });
  return problems.length === 0 ? { ok: true, ports } : { ok: false, problems };
}

type PortItem = Readonly<Record<string, unknown>>;

const JSON_KEYS = ['number', 'protocol', 'name', 'listen', 'app'];

function readItems(text: string, problems: string[]): PortItem[] {
  if (/^\s*[[{]/.test(text)) {
    try {
      const value: unknown = JSON.parse(text);
      if (Array.isArray(value)) return value.map((item) => Object(item) as PortItem);
      problems.push(': must be a list');
    } catch (error) {
      problems.push(`: is no JSON: ${(error as Error).message}`);
    }
    return [];
  }
  const items: PortItem[] = [];
  for (const part of text.split(',').map((each) => each.trim())) {
    const match = /^(\d{1,5})(?::([^:\s]*)(?::(\S+))?)?$/.exec(part);
    if (match === null) {
      problems.push(
        `: "${part}" must read PORT, PORT:PROTOCOL or PORT:PROTOCOL:APP, such as 9080:http:127.0.0.1:8080`,
      );
      continue;
    }
    const [, number, protocol = '', app] = match;
    const address = app !== undefined && /^\d+$/.test(app) ? `127.0.0.1:${app}` : app;
    items.push({ number: Number(number), protocol, ...(address && { app: address }) });
  }
  return items;
}

/** A port with its defaults, or what is wrong with it. */
function completePort(item: PortItem, { mode, address }: PortDefaults): DeclaredPort | string {
  const unknown = Object.keys(item).find((key) => !JSON_KEYS.includes(key));
  if (unknown !== undefined) return `${unknown} is not one of ${JSON_KEYS.join(', ')}`;
  const { number, protocol = '', name } = item;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > 65_535) {
    return 'number must be a port, 1 to 65535';
  }
  if (typeof protocol !== 'string' || !PROTOCOLS.includes(protocol)) {
    return `protocol ${JSON.stringify(protocol)} is not one of ${PROTOCOLS.slice(1).join(', ')}`;
  }
  const app = readAddress(item['app'], { host: '127.0.0.1', port: number });
  if (app === undefined) return 'app must read host:port';
  // A redirected connection is made to the app's own port, at whatever address the caller knows.
  const own =
    mode === 'redirect' ? { host: '0.0.0.0', port: app.port } : { host: address, port: number };
  const listen = readAddress(item['listen'], own);
  if (listen === undefined) return 'listen must read host:port';
  if (mode === 'explicit' && listen.host === app.host && listen.port === app.port) {
    return `the app and the sidecar cannot both listen on ${formatAddress(app.host, app.port)}; give the app another port, such as ${number}:http:127.0.0.1:${number === 65_535 ? 8080 : number + 1}`;
  }
  const known = protocol === '' ? `port-${number}` : `${protocol}-${number}`;
  return {
    number,
    protocol,
    name: typeof name === 'string' && name !== '' ? name : known,
    listen: formatAddress(listen.host, listen.port),
    app: formatAddress(app.host, app.port),
  };
}

function readAddress(value: unknown, fallback: HostPort): HostPort | undefined {
  if (value === undefined) return fallback;
  const address = typeof value === 'string' ? parseHostPort(value) : undefined;
  return address === undefined || address.port === 0 ? undefined : address;
}
