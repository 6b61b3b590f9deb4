import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ApiClient } from '../api-client.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { namespaceOption } from '../manifests.ts';
import { Child } from '../run/child-process.ts';
import { readControlPlaneData } from '../run/control-plane-data.ts';
import { freePorts } from '../run/free-port.ts';
import { proxyEnvironment } from '../run/proxy-environment.ts';
import type { SidecarPort, SidecarSettings } from '../run/sidecar-bootstrap.ts';
import { SidecarProcess } from '../run/sidecar-process.ts';

/**
 * `weft run --service reviews --version v2 --port 9080 -- node app.js`: a sidecar in explicit mode beside the app. The
 * app starts when the sidecar is ready, with HTTP_PROXY pointing at it; when the app ends, so does the sidecar, after
 * its drain, and the app's exit code is ours.
 */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal, env } = context;
  const [command, ...commandArgs] = args;
  if (command === undefined) {
    throw new CommandError(
      'no app to run',
      'put it behind --: weft run --service s --port 9080 -- node app.js',
      ExitCode.Usage,
    );
  }
  const service = String(options['service'] ?? '');
  const portFlags = (options['port'] as readonly string[] | undefined) ?? [];
  if (service === '' && portFlags.length > 0) {
    throw new CommandError(
      '--port needs --service',
      'name the service that the app is an instance of',
      ExitCode.Usage,
    );
  }
  const address = String(options['address']);
  const free = await freePorts(portFlags.length * 2 + 4);
  const take = () => free.pop()!;
  const ports = readPorts(context, portFlags, address, take);
  const version = String(options['version']);
  const workload = String(options['name'] ?? (service === '' ? 'client' : `${service}-${version}`));
  const serviceAccount = String(options['serviceAccount'] ?? (service === '' ? workload : service));
  const namespace = namespaceOption(options);
  const directory = mkdtempSync(join(tmpdir(), 'weft-run-'));
  let sidecar: SidecarProcess | undefined;
  let app: Child | undefined;
  const stop = (signal: NodeJS.Signals) => {
    if (app !== undefined) app.kill(signal);
    else void sidecar?.stop().then(() => process.exit(ExitCode.Failure));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    const controlPlane = await findControlPlane(context, directory, namespace, serviceAccount);
    const outbound = String(options['outbound'] ?? `127.0.0.1:${take()}`);
    sidecar = new SidecarProcess({
      settings: {
        workload,
        namespace,
        serviceAccount,
        service,
        labels: readLabels(context, { app: service === '' ? workload : service, version }),
        ports: ports.map(({ sidecarPort }) => sidecarPort),
        address,
        outbound,
        admin: `127.0.0.1:${take()}`,
        readiness: `127.0.0.1:${take()}`,
        prometheus: `127.0.0.1:${take()}`,
        ...controlPlane,
        stateDirectory:
          options['stateDir'] === undefined ? '' : resolve(String(options['stateDir'])),
        probe: String(options['probe']),
      },
      directory,
      logLevel: String(options['logLevel']),
      logFile: String(options['sidecarLog'] ?? ''),
      onRestart: (code) => terminal.talk(`weft: the sidecar ended with ${code}; it starts again\n`),
    });
    const { admin, prometheus } = sidecar.settings;
    terminal.talk(
      `weft: sidecar of ${workload}: proxy ${outbound}, admin ${admin}, metrics ${prometheus}\n`,
    );
    await sidecar.ready(READY_TIMEOUT_MS).catch((error: Error) => {
      throw new CommandError(
        error.message,
        'is the control plane up, and does the join token fit?',
      );
    });
    app = Child.start(command, commandArgs, {
      stdio: 'inherit',
      env: { ...appEnvironment(env), ...proxyEnvironment(outbound), ...(ports[0]?.env ?? {}) },
    });
    const { code } = await app.ended;
    if (code === 127) terminal.talk(`weft: ${command} could not be started\n`);
    return code;
  } finally {
    await sidecar?.stop();
    for (const signal of signals) process.off(signal, stop);
    rmSync(directory, { recursive: true, force: true });
  }
};

/** The environment as the person gave it: without the cache that ./weft sets for itself. */
function appEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: cache, ...rest } = env;
  return cache === undefined || cache.endsWith('node_modules/.cache/weft') ? rest : env;
}

const READY_TIMEOUT_MS = 30_000;
const PROTOCOLS = ['http', 'tcp', 'https', 'tls'];

interface RunPort {
  readonly sidecarPort: SidecarPort;
  readonly env: Readonly<Record<string, string>>;
}

function readPorts(
  { options }: CommandContext,
  flags: readonly string[],
  address: string,
  take: () => number,
): RunPort[] {
  const appPorts = (options['appPort'] as readonly string[] | undefined) ?? [];
  if (appPorts.length > flags.length) {
    throw new CommandError(
      'more --app-port than --port',
      'give one for each --port, in the same order',
      ExitCode.Usage,
    );
  }
  return flags.map((flag, index) => {
    const match = /^(\d{1,5})(?::([a-z]+))?$/.exec(flag);
    const number = Number(match?.[1]);
    const protocol = match?.[2] ?? 'http';
    if (match === null || number < 1 || number > 65_535 || !PROTOCOLS.includes(protocol)) {
      const hint = `write it as 9080 or 5432:tcp; protocols are ${PROTOCOLS.join(', ')}`;
      throw new CommandError(`--port ${flag} is not a port`, hint, ExitCode.Usage);
    }
    const asked = appPorts[index];
    const appPort = asked === 'auto' ? take() : Number(asked ?? number);
    if (!Number.isInteger(appPort) || appPort < 1 || appPort > 65_535) {
      throw new CommandError(
        `--app-port ${asked} is not a port`,
        'a number, or auto',
        ExitCode.Usage,
      );
    }
    return {
      sidecarPort: {
        number,
        protocol,
        listen: `${address}:${take()}`,
        app: `127.0.0.1:${appPort}`,
      },
      env: { PORT: String(appPort) },
    };
  });
}

function readLabels(
  { options }: CommandContext,
  labels: Readonly<Record<string, string>>,
): Record<string, string> {
  const all: Record<string, string> = { ...labels };
  for (const text of (options['label'] as readonly string[] | undefined) ?? []) {
    const equals = text.indexOf('=');
    if (equals <= 0) {
      throw new CommandError(`--label ${text} is not key=value`, '', ExitCode.Usage);
    }
    all[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return all;
}

/** Root and token: given, or taken from the data directory of a control plane on this machine. */
async function findControlPlane(
  { options }: CommandContext,
  directory: string,
  namespace: string,
  serviceAccount: string,
): Promise<
  Pick<SidecarSettings, 'controlPlane' | 'rootCertFile' | 'joinTokenFile' | 'trustDomain'>
> {
  const { rootCert, joinTokenFile } = options;
  if (rootCert !== undefined && joinTokenFile !== undefined) {
    return {
      controlPlane: String(options['controlPlane']),
      rootCertFile: resolve(String(rootCert)),
      joinTokenFile: resolve(String(joinTokenFile)),
      trustDomain: String(options['trustDomain'] ?? ''),
    };
  }
  const data = readControlPlaneData(String(options['data']));
  const api = new ApiClient({ server: `http://${data.api}`, token: '' });
  const { token } = await api.request<{ token: string }>('POST', '/weft/v1/tokens', {
    namespace,
    serviceAccount,
    ttlSeconds: 86_400,
  });
  const file = join(directory, 'join-token');
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return {
    controlPlane: data.xds,
    rootCertFile: resolve(data.rootCertFile),
    joinTokenFile: file,
    trustDomain: data.trustDomain,
  };
}
