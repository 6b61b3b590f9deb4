import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  Resource,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { createMessage } from '../../proto/message-codec.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_HEALTH,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
  TYPE_SECRET,
} from '../../proto/type-urls.ts';
import type { AdsStream, AdsTransport } from './ads-transport.ts';
import { DeltaSubscription } from './delta-subscription.ts';
import { ExpectedNames } from './expected-names.ts';
import { ReconnectBackoff } from './reconnect-backoff.ts';
import { TimeSlices } from './time-slices.ts';
import type { Timers } from './timers.ts';

/** Milliseconds after which a resource that was asked for counts as missing (rule 8). */
export const RESOURCE_MISSING_MS = 15_000;

/** Subscriptions in the order of their first requests: make before break (rule 13). */
const TYPES = [
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_SECRET,
  TYPE_LISTENER,
  TYPE_ROUTE,
  TYPE_NAME_TABLE,
] as const;
/** Of these everything is asked for; which of them at all, the bootstrap says. */
const WILDCARD_TYPES: ReadonlySet<string> = new Set([TYPE_CLUSTER, TYPE_LISTENER, TYPE_NAME_TABLE]);

/** What the resources are given to. */
export interface ResourceHandler {
  /**
   * Takes the good ones of the resources and says what is wrong with the others, by name (OP-06). Resolves when
   * they are in use or waiting to be.
   */
  apply(
    typeUrl: string,
    resources: readonly Resource[],
    removed: readonly string[],
  ): Promise<ReadonlyMap<string, string>>;
  /** Names that were asked for and did not come within 15 s, or that the server says do not exist. */
  missing(typeUrl: string, names: readonly string[]): void;
}

export interface AdsClientLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface AdsClientOptions {
  readonly transport: AdsTransport;
  readonly node: Node;
  readonly handler: ResourceHandler;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: AdsClientLog;
  /** Which of the wildcard types the bootstrap takes from this server. */
  readonly clusters: boolean;
  readonly listeners: boolean;
  /** Whether this proxy answers names (DS-05). */
  readonly names: boolean;
  /** True when a stream has given its first answer, false when it ended or could not be opened. */
  readonly onConnected: (connected: boolean) => void;
}

/** What the app's health probe says of it. */
export interface Health {
  readonly healthy: boolean;
  readonly message: string;
}

/**
 * Delta ADS client: one stream, one subscription a type. Reconnects for ever with jitter and says on each new
 * stream what it holds. Responses are handled one after another.
 */
export class AdsClient {
  readonly #options: AdsClientOptions;
  readonly #subscriptions: ReadonlyMap<string, DeltaSubscription>;
  readonly #backoff: ReconnectBackoff;
  readonly #expected: ReadonlyMap<string, ExpectedNames>;
  #stream: AdsStream | null = null;
  #nodeSent = false;
  #connected = false;
  #health: Health | null = null;
  #cancelRetry: () => void = () => {};
  #closed = false;

  constructor(options: AdsClientOptions) {
    this.#options = options;
    this.#backoff = new ReconnectBackoff(options.random);
    this.#subscriptions = new Map(
      TYPES.filter(
        (type) =>
          (type !== TYPE_CLUSTER || options.clusters) &&
          (type !== TYPE_LISTENER || options.listeners) &&
          (type !== TYPE_NAME_TABLE || options.names),
      ).map((type) => [type, new DeltaSubscription(type, WILDCARD_TYPES.has(type))]),
    );
    this.#expected = new Map(
      [...this.#subscriptions.values()].map((subscription) => [
        subscription.typeUrl,
        new ExpectedNames(options.timers, RESOURCE_MISSING_MS, (names) =>
          this.#onMissing(subscription, names),
        ),
      ]),
    );
  }

  /** A stream is open and has answered. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    if (this.#stream !== null || this.#closed) return;
    let stream: AdsStream;
    try {
      stream = this.#options.transport.open({
        onResponse: (response) => this.#onResponse(stream, response),
        onEnd: (reason) => {
          if (stream === this.#stream) this.#onEnd(reason);
        },
      });
    } catch (error) {
      // Roots or a token that cannot be read: they may be there at the next attempt.
      this.#onEnd(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#stream = stream;
    this.#nodeSent = false;
    for (const subscription of this.#subscriptions.values()) this.#send(subscription.open());
    for (const type of TYPES) this.#expect(type);
    this.#sendHealth();
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
    for (const expected of this.#expected.values()) expected.close();
    this.#stream?.close();
    this.#stream = null;
  }

  /** Wants exactly these resources of a type that is subscribed by name. */
  setNames(typeUrl: string, names: ReadonlySet<string>): void {
    const request = this.#subscriptions.get(typeUrl)?.setNames(names, this.#stream !== null);
    if (request === null || request === undefined) return;
    this.#send(request);
    this.#expect(typeUrl);
  }

  /** Notes a resource that was taken from the disk, so that the server sends it only if it differs. */
  hold(typeUrl: string, name: string, version: string): void {
    this.#subscriptions.get(typeUrl)?.accept(name, version);
  }

  /** Reported on this stream and again on each later one. */
  setHealth(health: Health): void {
    this.#health = health;
    if (this.#stream !== null) this.#sendHealth();
  }

  async #onResponse(stream: AdsStream, response: DeltaDiscoveryResponse): Promise<void> {
    const { typeUrl } = response;
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined || stream !== this.#stream) return; // nobody asked; no nonce to answer
    this.#backoff.reset();
    const slices = new TimeSlices();
    const invalid = await slices.run(subscription.checkResponse(response));
    const problem = invalid === '' ? await this.#apply(subscription, response, slices) : invalid;
    if (problem !== '') {
      this.#options.log.warn({ typeUrl, nonce: response.nonce, problem }, 'configuration refused');
    }
    if (stream === this.#stream) stream.send(subscription.answer(response, problem));
    if (!this.#connected) {
      this.#connected = true;
      this.#options.onConnected(true);
    }
  }

  /** Empty, or every bad resource with what is wrong with it; the good ones are in use. */
  async #apply(
    subscription: DeltaSubscription,
    response: DeltaDiscoveryResponse,
    slices: TimeSlices,
  ): Promise<string> {
    const { typeUrl, removedResources } = response;
    const mine: Resource[] = [];
    for (const resource of response.resources) {
      if (slices.isOver) await slices.next();
      const { name } = resource;
      // No body: a heartbeat of what is held already (rule 20).
      if (resource.resource === undefined) continue;
      this.#arrived(typeUrl, name);
      if (subscription.wildcard || subscription.names.has(name)) mine.push(resource);
    }
    let problems: ReadonlyMap<string, string>;
    try {
      problems = await this.#options.handler.apply(typeUrl, mine, removedResources);
    } catch (error) {
      // A bug of ours must not end the stream: nothing of the response counts as accepted.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.log.warn({ typeUrl, error: text }, 'a response could not be applied');
      return `internal error: ${text.split('\n', 1)[0]}`;
    }
    for (const { name, version } of mine) {
      if (!problems.has(name)) subscription.accept(name, version);
    }
    for (const name of removedResources) {
      this.#arrived(typeUrl, name);
      subscription.forget(name);
    }
    if (!subscription.wildcard && removedResources.length > 0) {
      this.#options.handler.missing(typeUrl, removedResources);
    }
    return [...problems].map(([name, problem]) => `${name}: ${problem}`).join('\n');
  }

  #onEnd(reason: string): void {
    this.#stream = null;
    this.#connected = false;
    for (const subscription of this.#subscriptions.values()) subscription.close();
    if (this.#closed) return;
    const delayMs = this.#backoff.nextMs();
    this.#options.log.warn({ reason, retryMs: delayMs }, 'no connection to the control plane');
    this.#cancelRetry = this.#options.timers.after(delayMs, () => this.start());
    this.#options.onConnected(false);
  }

  #send(request: DeltaDiscoveryRequest | null): void {
    if (request === null || this.#stream === null) return;
    if (!this.#nodeSent) {
      this.#nodeSent = true;
      request.node = this.#options.node; // in the first request only (rule 15)
    }
    this.#stream.send(request);
  }

  #sendHealth(): void {
    const health = this.#health;
    if (health === null) return;
    this.#send(
      createMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
        typeUrl: TYPE_HEALTH,
        ...(health.healthy
          ? {}
          : { errorDetail: { code: 2, message: health.message, details: [] } }),
      }),
    );
  }

  /** Starts the 15 s of every name that is wanted and not held. */
  #expect(typeUrl: string): void {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined || subscription.wildcard || this.#stream === null) return;
    const names = [...subscription.names].filter((name) => !subscription.held.has(name));
    this.#expected.get(typeUrl)?.add(names);
  }

  #onMissing(subscription: DeltaSubscription, names: readonly string[]): void {
    const missing = names.filter(
      (name) => subscription.names.has(name) && !subscription.held.has(name),
    );
    if (missing.length > 0) this.#options.handler.missing(subscription.typeUrl, missing);
  }

  #arrived(typeUrl: string, name: string): void {
    this.#expected.get(typeUrl)?.arrived(name);
  }
}
