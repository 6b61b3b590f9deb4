/**
 * What the kubelet would have asked the app itself, had the injector not sent it to port 15020 (KI-05). The JSON is that
 * of Istio's `ISTIO_KUBE_APP_PROBERS`: path on this port → the original probe or lifecycle hook.
 */
export type AppProber =
  | HttpGetProber
  | TcpSocketProber
  | GrpcProber
  /** Cannot be asked: every probe fails with this reason. */
  | { readonly kind: 'broken'; readonly reason: string };

interface Asked {
  /** A loopback name or address that the probe insists on; '' = the app as `AppAddress` says. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

export interface HttpGetProber extends Asked {
  readonly kind: 'httpGet';
  readonly scheme: 'http' | 'https';
  /** Starts with `/`; printable ASCII only. */
  readonly path: string;
  /** Name, value; what the probe sets beyond what the kubelet sends. */
  readonly headers: readonly (readonly [string, string])[];
}

export interface TcpSocketProber extends Asked {
  readonly kind: 'tcpSocket';
}

export interface GrpcProber extends Asked {
  readonly kind: 'grpc';
  /** '' = the server as a whole. */
  readonly service: string;
}

export type ParsedAppProbers =
  | { readonly ok: true; readonly probers: ReadonlyMap<string, AppProber> }
  | { readonly ok: false; readonly problem: string };

/** Probes of a pod; five a container. */
const PROBERS_MAX = 256;
const HEADERS_MAX = 64;
/** The kubelet's default. */
const PROBE_SECONDS = 1;
/** A lifecycle hook takes as long as its pod may; nothing waits longer. */
const HOOK_SECONDS = 3600;

const PATH =
  /^\/(app-health\/[^/]+\/(livez|readyz|startupz)|app-lifecycle\/[^/]+\/(poststartz|prestopz))$/;

/** `problem`: the text as a whole is useless. One probe that is wrong is `broken`, and the others work. */
export function parseAppProbers(text: string): ParsedAppProbers {
  if (text.trim() === '') return { ok: true, probers: new Map() };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, problem: `is no JSON: ${(error as Error).message}` };
  }
  if (!isObject(value)) return { ok: false, problem: 'must be an object of path and probe' };
  const entries = Object.entries(value);
  if (entries.length > PROBERS_MAX) {
    return { ok: false, problem: `has more than ${PROBERS_MAX} probes` };
  }
  const probers = new Map<string, AppProber>();
  for (const [path, probe] of entries) {
    if (!PATH.test(path)) {
      const problem = `${JSON.stringify(path)} must read /app-health/<container>/livez, readyz or startupz, or /app-lifecycle/<container>/poststartz or prestopz`;
      return { ok: false, problem };
    }
    probers.set(path, readProber(path, probe));
  }
  return { ok: true, probers };
}

type Fields = Readonly<Record<string, unknown>>;

function readProber(path: string, value: unknown): AppProber {
  if (!isObject(value)) return broken('the probe must be an object');
  const { httpGet, tcpSocket, grpc, timeoutSeconds } = value;
  const kinds = [httpGet, tcpSocket, grpc].filter((kind) => kind !== undefined && kind !== null);
  const [kind] = kinds;
  if (kinds.length !== 1 || !isObject(kind)) {
    return broken('the probe must have one of httpGet, tcpSocket and grpc');
  }
  const timeoutMs = readTimeout(path, timeoutSeconds);
  if (timeoutMs === undefined) return broken('timeoutSeconds must be a number of seconds');
  const port = kind['port'];
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return broken(
      typeof port === 'string'
        ? `port ${JSON.stringify(port)} is a name; the injector writes the number, so inject the pod again`
        : 'port must be a number, 1 to 65535',
    );
  }
  const host = kind['host'] ?? '';
  if (typeof host !== 'string' || !/^(localhost|127\.0\.0\.1|::1)?$/.test(host)) {
    return broken(
      `host ${JSON.stringify(host)} is not this pod; leave it out, or let the kubelet ask it: annotation sidecar.istio.io/rewriteAppHTTPProbers "false"`,
    );
  }
  const asked = { host, port, timeoutMs };
  if (kind === tcpSocket) return { kind: 'tcpSocket', ...asked };
  if (kind === grpc) {
    const service = kind['service'] ?? '';
    if (typeof service !== 'string') return broken('grpc.service must be text');
    return { kind: 'grpc', service, ...asked };
  }
  return readHttpGet(kind, asked);
}

function readTimeout(path: string, value: unknown): number | undefined {
  const isHook = path.startsWith('/app-lifecycle/');
  if (value === undefined || value === null || value === 0) {
    return (isHook ? HOOK_SECONDS : PROBE_SECONDS) * 1000;
  }
  if (typeof value !== 'number' || !(value > 0)) return undefined;
  return Math.min(value, HOOK_SECONDS) * 1000;
}

function readHttpGet(fields: Fields, asked: Asked): AppProber {
  const { path = '', scheme = '', httpHeaders = [] } = fields;
  if (typeof path !== 'string') return broken('httpGet.path must be text');
  const lower = typeof scheme === 'string' ? scheme.toLowerCase() || 'http' : '';
  if (lower !== 'http' && lower !== 'https') {
    return broken(`httpGet.scheme ${JSON.stringify(scheme)} is not one of HTTP, HTTPS`);
  }
  if (!Array.isArray(httpHeaders) || httpHeaders.length > HEADERS_MAX) {
    return broken(`httpGet.httpHeaders must be a list of at most ${HEADERS_MAX}`);
  }
  const headers: [string, string][] = [];
  for (const header of httpHeaders as unknown[]) {
    const { name, value = '' } = isObject(header) ? header : {};
    if (typeof name !== 'string' || !FIELD_NAME.test(name)) {
      return broken(`httpGet.httpHeaders: ${JSON.stringify(name)} is no name of a header`);
    }
    // A line end in a value would be another header (A5.4).
    if (typeof value !== 'string' || !FIELD_VALUE.test(value)) {
      return broken(
        `httpGet.httpHeaders: the value of ${name} has characters that may not stand there`,
      );
    }
    headers.push([name, value]);
  }
  return { kind: 'httpGet', scheme: lower, path: escapePath(path), headers, ...asked };
}

/** RFC 9110 §5.1, §5.5. */
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** As the kubelet: without a slash it gets one, and what a request line cannot hold is escaped. */
function escapePath(path: string): string {
  const absolute = path.startsWith('/') ? path : `/${path}`;
  return absolute.replace(/[^!-~]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

function broken(reason: string): AppProber {
  return { kind: 'broken', reason };
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
