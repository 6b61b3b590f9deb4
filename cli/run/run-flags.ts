import { isIP, isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import type { OptionValues } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { namespaceOption } from '../manifests.ts';
import { freePorts, listenProblem } from './free-port.ts';
import { type SidecarPort, splitHostPort } from './sidecar-bootstrap.ts';

/** What `weft run` was asked for, checked before anything is started. */
export interface RunFlags {
  readonly workload: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** '' for a mere client. */
  readonly service: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly SidecarPort[];
  readonly address: string;
  readonly outbound: string;
  readonly admin: string;
  readonly readiness: string;
  readonly prometheus: string;
  readonly probe: string;
  /** '' = in the temporary directory of this run. */
  readonly stateDirectory: string;
  /** What the app is told of its ports. */
  readonly appEnvironment: Readonly<Record<string, string>>;
}

/** Throws CommandError for what does not fit; ports that nobody named are free ones of this machine. */
export async function readRunFlags(options: OptionValues): Promise<RunFlags> {
  const service = String(options['service'] ?? '');
  const version = String(options['version']);
  const workload = String(options['name'] ?? (service === '' ? 'client' : `${service}-${version}`));
  const address = String(options['address']);
  if (isIP(address) === 0) throw wrong(`--address ${address} is not an IP address`);
  const probe = String(options['probe']);
  if (probe !== 'tcp' && probe !== 'none' && !probe.startsWith('/')) {
    throw wrong(`--probe ${probe} is none that there is`, 'write tcp, none or a path: /healthz');
  }
  const asked = readPorts(options, service);
  const [outbound, admin, readiness, prometheus, ...appPorts] = (
    await freePorts(4 + asked.length)
  ).map((port) => `127.0.0.1:${port}`);
  const listenPorts = await freePorts(asked.length, address);
  const ports = asked.map(
    ({ number, protocol, appPort }, index): SidecarPort => ({
      number,
      protocol,
      listen: `${isIPv6(address) ? `[${address}]` : address}:${listenPorts[index]}`,
      app: appPort === 'auto' ? appPorts[index]! : `127.0.0.1:${appPort}`,
    }),
  );
  const { stateDir } = options;
  return {
    workload,
    namespace: namespaceOption(options),
    serviceAccount: String(options['serviceAccount'] ?? (service === '' ? workload : service)),
    service,
    labels: readLabels(options, { app: service === '' ? workload : service, version }),
    ports,
    address,
    outbound:
      options['outbound'] === undefined ? outbound! : await freeOutbound(options['outbound']),
    admin: admin!,
    readiness: readiness!,
    prometheus: prometheus!,
    probe,
    stateDirectory: stateDir === undefined ? '' : resolve(String(stateDir)),
    appEnvironment: appEnvironment(ports),
  };
}

/** The value where it is `host:port`. */
export function hostPort(flag: string, value: OptionValues[string]): string {
  const text = String(value);
  try {
    splitHostPort(text);
  } catch {
    throw wrong(`${flag} ${text} is not host:port`, 'write it as 127.0.0.1:9080 or [::1]:9080');
  }
  return text;
}

/** Taken by somebody else, it would be named to the app as its proxy all the same. */
async function freeOutbound(value: OptionValues[string]): Promise<string> {
  const text = hostPort('--outbound', value);
  const { host, port } = splitHostPort(text);
  const problem = await listenProblem(port, host);
  if (problem !== '') {
    throw new CommandError(
      `--outbound ${text} cannot be listened on: ${problem}`,
      'leave it out for a free port',
    );
  }
  return text;
}

const PROTOCOLS = ['http', 'tcp', 'https', 'tls'];

interface AskedPort {
  readonly number: number;
  readonly protocol: string;
  readonly appPort: number | 'auto';
}

function readPorts(options: OptionValues, service: string): AskedPort[] {
  const flags = many(options['port']);
  const appPorts = many(options['appPort']);
  if (service === '' && flags.length > 0) {
    throw wrong('--port needs --service', 'name the service that the app is an instance of');
  }
  if (appPorts.length > flags.length) {
    throw wrong('more --app-port than --port', 'give one for each --port, in the same order');
  }
  return flags.map((flag, index) => {
    const match = /^(\d{1,5})(?::([a-z]+))?$/.exec(flag);
    const number = Number(match?.[1]);
    const protocol = match?.[2] ?? 'http';
    if (match === null || !isPort(number) || !PROTOCOLS.includes(protocol)) {
      const hint = `write it as 9080 or 5432:tcp; protocols are ${PROTOCOLS.join(', ')}`;
      throw wrong(`--port ${flag} is not a port`, hint);
    }
    const asked = appPorts[index] ?? flag.split(':')[0]!;
    if (asked !== 'auto' && !(/^\d{1,5}$/.test(asked) && isPort(Number(asked)))) {
      throw wrong(`--app-port ${asked} is not a port`, 'a number, or auto');
    }
    return { number, protocol, appPort: asked === 'auto' ? asked : Number(asked) };
  });
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65_535;
}

/** `PORT` is the first one, as hosting platforms have it; `PORT_<service port>` is each. */
function appEnvironment(ports: readonly SidecarPort[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const { number, app } of ports) {
    const port = String(splitHostPort(app).port);
    environment['PORT'] ??= port;
    environment[`PORT_${number}`] = port;
  }
  return environment;
}

function readLabels(
  options: OptionValues,
  labels: Readonly<Record<string, string>>,
): Record<string, string> {
  const all = new Map(Object.entries(labels));
  for (const text of many(options['label'])) {
    const equals = text.indexOf('=');
    if (equals <= 0) throw wrong(`--label ${text} is not key=value`);
    all.set(text.slice(0, equals), text.slice(equals + 1));
  }
  return Object.fromEntries(all);
}

function many(value: OptionValues[string]): readonly string[] {
  return (value as readonly string[] | undefined) ?? [];
}

function wrong(message: string, hint = ''): CommandError {
  return new CommandError(message, hint, ExitCode.Usage);
}
