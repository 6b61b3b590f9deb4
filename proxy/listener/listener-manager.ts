import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { unmapped } from '../tcp/socket-address.ts';
import { CompiledListener, type ListenerDeps } from './compiled-listener.ts';
import type { ListenerConfig } from './listener-config.ts';
import { type ListenResult, LiveListener, type Redirection } from './live-listener.ts';
import type { OriginalDestination, OriginalDestinationLookup } from './original-destination.ts';

/**
 * All listeners by name. A listener whose address stays the same keeps its socket when its
 * configuration changes, so that no connection attempt is ever refused by an update.
 */
export class ListenerManager implements Redirection {
  readonly #deps: ListenerDeps;
  readonly #listeners = new Map<string, LiveListener>();
  /** Taken out; their connections end in their own time. */
  readonly #retired = new Set<LiveListener>();
  #lookup: OriginalDestinationLookup | null | undefined;
  #draining = false;

  constructor(deps: ListenerDeps) {
    this.#deps = deps;
  }

  get listeners(): ReadonlyMap<string, LiveListener> {
    return this.#listeners;
  }

  /** Connections under way, also those of listeners that were taken out. */
  get connectionsActive(): number {
    let count = 0;
    for (const listener of this.#listeners.values()) count += listener.connections.size;
    for (const listener of this.#retired) count += listener.connections.size;
    return count;
  }

  /** Adds or swaps. With a `problem` nothing has changed: the last good listener stays. */
  async set(config: ListenerConfig): Promise<ListenResult> {
    const current = this.#listeners.get(config.name);
    if (current !== undefined && isSameVersion(current.config, config)) return listening(current);
    const compiled = new CompiledListener(config, this.#deps);
    if (current !== undefined && sameSocket(current.config, config)) {
      current.swap(compiled);
      return listening(current);
    }
    const listener = new LiveListener(compiled, this.#deps, this);
    const result = await listener.listen();
    if (result.kind === 'problem') {
      listener.destroy();
      return result;
    }
    this.#listeners.set(config.name, listener);
    if (this.#draining) listener.drain();
    if (current !== undefined) this.#retire(current);
    return result;
  }

  remove(name: string): void {
    const listener = this.#listeners.get(name);
    if (listener === undefined) return;
    this.#listeners.delete(name);
    this.#retire(listener);
  }

  /** `connection: close` on all that goes on; new connections are still taken (OP-05). */
  drain(): void {
    this.#draining = true;
    for (const listener of this.#listeners.values()) listener.drain();
  }

  /** No new connections; those under way go on. */
  stopAccepting(): void {
    for (const listener of this.#listeners.values()) listener.stopAccepting();
  }

  /** Ends everything now. */
  destroy(): void {
    for (const listener of this.#listeners.values()) listener.destroy();
    for (const listener of this.#retired) listener.destroy();
    this.#listeners.clear();
    this.#retired.clear();
  }

  /**
   * Whether connecting there would come back to an outbound listener of this proxy. Inbound ones do
   * not count: an app that calls its own service goes through them.
   */
  isOwnAddress(host: string, port: number): boolean {
    for (const listener of this.#listeners.values()) {
      if (listener.config.direction !== 'OUTBOUND') continue;
      const { bound } = listener;
      if (bound === null || bound.port !== port) continue;
      if (bound.address === host || isThisHost(bound.address, host)) return true;
    }
    return false;
  }

  // --- Redirection ----------------------------------------------------------------------------

  originalDestination(socket: Socket): OriginalDestination | null {
    if (this.#lookup === undefined) this.#loadLookup();
    if (this.#lookup === null || this.#lookup === undefined) return null;
    const found = this.#lookup(socket);
    if (found === null) return null;
    // With redirect rules loaded the kernel answers for every connection; its own address means "not redirected".
    const local = unmapped(socket.localAddress ?? '');
    return found.host === local && found.port === socket.localPort ? null : found;
  }

  /** As Envoy: the listener with the exact address, else the one with the port on the wildcard. */
  owner({ host, port }: OriginalDestination): CompiledListener | null {
    let wildcard: CompiledListener | null = null;
    for (const { config, compiled } of this.#listeners.values()) {
      if (config.port !== port) continue;
      if (config.address === host) return compiled;
      if (config.address === '0.0.0.0' || config.address === '::') wildcard = compiled;
    }
    return wildcard;
  }

  #loadLookup(): void {
    this.#lookup = null;
    if (![...this.#listeners.values()].some(({ config }) => config.useOriginalDst)) {
      this.#lookup = undefined; // a later listener may need it
      return;
    }
    this.#lookup = this.#deps.loadOriginalDestination();
    if (this.#lookup === null) {
      this.#deps.log.warn(
        'the original destination of redirected connections cannot be read here: ' +
          'node:ffi is missing or this is not Linux; only explicit-proxy traffic will work',
      );
    }
  }

  #retire(listener: LiveListener): void {
    listener.stopAccepting();
    listener.drain();
    listener.stats.close();
    for (const old of this.#retired) if (old.connections.size === 0) this.#retired.delete(old);
    if (listener.connections.size > 0) this.#retired.add(listener);
  }
}

function listening({ bound }: LiveListener): ListenResult {
  return bound === null ? { kind: 'unbound' } : { kind: 'listening', ...bound };
}

/** The very resource that is in force, sent again: no connection has to hear of it (D24). */
function isSameVersion(a: ListenerConfig, b: ListenerConfig): boolean {
  return a.version !== '' && a.version === b.version && sameSocket(a, b);
}

function sameSocket(a: ListenerConfig, b: ListenerConfig): boolean {
  return a.address === b.address && a.port === b.port && a.bindToPort === b.bindToPort;
}

/** Whether `host` reaches a socket that is bound to `bound`. */
function isThisHost(bound: string, host: string): boolean {
  if (bound !== '0.0.0.0' && bound !== '::') return false;
  if (host.startsWith('127.') || host === '::1' || host === '0.0.0.0') return true;
  for (const addresses of Object.values(networkInterfaces())) {
    if (addresses?.some(({ address }) => address === host) === true) return true;
  }
  return false;
}
