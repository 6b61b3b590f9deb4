import { AdminServer } from '../admin/admin-server.ts';
import type { AdminSource } from '../admin/admin-source.ts';
import { MetricsServer } from '../admin/metrics-server.ts';
import { ReadinessServer } from '../admin/readiness-server.ts';
import type { Loggers } from '../observe/logger.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import type { AppEndpoints } from '../status/status-environment.ts';
import type { HostPort } from '../tcp/socket-address.ts';
import type { Bootstrap } from '../xds/bootstrap/bootstrap.ts';
import { StartError } from './start-error.ts';

export interface ServerPortsOptions {
  readonly bootstrap: Bootstrap;
  readonly source: AdminSource;
  readonly registry: StatsRegistry;
  readonly loggers: Loggers;
  readonly wallClockMs: () => number;
  /** What the status port knows of the app. */
  readonly appEndpoints: AppEndpoints;
  /** POST /drain of the status port. */
  readonly onDrain: () => void;
  /** POST /quitquitquit of the status port. */
  readonly onStop: () => void;
}

type Closer = () => Promise<void> | void;

/**
 * Opens the ports that are for operators: admin, readiness, metrics and status, those of them that the bootstrap names.
 * Each open one adds its end to `closers`. Rejects where one cannot listen.
 */
export async function openServerPorts(
  options: ServerPortsOptions,
  closers: Closer[],
): Promise<void> {
  const { bootstrap, source, registry, loggers, wallClockMs } = options;
  const { admin, settings } = bootstrap;
  const servers = [
    [admin, () => new AdminServer({ source, registry, loggers, nowMs: wallClockMs })],
    [settings.readiness, () => new ReadinessServer(() => source.readiness())],
    [settings.prometheus, () => new MetricsServer(registry)],
  ] as const;
  for (const [address, make] of servers) {
    if (address === null) continue;
    const server = make();
    await server.listen(address);
    closers.push(() => server.close());
  }
  if (settings.status !== null) closers.push(await openStatusPort(options, settings.status));
}

/** Port 15020; loaded where there is one. */
async function openStatusPort(
  { bootstrap, source, registry, loggers, appEndpoints, onDrain, onStop }: ServerPortsOptions,
  address: HostPort,
): Promise<Closer> {
  const { admin, settings, node } = bootstrap;
  const [{ StatusServer }, { ownPorts }, { refusedTargets }, { appAddress }] = await Promise.all([
    import('../status/status-server.ts'),
    import('../status/own-ports.ts'),
    import('../status/scrape-target.ts'),
    import('../status/app-address.ts'),
  ]);
  const mode = String(node.metadata?.['WEFT_MODE'] ?? '');
  const bound = [
    [admin, 'the admin port of the sidecar'],
    [settings.readiness, 'the readiness port of the sidecar'],
    [settings.prometheus, "the sidecar's own metrics, which are merged already"],
    [address, 'the status port of the sidecar, which is this page itself'],
  ] as const;
  const ports = ownPorts(
    mode,
    bound.flatMap(([at, what]) => (at === null ? [] : [[at.port, what] as const])),
  );
  const refused = refusedTargets(appEndpoints.targets, ports);
  if (refused.length > 0) {
    throw new StartError(refused.map((each) => `${appEndpoints.targetsVariable}: ${each}`));
  }
  const addresses = String(node.metadata?.['INSTANCE_IPS'] ?? '').split(',');
  const server = new StatusServer({
    readiness: () => source.readiness(),
    registry,
    app: appAddress(mode, addresses[0] ?? ''),
    ...appEndpoints,
    ownPorts: ports,
    drain: onDrain,
    quit: onStop,
    log: loggers.get('status'),
  });
  await server.listen(address);
  return () => server.close();
}
