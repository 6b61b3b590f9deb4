import { writeJson } from '../../proto/json.ts';
import type { AdminSource, JsonObject } from '../admin/admin-source.ts';
import { clusterStatuses } from '../admin/cluster-status.ts';
import type { ListenerManager } from '../listener/listener-manager.ts';
import type { AccessLogFiles } from '../observe/access-log-file.ts';
import type { InMemorySecretStore } from '../tls/secret-store.ts';
import type { LiveClusterManager } from '../upstream/cluster-manager.ts';
import type { Bootstrap } from '../xds/bootstrap/bootstrap.ts';
import { configDump } from '../xds/config-dump.ts';
import type { DynamicResources } from '../xds/dynamic-resources.ts';

export interface AdminViewOptions
  extends Pick<AdminSource, 'state' | 'readiness' | 'setHealthCheck' | 'quit'> {
  readonly bootstrap: Bootstrap;
  /** Of the bootstrap's file, or ''. */
  readonly fileName: string;
  readonly version: string;
  /** Wall clock. */
  readonly startedMs: number;
  readonly wallClockMs: () => number;
  readonly clusters: LiveClusterManager;
  readonly listeners: ListenerManager;
  readonly secrets: InMemorySecretStore;
  readonly accessLogs: AccessLogFiles;
  /** What the control plane has sent; null before there is a session. */
  readonly resources: () => DynamicResources | null;
}

/** The parts of a proxy as the admin port shows and moves them. */
export function adminView(options: AdminViewOptions): AdminSource {
  const { bootstrap, clusters, listeners, secrets, startedMs, state, readiness } = options;
  const isStatic = (name: string) => bootstrap.clusters.some(({ config }) => config.name === name);
  return {
    state,
    readiness,
    serverInfo: () => ({
      version: options.version,
      uptimeMs: options.wallClockMs() - startedMs,
      node: writeJson('envoy.config.core.v3.Node', bootstrap.node) as JsonObject,
      configPath: options.fileName,
    }),
    configDump: ({ includeEndpoints }) => {
      const resources = options.resources();
      const dumped = { bootstrap, startedMs, resources, secrets: secretPems(secrets) };
      return configDump(dumped, includeEndpoints) as Iterable<JsonObject>;
    },
    clusters: () => clusterStatuses(clusters, isStatic),
    listeners: () => listenerStatuses(listeners),
    certificates: () => certificateStatuses(secrets),
    drainListeners: ({ graceful, inboundOnly }) => {
      for (const listener of listeners.listeners.values()) {
        if (inboundOnly && listener.config.direction !== 'INBOUND') continue;
        listener.drain();
        if (!graceful) listener.stopAccepting();
      }
    },
    setHealthCheck: options.setHealthCheck,
    reopenLogs: () => options.accessLogs.reopen(),
    quit: options.quit,
  };
}

function* secretPems(secrets: InMemorySecretStore) {
  for (const name of secrets.names) {
    const certificateChainPem = secrets.certificate(name)?.certificateChainPem ?? '';
    const trustedCaPem = secrets.validation(name)?.trustedCaPem ?? '';
    yield { name, certificateChainPem, trustedCaPem };
  }
}

function* certificateStatuses(secrets: InMemorySecretStore) {
  for (const { name, ...pems } of secretPems(secrets)) yield { path: name, ...pems };
}

function* listenerStatuses({ listeners }: ListenerManager) {
  for (const { name, allBound } of listeners.values()) {
    for (const { address, port } of allBound) yield { name, address, port };
  }
}
