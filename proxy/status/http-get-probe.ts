import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import { type AppAddress, bindFrom } from './app-address.ts';
import type { HttpGetProber } from './app-prober.ts';
import {
  BODY_BYTES_MAX,
  connectProblem,
  type ProbeOutcome,
  unwell,
  WELL,
} from './probe-outcome.ts';

/** Not by `import`, which would load undici too (`admin/http-endpoint.ts`). */
const http = process.getBuiltinModule('node:http');

/** As the kubelet's client. */
const REDIRECTS_MAX = 10;

/** Of the connection to the sidecar, or set anew. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'expect',
  'host',
]);

export interface HttpGetProbeOptions {
  readonly prober: HttpGetProber;
  readonly app: AppAddress;
  /** What the kubelet sent, which has the probe's own headers among it. */
  readonly headers: IncomingHttpHeaders;
  /** Port that the kubelet was sent to; in a Host header it stands for the app's. */
  readonly statusPort: number;
  /** Why a port must not be asked, or ''. */
  readonly refusedPort: (port: number) => string;
  readonly signal: AbortSignal;
}

/**
 * Asks the app as the kubelet would: a new connection each time, any certificate, redirects followed to the same host
 * and taken for well where they lead elsewhere. The app's status is passed on. Never rejects.
 */
export async function probeByHttpGet(options: HttpGetProbeOptions): Promise<ProbeOutcome> {
  const { prober, app, refusedPort } = options;
  // One deadline for all redirects.
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(prober.timeoutMs)]);
  const host = app.host.includes(':') ? `[${app.host}]` : app.host;
  let url = new URL(`${prober.scheme}://${host}:${prober.port}`);
  let path = prober.path;
  for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
    const port = portOf(url);
    const refusal = refusedPort(port);
    if (refusal !== '') return unwell(`port ${port} is not asked: ${refusal}`);
    const answer = await ask(options, url, path, signal);
    if ('problem' in answer) return unwell(`GET ${url.origin}${path}: ${answer.problem}`);
    const { status, location, body } = answer;
    if (status < 300 || status > 399) return { status, body };
    const next = location === '' ? null : parseUrl(location, new URL(path, url));
    // Without a place to go, or with one that is not ours to ask, the app is taken for well.
    if (next === null || next.hostname !== url.hostname || !/^https?:$/.test(next.protocol)) {
      return WELL;
    }
    url = next;
    path = `${next.pathname}${next.search}`;
  }
  return unwell(`stopped after ${REDIRECTS_MAX} redirects`);
}

type Answer =
  | { readonly status: number; readonly location: string; readonly body: string }
  | { readonly problem: string };

async function ask(
  options: HttpGetProbeOptions,
  url: URL,
  path: string,
  signal: AbortSignal,
): Promise<Answer> {
  const { prober, app } = options;
  const secure = url.protocol === 'https:';
  const client = secure ? process.getBuiltinModule('node:https') : http;
  const request: RequestOptions & { rejectUnauthorized?: boolean; servername?: string } = {
    host: app.host,
    port: portOf(url),
    path,
    agent: false,
    signal,
    headers: headersFor(options, url),
    ...bindFrom(app),
    // The kubelet asks without a look at the certificate; it is the app's own port in the same pod.
    ...(secure ? { rejectUnauthorized: false, servername: '' } : {}),
  };
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const timedOut =
        signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
      const problem = timedOut
        ? `no answer within ${prober.timeoutMs / 1000} s`
        : connectProblem(error);
      resolve({ problem });
    };
    try {
      const outgoing = client.get(request, (response) => {
        const finish = (body: string): void => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, location: headers.location ?? '', body });
          outgoing.destroy();
        };
        readBody(response, finish);
        response.on('error', failed);
      });
      outgoing.on('error', failed);
    } catch (error) {
      failed(error as NodeJS.ErrnoException);
    }
  });
}

function readBody(response: IncomingMessage, finish: (body: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= BODY_BYTES_MAX) end();
  });
  const end = () => finish(Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX).toString());
  response.on('end', end);
}

function headersFor({ prober, headers, statusPort }: HttpGetProbeOptions, url: URL) {
  const all: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !NOT_FORWARDED.has(name)) all[name] = value;
  }
  let host = headers.host ?? url.host;
  for (const [name, value] of prober.headers) {
    const lower = name.toLowerCase();
    if (lower === 'host') host = value;
    else if (!NOT_FORWARDED.has(lower)) all[lower] = value;
  }
  all['host'] = host.replace(/:(\d+)$/, (text, port: string) =>
    Number(port) === statusPort ? `:${portOf(url)}` : text,
  );
  return { ...all, connection: 'close' };
}

function portOf({ port, protocol }: URL): number {
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}

function parseUrl(text: string, base: URL): URL | null {
  return URL.canParse(text, base.href) ? new URL(text, base.href) : null;
}
