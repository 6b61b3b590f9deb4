import { credentials } from '@grpc/grpc-js';
import type { Resource } from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { messageNameOf } from '../../proto/type-urls.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { grpcServerName } from '../tls/grpc-server-name.ts';
import { AdsClient, type AdsClientLog, type Health, RESOURCE_MISSING_MS } from './ads-client.ts';
import type { Bootstrap } from './bootstrap/bootstrap.ts';
import type { ControlPlaneAddress } from './bootstrap/control-plane-address.ts';
import type { CompileContext } from './compile/compile-context.ts';
import { type ConfigTarget, DynamicResources } from './dynamic-resources.ts';
import { type ChannelSettings, GrpcAdsTransport } from './grpc-ads-transport.ts';
import { KEPT_TYPES, type KeptResource, LastKnownGood } from './last-known-good.ts';
import type { Timers } from './timers.ts';

/** Milliseconds that a start waits for the control plane before it takes the copy on disk. */
const FIRST_ANSWER_MS = 2000;

/** How this proxy shows who it is; asked at each connection attempt. */
export interface ControlPlaneCredential {
  /** The workload's certificate, or null while there is none. */
  readonly certificate: () => {
    readonly certificateChainPem: string;
    readonly privateKeyPem: string;
  } | null;
  /** Join token, or ''. */
  readonly token: () => string;
  /** PEM roots to verify the server against; '' = the roots of the system. */
  readonly rootCertsPem: () => string;
}

export interface ControlPlaneSessionOptions {
  readonly bootstrap: Bootstrap;
  readonly address: ControlPlaneAddress;
  readonly credential: ControlPlaneCredential;
  readonly target: ConfigTarget;
  readonly context: CompileContext;
  readonly timers: Timers;
  readonly random: () => number;
  readonly stats: StatsRegistry;
  readonly log: AdsClientLog & { error(fields: object, message: string): void };
  /** Secrets that never come over the wire. */
  readonly localSecrets: ReadonlySet<string>;
  /** Told when the taking of a response begins; the answer is called when it ends. */
  readonly onTaking: () => () => void;
}

/**
 * All that a sidecar does with its control plane over one ADS stream: takes configuration from it, keeps the last
 * good one on disk, and tells it how the app is.
 */
export class ControlPlaneSession {
  readonly resources: DynamicResources;
  readonly #options: ControlPlaneSessionOptions;
  readonly #client: AdsClient;
  readonly #lastGood: LastKnownGood | null;
  #cancelFirstAnswer: () => void = () => {};
  #cancelWarming: () => void = () => {};
  #answered = false;
  #loaded = false;
  #waiting = false;
  #closed = false;

  constructor(options: ControlPlaneSessionOptions) {
    this.#options = options;
    const { bootstrap, target, context, timers, log, stats } = options;
    const connected = stats.gauge('weft_xds_connected', '1 while the control plane answers');
    this.resources = new DynamicResources({
      target,
      context,
      now: () => timers.now(),
      localSecrets: options.localSecrets,
      onTaking: options.onTaking,
      onNames: (typeUrl, names) => this.#client.setNames(typeUrl, names),
      onChange: () => this.#lastGood?.changed(),
      onLateProblem: (listener, problem) => {
        log.error({ listener, problem }, 'a listener could not be opened');
      },
    });
    this.#client = new AdsClient({
      transport: new GrpcAdsTransport(options.address.target, () => this.#channelSettings()),
      node: bootstrap.node,
      handler: {
        apply: (typeUrl, resources, removed) => this.#apply(typeUrl, resources, removed),
        missing: (typeUrl, names) => {
          log.warn({ typeUrl, names }, 'the control plane has no such resource');
          this.resources.missing(typeUrl, names);
        },
      },
      timers,
      random: options.random,
      log,
      clusters: bootstrap.dynamicClusters,
      listeners: bootstrap.dynamicListeners,
      names: bootstrap.settings.dns !== null,
      onConnected: (isConnected) => {
        connected.set(isConnected ? 1 : 0);
        if (isConnected)
          log.info({ target: options.address.target }, 'connected to the control plane');
        else if (!this.#answered) void this.#useLastGood();
      },
    });
    this.#lastGood = this.#makeLastGood();
  }

  start(): void {
    const { timers, bootstrap } = this.#options;
    if (!bootstrap.dynamicClusters) this.resources.stopWaitingForClusters();
    this.#cancelFirstAnswer = timers.after(FIRST_ANSWER_MS, () => {
      if (!this.#answered) void this.#useLastGood();
    });
    this.#client.start();
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  setHealth(health: Health): void {
    this.#client.setHealth(health);
  }

  /** Ends the stream; what is in use stays in use. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelFirstAnswer();
    this.#cancelWarming();
    this.#client.close();
    this.resources.close();
    await this.#lastGood?.flush();
  }

  async #apply(
    typeUrl: string,
    resources: readonly Resource[],
    removed: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    this.#answered = true;
    this.#cancelFirstAnswer();
    this.#waitForEndpoints();
    const problems = await this.resources.apply(typeUrl, resources, removed);
    this.#count(typeUrl, 'accepted', resources.length - problems.size + removed.length);
    this.#count(typeUrl, 'rejected', problems.size);
    return problems;
  }

  /** Listeners do not wait for endpoints longer than a resource may take to come (rule 8). */
  #waitForEndpoints(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#cancelWarming = this.#options.timers.after(RESOURCE_MISSING_MS, () =>
      this.resources.stopWaitingForClusters(),
    );
  }

  #count(typeUrl: string, result: string, n: number): void {
    if (n === 0) return;
    const name = messageNameOf(typeUrl);
    this.#options.stats
      .counter('weft_xds_resources_total', 'Resources received from the control plane', [
        ['type', name.slice(name.lastIndexOf('.') + 1)],
        ['result', result],
      ])
      .add(n);
  }

  #channelSettings(): ChannelSettings {
    const { address, credential } = this.#options;
    const metadata = [...address.metadata];
    const certificate = credential.certificate();
    // A certificate says who calls; the token is for those that have none yet.
    const token = certificate === null || !address.tls ? credential.token() : '';
    if (token !== '') metadata.push(['authorization', `Bearer ${token}`]);
    if (!address.tls) {
      return { credentials: credentials.createInsecure(), channelOptions: {}, metadata };
    }
    const { channelOptions, verifyOptions } = grpcServerName(address.target, address.serverName);
    const roots = credential.rootCertsPem();
    const channel = credentials.createSsl(
      roots === '' ? null : Buffer.from(roots),
      certificate === null ? null : Buffer.from(certificate.privateKeyPem),
      certificate === null ? null : Buffer.from(certificate.certificateChainPem),
      verifyOptions,
    );
    return { credentials: channel, channelOptions, metadata };
  }

  #makeLastGood(): LastKnownGood | null {
    const { bootstrap, timers, stats, log } = this.#options;
    const directory = bootstrap.settings.stateDirectory;
    if (directory === '') return null;
    const failures = stats.counter(
      'weft_last_known_good_write_failures_total',
      'The last good configuration could not be written to disk',
    );
    return new LastKnownGood({
      directory,
      nodeId: bootstrap.node.id,
      timers,
      snapshot: () => this.#snapshot(),
      onWritten: () => {},
      onError: (problem) => {
        failures.add(1);
        log.warn({ problem }, 'the last good configuration is not on disk');
      },
    });
  }

  *#snapshot(): Generator<KeptResource> {
    for (const typeUrl of KEPT_TYPES) {
      for (const { name, version, resource } of this.resources.entries(typeUrl).values()) {
        if (resource !== undefined) yield { typeUrl, name, version, value: resource.value };
      }
    }
  }

  /** Once, and only while the control plane has said nothing. */
  async #useLastGood(): Promise<void> {
    if (this.#loaded || this.#lastGood === null) return;
    this.#loaded = true;
    const { log } = this.#options;
    const kept = await this.#lastGood.load();
    if (kept === null || this.#answered || this.#closed) return;
    if ('problem' in kept) {
      log.warn({ problem: kept.problem }, 'the last good configuration is not used');
      return;
    }
    this.#waitForEndpoints();
    for (const typeUrl of KEPT_TYPES) {
      const ofType = kept.filter((each) => each.typeUrl === typeUrl);
      if (ofType.length === 0) continue; // a copy without listeners makes nobody ready
      const resources = ofType.map(asResource);
      const problems = await this.resources.apply(typeUrl, resources, []);
      for (const { name, version } of ofType) {
        const problem = problems.get(name);
        if (problem === undefined) this.#client.hold(typeUrl, name, version);
        else
          log.warn({ typeUrl, name, problem }, 'a resource of the last good configuration fails');
      }
      if (this.#answered) return;
    }
    this.resources.stopWaitingForSecrets();
    log.warn({ resources: kept.length }, 'no control plane: serving the last good configuration');
  }
}

function asResource({ typeUrl, name, version, value }: KeptResource): Resource {
  return {
    name,
    version,
    resource: { typeUrl, value },
    resourceName: undefined,
    aliases: [],
    ttl: undefined,
    cacheControl: undefined,
    metadata: undefined,
  };
}
