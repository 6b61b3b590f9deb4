import { parseArgs } from 'node:util';

/** Not by `import`, which would load undici too (`admin/http-endpoint.ts`). */
const { request } = process.getBuiltinModule('node:http');

const USAGE = `Usage: weft proxy wait|drain|healthcheck [--timeout 60s] [--address HOST:PORT]

  wait          until the sidecar of this container is ready (postStart; KI-04), default 60s
  drain         tell it to take no new work (preStop)
  healthcheck   exit 0 when it is ready, else 1

The address is that of the status port: $WEFT_STATUS, default 127.0.0.1:15020.
`;

/** What the command says and exits with; 64 = wrong use. */
export interface CommandResult {
  readonly code: number;
  readonly message: string;
}

/** Milliseconds between two questions while waiting. */
const POLL_MS = 100;
/** Milliseconds that one question may take. */
const ANSWER_MS = 3000;
const WAIT_MS = 60_000;
const TEXT_CHARS_MAX = 1000;
const EXIT_BAD_USAGE = 64;

/**
 * The commands that containers run beside the sidecar: they ask its status port and load nothing of the proxy. `args`
 * starts with the command.
 */
export async function runStatusCommand(
  args: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
): Promise<CommandResult> {
  const [command, ...rest] = args;
  let values: { timeout?: string; address?: string; help?: boolean };
  try {
    values = parseArgs({
      args: rest,
      options: {
        timeout: { type: 'string' },
        address: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    return { code: EXIT_BAD_USAGE, message: (error as Error).message };
  }
  if (values.help === true) return { code: 0, message: USAGE.trimEnd() };
  const timeoutMs = durationMs(values.timeout ?? '');
  if (timeoutMs === undefined) {
    const message = `--timeout "${values.timeout}" must be a duration such as 60s`;
    return { code: EXIT_BAD_USAGE, message };
  }
  const address = statusAddress(values.address ?? '', variables, command === 'drain');
  if (typeof address === 'string') return { code: EXIT_BAD_USAGE, message: address };
  switch (command) {
    case 'drain': {
      const answer = await ask(address, 'POST', '/drain', timeoutMs || ANSWER_MS);
      return answer === ''
        ? { code: 0, message: '' }
        : { code: 1, message: `the sidecar at ${nameOf(address)} does not drain: ${answer}` };
    }
    case 'healthcheck': {
      const answer = await ask(address, 'GET', READY, timeoutMs || ANSWER_MS);
      return { code: answer === '' ? 0 : 1, message: answer };
    }
    default:
      return wait(address, timeoutMs || WAIT_MS);
  }
}

const READY = '/healthz/ready';

interface Address {
  readonly host: string;
  readonly port: number;
}

async function wait(address: Address, timeoutMs: number): Promise<CommandResult> {
  const endMs = performance.now() + timeoutMs;
  let last = '';
  for (let leftMs = timeoutMs; leftMs > 0; leftMs = endMs - performance.now()) {
    const answer = await ask(address, 'GET', READY, Math.min(ANSWER_MS, leftMs));
    if (answer === '') return { code: 0, message: '' };
    // What it said is worth more than that the time was too short to say it again.
    if (last === '' || !answer.startsWith(NO_ANSWER)) last = answer;
    await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MS, leftMs)));
  }
  const message = `the sidecar at ${nameOf(address)} is not ready after ${timeoutMs / 1000} s: ${last}`;
  return { code: 1, message };
}

const NO_ANSWER = 'no answer within';

/** '' = 200, else what it said or why it could not be asked. */
function ask(address: Address, method: string, path: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
    const outgoing = request({ ...address, method, path, agent: false, signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < TEXT_CHARS_MAX) text += chunk;
      });
      response.on('error', (error) => resolve(error.message));
      response.on('end', () => {
        const { statusCode } = response;
        resolve(statusCode === 200 ? '' : text.trim() || `it answered ${statusCode}`);
      });
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) resolve(`${NO_ANSWER} ${timeoutMs / 1000} s`);
      else resolve(error.code === 'ECONNREFUSED' ? 'nothing listens there yet' : error.message);
    });
    outgoing.end();
  });
}

/** Where the sidecar of this container is, or what is wrong. Readiness is also on its own port. */
function statusAddress(
  flag: string,
  variables: Readonly<Record<string, string | undefined>>,
  needsStatusPort: boolean,
): Address | string {
  const status = variables['WEFT_STATUS'] || '127.0.0.1:15020';
  let text = flag || status;
  if (text === 'none') {
    if (needsStatusPort) return 'WEFT_STATUS=none: there is no status port to drain by';
    text = variables['WEFT_READINESS'] || '127.0.0.1:15021';
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) return `"${text}" must read host:port`;
  const host = match[1] ?? match[2]!;
  // `::` takes IPv4 too, and every pod has 127.0.0.1; ::1 is missing where IPv6 is turned off.
  return { host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port };
}

function nameOf({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `500ms`, `60s`, `2m`; '' = 0, the command's own default. */
function durationMs(text: string): number | undefined {
  if (text === '') return 0;
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] as 'ms' | 's' | 'm'];
}
