import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  type ServerCredentials as Credentials,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { IstioCertificateServiceService } from '../proto/gen/istio/v1/auth/ca.ts';
import { startWebhooks } from './admission/start-webhooks.ts';
import { ApiRoutes } from './api/api-routes.ts';
import { createApiServer } from './api/api-server.ts';
import { Authenticator, type Caller } from './auth/authenticator.ts';
import { JoinTokens } from './auth/join-token.ts';
import { Authority } from './ca/authority.ts';
import { writeFileAtomic } from './ca/authority-files.ts';
import { addAuthorityRoutes } from './ca/authority-routes.ts';
import { authorityInFiles } from './ca/authority-source.ts';
import { certificateService } from './ca/certificate-service.ts';
import { IssueRateLimit } from './ca/issue-rate-limit.ts';
import { ServerCertificate } from './ca/server-certificate.ts';
import type { ControlPlaneClock, ControlPlaneOptions } from './control-plane-options.ts';
import { KINDS } from './kinds/kind-registry.ts';
import { KubernetesMode } from './kubernetes-mode.ts';
import {
  formatListenAddress,
  isLoopback,
  isUnspecified,
  type ListenAddress,
} from './listen-address.ts';
import { listening } from './listening.ts';
import { LiveMesh } from './mesh/live-mesh.ts';
import { registerInformerMetrics } from './monitoring/informer-metrics.ts';
import { ControlPlaneMetrics } from './monitoring/metrics.ts';
import { createMonitoringServer } from './monitoring/monitoring-server.ts';
import { type Kubernetes, openKubernetes } from './open-kubernetes.ts';
import { StartError } from './start-error.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import { parseProxyView } from './translate/proxy-view.ts';
import { translate } from './translate/resource-set.ts';
import { DiscoveryServer } from './xds/discovery-server.ts';
import { DISCOVERY_SERVICE } from './xds/discovery-service.ts';
import { createGrpcServer } from './xds/grpc-server.ts';
import { addProxyRoutes } from './xds/proxy-routes.ts';

export interface ControlPlane {
  /** `host:port` of each port. */
  readonly addresses: {
    readonly xds: string;
    readonly api: string;
    readonly monitoring: string;
    readonly plaintextXds: string | null;
    readonly webhooks: string | null;
  };
  /** Reads the authority again, its files or its Secret (SIGHUP). Rejects and changes nothing where they are not usable. */
  reloadAuthority(): Promise<void>;
  /** Ends streams with UNAVAILABLE, finishes requests, closes the store. */
  close(): Promise<void>;
}

/** Milliseconds that a server's last requests may take while it closes. */
const CLOSE_GRACE_MS = 2000;

/**
 * Puts the parts together: store and registries feed the snapshot, the snapshot feeds discovery; the authority signs
 * for whom the credentials name. Rejects with a message for people where something is not usable: a port, the data directory,
 * the store, the authority. `signal` calls off the wait for a cluster that is away (`CalledOff`).
 */
export async function startControlPlane(
  options: ControlPlaneOptions,
  clock: ControlPlaneClock,
  log: Logger,
  signal: AbortSignal = new AbortController().signal,
): Promise<ControlPlane> {
  const directory = resolve(options.dataDirectory);
  const file = (...names: string[]) => join(directory, ...names);
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) {
      try {
        await closer();
      } catch (error) {
        log.error({ err: error }, 'a part did not stop cleanly');
      }
    }
  };
  try {
    if (!isLoopback(options.api.host) && options.apiToken === undefined) {
      throw new StartError(
        `--api ${formatListenAddress(options.api)} is not on loopback: callers need a token; give --api-token-file, or listen on 127.0.0.1`,
      );
    }
    makeDirectory(directory);
    const { trustDomain } = options.mesh;
    const monotonic = { nowMs: clock.monotonicMs, schedule: clock.schedule };
    const metrics = new ControlPlaneMetrics();
    const kubernetes = openKubernetes(options, clock, log);
    closers.push(() => kubernetes?.close());
    const cluster = openCluster(kubernetes, options, clock, log, signal);
    if (cluster !== null) closers.push(() => cluster.close());
    const source = cluster?.authority ?? authorityInFiles(file('ca'), trustDomain, clock.wallMs);
    const content = await source.read();
    let authority = await Authority.open(content.material, clock.wallMs);
    metrics.rootExpires(authority.notAfterMs);
    const tokens = new JoinTokens(content.tokenKey, trustDomain, clock.wallMs);
    const authenticator = new Authenticator(
      tokens,
      [trustDomain, ...options.trustDomainAliases],
      kubernetes?.tokenReview ?? null,
    );
    const authenticate = (call: AnyCall): Promise<Caller> =>
      authenticator.authenticate({
        peerCertificate: call.getAuthContext().sslPeerCertificate?.raw ?? null,
        authorization: String(call.metadata.get('authorization')[0] ?? ''),
      });

    const clusterStore = cluster === null ? null : await cluster.openStore();
    const store =
      clusterStore ?? openSqliteStore({ file: file('weft.db'), newIdentity: randomUUID });
    closers.push(() => store.close());
    const mesh = new LiveMesh({
      store,
      cluster: kubernetes,
      mesh: options.mesh,
      debounce: options.debounce,
      registrationFile: file('registrations.json'),
      registrationLeaseMs: options.registrationLeaseMs,
      clock: monotonic,
      wallMs: clock.wallMs,
      mayWrite: () => cluster?.mayWrite() ?? true,
      onBuilt: () => cluster?.meshBuilt(),
      metrics,
      log,
    });
    closers.push(() => mesh.close());
    const discovery = new DiscoveryServer({
      clock: monotonic,
      wallNowMs: clock.wallMs,
      parseView: (node) => parseProxyView(node, options.mesh),
      translate,
      registrations: mesh.registrations,
      metrics,
      log,
    });
    closers.push(() => discovery.close());
    if (kubernetes !== null) {
      registerInformerMetrics(metrics.registry, kubernetes.registry.informers, clock.monotonicMs);
    }
    await mesh.start((snapshot) => discovery.publish(snapshot));

    const serverCertificate = await ServerCertificate.open({
      authority: () => authority,
      trustDomain,
      names: [
        ...options.serverNames,
        ...(cluster?.serverNames ?? []),
        ...[options.xds, options.webhooks]
          .filter((listen) => listen !== null && !isUnspecified(listen))
          .map((listen) => listen!.host),
      ],
      ttlMs: options.workloadCertTtlMs,
      schedule: clock.schedule,
      log,
    });
    closers.push(() => serverCertificate.close());
    const reloadAuthority = async (): Promise<void> => {
      const { material, tokenKey } = await source.read();
      const next = await Authority.open(material, clock.wallMs);
      tokens.useKey(tokenKey);
      authority = next;
      metrics.rootExpires(next.notAfterMs);
      writeFileAtomic(file('root-cert.pem'), next.rootsPem, 0o644);
      // Who has to trust the new certificate hears of its root first.
      cluster?.rootsChanged();
      await serverCertificate.renew();
      log.info({ notAfter: new Date(next.notAfterMs) }, 'authority read again');
    };

    const certificates = certificateService({
      authority: () => authority,
      authenticate,
      rateLimit: new IssueRateLimit(clock.monotonicMs),
      workloadTtlMs: options.workloadCertTtlMs,
      log,
      count: (outcome) => metrics.certificateRequest(outcome),
    });
    const grpc = async (
      flag: string,
      listen: ListenAddress,
      credentials: Credentials,
      services: Parameters<typeof createGrpcServer>[0]['services'],
    ): Promise<string> => {
      const server = await listening(flag, listen, () =>
        createGrpcServer({ listen, credentials, services }),
      );
      closers.push(() => server.close(CLOSE_GRACE_MS));
      return formatListenAddress(server.address);
    };
    const xds = await grpc('--xds', options.xds, serverCertificate.credentials, [
      [DISCOVERY_SERVICE, discovery.service(authenticate)],
      [IstioCertificateServiceService, certificates],
    ]);
    const plaintextXds = await startPlaintext(options.plaintextXds, (listen) =>
      grpc('--plaintext-xds', listen, ServerCredentials.createInsecure(), [
        [DISCOVERY_SERVICE, discovery.service(async () => null)],
      ]),
    );

    let webhooks: string | null = null;
    if (options.webhooks !== null) {
      const listen = options.webhooks;
      const started = await listening('--webhooks', listen, () =>
        startWebhooks({
          listen,
          settingsFile: options.injectionSettings,
          settingsDefaults: {
            trustDomain,
            ...(cluster !== null && { controlPlane: cluster.xdsAddress }),
          },
          namespaces: cluster?.namespaceLabels ?? null,
          followKeyPair: (listener) => serverCertificate.follow(listener),
          registry: metrics.registry,
          nowMs: clock.monotonicMs,
          schedule: clock.schedule,
          log,
        }),
      );
      closers.push(() => started.close());
      webhooks = started.address;
    }

    const notReady = (): string | undefined => mesh.notReady();
    const routes = new ApiRoutes();
    addProxyRoutes(routes, { sessions: () => discovery.sessions, controlPlane: 'weft' });
    addAuthorityRoutes(routes, {
      authority: () => authority,
      tokens,
      nowMs: clock.wallMs,
      reload: reloadAuthority,
      log,
    });
    const api = await listening('--api', options.api, () =>
      createApiServer({
        store,
        kinds: KINDS,
        listen: options.api,
        token: options.apiToken,
        now: clock.wallMs,
        logger: log,
        routes,
        version: options.version,
        notReady,
      }),
    );
    closers.push(() => api.close());
    const monitoring = await listening('--monitoring', options.monitoring, () =>
      createMonitoringServer({
        listen: options.monitoring,
        registry: metrics.registry,
        notReady,
      }),
    );
    closers.push(() => monitoring.close());
    // Streams hear UNAVAILABLE before their servers stop taking requests.
    closers.push(() => discovery.close());
    if (cluster !== null && clusterStore !== null) {
      cluster.startControllers({
        rootsPem: () => authority.rootsPem,
        reloadAuthority,
        findings: () => mesh.findings(),
        store: clusterStore,
        registry: metrics.registry,
        onLead: () => mesh.leads(),
      });
      // First to go: another replica need not wait to lead.
      closers.push(() => cluster.close());
    }

    const addresses = {
      xds,
      api: formatListenAddress(api.address),
      monitoring: formatListenAddress(monitoring.address),
      plaintextXds,
      webhooks,
    };
    writeFileAtomic(file('root-cert.pem'), authority.rootsPem, 0o644);
    writeFileAtomic(
      file('control-plane.json'),
      `${JSON.stringify({ addresses, trustDomain }, null, 2)}\n`,
      0o644,
    );
    return { addresses, reloadAuthority, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function openCluster(
  kubernetes: Kubernetes | null,
  { store, replica, mesh }: ControlPlaneOptions,
  clock: ControlPlaneClock,
  log: Logger,
  signal: AbortSignal,
): KubernetesMode | null {
  if (store === 'sqlite') return null;
  if (kubernetes === null) {
    throw new StartError('--store kubernetes needs a cluster: give --kubernetes as well');
  }
  const { trustDomain, domain } = mesh;
  const dependencies = { clock, newIdentity: randomUUID, trustDomain, domain, log, signal };
  return new KubernetesMode(kubernetes.client, replica, dependencies);
}

type AnyCall = ServerUnaryCall<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StartError(
      `the data directory ${directory} cannot be used: ${(error as Error).message}; name another with --data`,
    );
  }
}

async function startPlaintext(
  listen: ListenAddress | null,
  start: (listen: ListenAddress) => Promise<string>,
): Promise<string | null> {
  if (listen === null) return null;
  if (!isLoopback(listen.host)) {
    throw new StartError(
      `--plaintext-xds ${formatListenAddress(listen)} is not on loopback: it asks nobody who they are; use 127.0.0.1`,
    );
  }
  return start(listen);
}
