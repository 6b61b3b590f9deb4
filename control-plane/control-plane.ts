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
import { AggregatedDiscoveryServiceService } from '../proto/gen/envoy/service/discovery/v3/ads.ts';
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
import { KINDS } from './kinds/kind-registry.ts';
import { KubernetesMode, type ReplicaOptions } from './kubernetes-mode.ts';
import { formatListenAddress, isLoopback, type ListenAddress } from './listen-address.ts';
import type { MeshOptions } from './mesh/mesh-options.ts';
import { PolicyWatch } from './mesh/policy-watch.ts';
import { buildSnapshot, changeBetween, type MeshSnapshot } from './mesh/snapshot.ts';
import { registerInformerMetrics } from './monitoring/informer-metrics.ts';
import { ControlPlaneMetrics } from './monitoring/metrics.ts';
import { createMonitoringServer } from './monitoring/monitoring-server.ts';
import { type Kubernetes, type KubernetesOptions, openKubernetes } from './open-kubernetes.ts';
import { AddressAllocator } from './registry/address-allocator.ts';
import { RegistrationFile } from './registry/registration-file.ts';
import { WorkloadRegistrations } from './registry/workload-registrations.ts';
import { StartError } from './start-error.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import { parseProxyView } from './translate/proxy-view.ts';
import { translate } from './translate/resource-set.ts';
import { Debounce, type DebounceOptions } from './xds/debounce.ts';
import { DiscoveryServer } from './xds/discovery-server.ts';
import { createGrpcServer } from './xds/grpc-server.ts';
import { addProxyRoutes } from './xds/proxy-routes.ts';

export interface ControlPlaneOptions {
  /** Everything that is kept: policies, the authority, registrations. Made with mode 0700. */
  readonly dataDirectory: string;
  readonly xds: ListenAddress;
  readonly api: ListenAddress;
  readonly monitoring: ListenAddress;
  /** Discovery without identity, on loopback only; null = none. */
  readonly plaintextXds: ListenAddress | null;
  readonly mesh: MeshOptions;
  /** Where services, pods and their identities come from besides; null = from no cluster. */
  readonly kubernetes: KubernetesOptions | null;
  /** Further trust domains whose identities count as the mesh's own (SC-03). */
  readonly trustDomainAliases: readonly string[];
  /** Further host names and addresses in the certificate of the xDS port. */
  readonly serverNames: readonly string[];
  /** Milliseconds; longest and usual life of a workload's certificate. */
  readonly workloadCertTtlMs: number;
  /** Milliseconds that an endpoint outlives its sidecar's stream (DS-04). */
  readonly registrationLeaseMs: number;
  readonly debounce: DebounceOptions;
  /**
   * Where policies are kept, and with them the authority: in the data directory of the one control plane, or in the cluster,
   * which several replicas share.
   */
  readonly store: 'sqlite' | 'kubernetes';
  /** With `store` kubernetes. */
  readonly replica: ReplicaOptions;
  /** Admission webhooks; null = none. */
  readonly webhooks: ListenAddress | null;
  /** YAML file with what the webhook injects; null = defaults. */
  readonly injectionSettings: string | null;
  /** Bearer token of the API; needed where it does not listen on loopback. */
  readonly apiToken: string | undefined;
  readonly version: string;
}

/** Time and chance, chosen by `main.ts`. */
export interface ControlPlaneClock {
  /** Wall clock, milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Milliseconds, above 0. */
  readonly monotonicMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

export interface ControlPlane {
  /** `host:port` of each port. */
  readonly addresses: {
    readonly xds: string;
    readonly api: string;
    readonly monitoring: string;
    readonly plaintextXds: string | null;
    readonly webhooks: string | null;
  };
  /** Reads the authority's files again (SIGHUP). Rejects and changes nothing where they are not usable. */
  reloadAuthority(): Promise<void>;
  /** Ends streams with UNAVAILABLE, finishes requests, closes the store. */
  close(): Promise<void>;
}

/** Milliseconds that what was registered before a restart is kept: the longest back-off of a sidecar, twice. */
const RESTART_LEASE_MS = 60_000;
/** Milliseconds that sidecars get to register again where it is not known who was there. */
const REGISTRATION_WAIT_MS = 15_000;
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
    const registrations = new WorkloadRegistrations({
      clock: { nowMs: clock.wallMs, schedule: clock.schedule },
      domain: options.mesh.domain,
      leaseMs: options.registrationLeaseMs,
    });
    const registrationFile = new RegistrationFile(
      file('registrations.json'),
      () => ({ registrations: registrations.export(), slots: allocator.slots }),
      (error) => log.error({ err: error }, 'registrations could not be written down'),
    );
    const known = registrationFile.read();
    if (!('problem' in known)) registrations.restore(known.registrations, RESTART_LEASE_MS);
    closers.push(async () => {
      registrations.close();
      await registrationFile.flush();
    });

    const discovery = new DiscoveryServer({
      clock: { nowMs: clock.monotonicMs, schedule: clock.schedule },
      wallNowMs: clock.wallMs,
      parseView: (node) => parseProxyView(node, options.mesh),
      translate,
      registrations,
      metrics,
      log,
    });
    closers.push(() => discovery.close());

    let snapshot: MeshSnapshot | undefined;
    /** Whether the snapshot knows all policies that are known. */
    let isCurrent = false;
    const rebuild = (): void => {
      const registries = [allocator.registered()];
      if (kubernetes !== null) registries.push(kubernetes.registry.read());
      const inputs = { ...policies.read(), registries };
      const next = buildSnapshot(inputs, options.mesh, snapshot);
      const change = snapshot === undefined ? null : changeBetween(snapshot, next);
      isCurrent = true;
      cluster?.meshBuilt();
      if (change?.kind === 'none') return;
      snapshot = next;
      metrics.meshIs({
        services: next.directory.services.length,
        virtualServices: next.virtualServices.all.length,
        warnings: next.warnings.length,
      });
      log.debug({ sequence: next.sequence, change: change?.kind ?? 'first' }, 'pushing');
      discovery.publish(next);
    };
    const debounce = new Debounce(
      { nowMs: clock.monotonicMs, schedule: clock.schedule },
      options.debounce,
      () => {
        try {
          rebuild();
        } catch (error) {
          metrics.internalError();
          log.error({ err: error }, 'the mesh could not be built; the one before stays');
        }
      },
    );
    closers.push(() => debounce.close());
    let isRegistrationKnown = !('problem' in known);
    // A part of the mesh must not be taken for the whole.
    const mayPublish = (): boolean =>
      isRegistrationKnown && (kubernetes === null || kubernetes.registry.synced);
    const changed = (): void => {
      isCurrent = false;
      if (mayPublish()) debounce.trigger();
    };
    const policies = new PolicyWatch({
      store,
      onChange: () => {
        allocator.changed();
        changed();
      },
      onProblem: (fields, message) => log.error(fields, message),
      schedule: clock.schedule,
    });
    closers.push(() => policies.close());
    const allocator = new AddressAllocator({
      store,
      serviceEntries: () => policies.read().serviceEntries,
      registered: () => registrations.read(),
      mayWrite: () => cluster?.mayWrite() ?? true,
      onSlots: () => registrationFile.changed(),
      onProblem: (fields, message) => log.error(fields, message),
      schedule: clock.schedule,
    });
    if (!('problem' in known)) allocator.restore(known.slots);
    closers.push(() => {
      allocator.close();
      return allocator.settled();
    });
    await policies.start();
    allocator.changed();
    registrations.onChange(() => {
      registrationFile.changed();
      changed();
    });
    if (kubernetes !== null) {
      registerInformerMetrics(metrics.registry, kubernetes.registry.informers, clock.monotonicMs);
      kubernetes.registry.onChange(changed);
      kubernetes.registry.start();
      void kubernetes.registry.whenSynced().then(() => {
        log.info({ cluster: kubernetes.client.address }, 'the cluster is known');
        changed();
      });
    }
    if (mayPublish()) rebuild();
    if ('problem' in known) {
      log.error(
        known,
        `who was registered is not known: discovery waits ${REGISTRATION_WAIT_MS / 1000} s for sidecars to come back`,
      );
      closers.push(
        clock.schedule(REGISTRATION_WAIT_MS, () => {
          isRegistrationKnown = true;
          changed();
        }),
      );
    }

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
      [AggregatedDiscoveryServiceService, discovery.service(authenticate)],
      [IstioCertificateServiceService, certificates],
    ]);
    const plaintextXds = await startPlaintext(options.plaintextXds, (listen) =>
      grpc('--plaintext-xds', listen, ServerCredentials.createInsecure(), [
        [AggregatedDiscoveryServiceService, discovery.service(async () => null)],
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
            ...(cluster !== null && { controlPlane: `${cluster.serverNames[1]}:15012` }),
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

    const notReady = (): string | undefined => {
      if (snapshot !== undefined) return undefined;
      if (kubernetes === null || kubernetes.registry.synced) return 'the mesh is not known yet';
      const waiting = kubernetes.registry.informers.find(({ synced }) => !synced)!;
      const reason = waiting.stats.problem || 'they are being listed';
      return `${waiting.type.plural} of the cluster are not known yet: ${reason}`;
    };
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
        findings: () =>
          snapshot !== undefined && isCurrent
            ? { warnings: snapshot.warnings, refusals: policies.refusals() }
            : null,
        store: clusterStore,
        registry: metrics.registry,
        onLead: () => allocator.changed(),
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

async function listening<T>(
  flag: string,
  listen: ListenAddress,
  start: () => Promise<T>,
): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === 'WEFT_INJECTION_SETTINGS') throw error; // its message says it all
    const address = formatListenAddress(listen);
    const isTaken = code === 'EADDRINUSE' || message.includes('EADDRINUSE');
    throw new StartError(
      isTaken
        ? `${address} is in use by another process; stop it, or choose another with ${flag} host:port`
        : `cannot listen on ${address} (${flag}): ${message}`,
    );
  }
}

function isUnspecified({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}
