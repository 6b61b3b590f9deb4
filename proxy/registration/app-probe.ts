import { connect, isIP } from 'node:net';

/** Not by `import`, which would load undici too (`admin/http-endpoint.ts`). */
const { get } = process.getBuiltinModule('node:http');

/** How the app is asked whether it is well. */
export type ProbeTarget = {
  readonly host: string;
  readonly port: number;
  /** A path to GET, expected to answer 200 to 399; '' = a TCP connection is enough. */
  readonly path: string;
  /** Addresses to connect from, one of each family at most; none = the kernel's choice. */
  readonly sources: readonly string[];
};

export interface ProbeResult {
  readonly healthy: boolean;
  /** Why not, for the operator. */
  readonly message: string;
}

export interface AppProbeOptions {
  /** Every one must be well. */
  readonly targets: readonly ProbeTarget[];
  readonly probe: (target: ProbeTarget) => Promise<ProbeResult>;
  readonly after: (ms: number, callback: () => void) => () => void;
  /** Called with the first result and on each change. */
  readonly onChange: (result: ProbeResult) => void;
}

/** Milliseconds between probes while the app is well and while it is not: a start must be seen soon. */
const WELL_INTERVAL_MS = 2000;
const UNWELL_INTERVAL_MS = 250;
/** Failures in a row before a healthy app counts as unhealthy: one slow answer is no outage. */
const FAILURES_MAX = 3;
const TIMEOUT_MS = 1000;

/** Asks the app beside this sidecar for its health again and again; feeds the registration (DS-04). */
export class AppProbe {
  readonly #options: AppProbeOptions;
  #last: ProbeResult | null = null;
  #failures = 0;
  #cancelTimer: () => void = () => {};
  #closed = false;

  constructor(options: AppProbeOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#round();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
  }

  async #round(): Promise<void> {
    const { targets, probe, after } = this.#options;
    const results = await Promise.all(targets.map(probe));
    if (this.#closed) return;
    const failed = results.filter(({ healthy }) => !healthy);
    const message = failed.map((result) => result.message).join('; ');
    this.#judge({ healthy: failed.length === 0, message });
    const interval = this.#last?.healthy === true ? WELL_INTERVAL_MS : UNWELL_INTERVAL_MS;
    this.#cancelTimer = after(interval, () => void this.#round());
  }

  #judge(result: ProbeResult): void {
    this.#failures = result.healthy ? 0 : this.#failures + 1;
    const last = this.#last;
    const wasHealthy = last?.healthy === true;
    if (wasHealthy && !result.healthy && this.#failures < FAILURES_MAX) return;
    if (last !== null && last.healthy === result.healthy) return;
    this.#last = result;
    this.#options.onChange(result);
  }
}

/** Probes over real sockets. Resolves within `TIMEOUT_MS`; never rejects. */
export function probeApp(target: ProbeTarget): Promise<ProbeResult> {
  return target.path === '' ? probeTcp(target) : probeHttp(target);
}

const WELL: ProbeResult = Object.freeze({ healthy: true, message: '' });

function probeTcp({ host, port, sources }: ProbeTarget): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS, ...from(sources, host) });
    const finish = (result: ProbeResult): void => {
      socket.destroy();
      resolve(result);
    };
    const failed = (reason: string): void => {
      finish({ healthy: false, message: `${host}:${port}: ${reason}` });
    };
    socket.once('connect', () => finish(WELL));
    socket.once('timeout', () => failed('no connection within 1 s'));
    socket.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message));
  });
}

function from(sources: readonly string[], host: string): { localAddress?: string } {
  const source = sources.find((address) => isIP(address) === isIP(host));
  return source === undefined ? {} : { localAddress: source };
}

function probeHttp({ host, port, path, sources }: ProbeTarget): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const failed = (reason: string): void => {
      resolve({ healthy: false, message: `http://${host}:${port}${path}: ${reason}` });
    };
    const request = get(
      {
        host,
        port,
        path,
        agent: false,
        ...from(sources, host),
        timeout: TIMEOUT_MS,
        headers: { 'user-agent': 'weft-probe' },
      },
      (response) => {
        response.resume();
        response.on('error', () => {});
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 400) resolve(WELL);
        else failed(`answered ${status}`);
        request.destroy();
      },
    );
    request.once('timeout', () => {
      failed('no answer within 1 s');
      request.destroy();
    });
    request.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message));
  });
}
