import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { canonicalIp, parseAddress, unmapped } from '../tcp/socket-address.ts';
import { CompiledListener, type ListenerDeps } from './compiled-listener.ts';
import { type ListenerConfig, listenerAddresses } from './listener-config.ts';
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
  #lookup: OriginalDestinationLookup | undefined;
  /** Listeners by `address port`; null: to be made anew, since listeners have changed. */
  #owners: ReadonlyMap<string, LiveListener> | null = null;
  readonly #ownByAddress = new Map<string, boolean>();
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
    const missing = config.useOriginalDst ? this.loadRedirection() : '';
    if (missing !== '') {
      return { kind: 'problem', detail: `listener '${config.name}': ${missing}` };
    }
    const current = this.#listeners.get(config.name);
    if (current !== undefined && isSameVersion(current.config, config)) return listening(current);
    const compiled = new CompiledListener(config, this.#deps);
    if (current !== undefined && sameSocket(current.config, config)) {
      current.swap(compiled);
      this.#forgetIndexes();
      return listening(current);
    }
    const listener = new LiveListener(compiled, this.#deps, this);
    const result = await listener.listen();
    if (result.kind === 'problem') {
      listener.destroy();
      return result;
    }
    this.#listeners.set(config.name, listener);
    this.#forgetIndexes();
    if (this.#draining) listener.drain();
    if (current !== undefined) this.#retire(current);
    return result;
  }

  remove(name: string): void {
    const listener = this.#listeners.get(name);
    if (listener === undefined) return;
    this.#listeners.delete(name);
    this.#forgetIndexes();
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
      for (const bound of listener.allBound) {
        if (bound.port !== port) continue;
        if (bound.address === host || isThisHost(bound.address, host)) return true;
      }
    }
    return false;
  }

  /** As `isOwnAddress` for `ip:port`, which the router asks with every try: answers are kept until a listener changes. */
  isOwnListener(address: string): boolean {
    let own = this.#ownByAddress.get(address);
    if (own === undefined) {
      const at = parseAddress(address);
      own = at !== null && this.isOwnAddress(at.host, at.port);
      if (this.#ownByAddress.size >= ADDRESSES_KEPT_MAX) this.#ownByAddress.clear();
      this.#ownByAddress.set(address, own);
    }
    return own;
  }

  #forgetIndexes(): void {
    this.#owners = null;
    this.#ownByAddress.clear();
  }

  /** '' or why redirected connections cannot be served here: a listener would send each to the wrong place. */
  loadRedirection(): string {
    if (this.#lookup !== undefined) return '';
    const loaded = this.#deps.loadOriginalDestination();
    if (loaded.kind === 'problem') return loaded.detail;
    this.#lookup = loaded.lookup;
    return '';
  }

  // --- Redirection ----------------------------------------------------------------------------

  originalDestination(socket: Socket): OriginalDestination | null {
    const found = this.#lookup?.(socket) ?? null;
    if (found === null) return null;
    // With redirect rules loaded the kernel answers for every connection; its own address means "not redirected".
    const local = unmapped(socket.localAddress ?? '');
    return found.host === local && found.port === socket.localPort ? null : found;
  }

  /** As Envoy: the listener with the exact address, else the one with the port on the wildcard. */
  owner({ host, port }: OriginalDestination): CompiledListener | null {
    this.#owners ??= this.#indexOwners();
    const exact = this.#owners.get(`${host} ${port}`);
    const owner = exact ?? this.#owners.get(`0.0.0.0 ${port}`) ?? this.#owners.get(`:: ${port}`);
    return owner?.compiled ?? null;
  }

  #indexOwners(): ReadonlyMap<string, LiveListener> {
    const owners = new Map<string, LiveListener>();
    for (const listener of this.#listeners.values()) {
      for (const own of listenerAddresses(listener.config)) {
        const key = `${canonicalIp(own.host)} ${own.port}`;
        if (!owners.has(key)) owners.set(key, listener);
      }
    }
    return owners;
  }

  #retire(listener: LiveListener): void {
    listener.stopAccepting();
    listener.drain();
    listener.closeStats();
    for (const old of this.#retired) if (old.connections.size === 0) this.#retired.delete(old);
    if (listener.connections.size > 0) this.#retired.add(listener);
  }
}

function listening({ bound }: LiveListener): ListenResult {
  if (bound === null) return { kind: 'unbound' };
  return { kind: 'listening', address: bound.address, port: bound.port };
}

/** The very resource that is in force, sent again: no connection has to hear of it (D24). */
function isSameVersion(a: ListenerConfig, b: ListenerConfig): boolean {
  return a.version !== '' && a.version === b.version && sameSocket(a, b);
}

function sameSocket(a: ListenerConfig, b: ListenerConfig): boolean {
  const addresses = (config: ListenerConfig) => JSON.stringify(listenerAddresses(config));
  return addresses(a) === addresses(b) && a.bindToPort === b.bindToPort;
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

/** Answers of `isOwnListener` that are kept: one for each endpoint in use. */
const ADDRESSES_KEPT_MAX = 16_384;
