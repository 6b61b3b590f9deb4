import type { ResourceNames } from './resource-names.ts';
import type { Resources } from './subscription.ts';

/**
 * Names and versions of what a client holds of one type. A client that holds everything that it asks for of some map
 * needs no list of its own: it holds this map as far as its names cover it, and only exceptions are written down. So a
 * thousand clients that have the same cost one map, not a thousand.
 */
export class HeldVersions {
  readonly #names: ResourceNames;
  #agreed: Resources | null = null;
  /** Exceptions; null = does not hold. Made when there is one. */
  #own: Map<string, string | null> | null = null;

  /** Covers what `names` cover at any moment. */
  constructor(names: ResourceNames) {
    this.#names = names;
  }

  /** The client holds these, as far as its names cover them and `exceptions` do not say otherwise; null = nothing. */
  get agreed(): Resources | null {
    return this.#agreed;
  }

  /** Names that are written down for this client alone. */
  get exceptions(): Iterable<string> {
    return this.#own?.keys() ?? NONE;
  }

  get exceptionCount(): number {
    return this.#own?.size ?? 0;
  }

  get(name: string): string | undefined {
    const own = this.#own?.get(name);
    if (own !== undefined) return own ?? undefined;
    if (this.#agreed === null || !this.#names.covers(name)) return undefined;
    return this.#agreed.get(name)?.version;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  set(name: string, version: string): void {
    this.#own ??= new Map();
    this.#own.set(name, version);
  }

  delete(name: string): void {
    if (this.#agreed?.has(name) === true && this.#names.covers(name)) {
      this.#own ??= new Map();
      this.#own.set(name, null);
    } else {
      this.#own?.delete(name);
    }
  }

  /** The client holds exactly these of all that its names cover. */
  agree(resources: Resources): void {
    this.#agreed = resources;
    this.#own = null;
  }

  /** Before the names are made to cover more: what is new among them is not held. */
  beforeAdding(names: readonly string[], wildcard: boolean): void {
    if (this.#agreed === null) return;
    if (wildcard && !this.#names.wildcard) {
      // Exceptions would be all that it did not ask for.
      const held = new Map<string, string | null>(this);
      this.#agreed = null;
      this.#own = held;
      return;
    }
    for (const name of names) {
      if (this.#names.covers(name) || !this.#agreed.has(name)) continue;
      this.#own ??= new Map();
      this.#own.set(name, null);
    }
  }

  /** After names were taken away. */
  forgetUncovered(): void {
    if (this.#own === null) return;
    for (const name of this.#own.keys()) if (!this.#names.covers(name)) this.#own.delete(name);
  }

  get size(): number {
    let count = 0;
    for (const _ of this) count++;
    return count;
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this) yield name;
  }

  *[Symbol.iterator](): IterableIterator<[string, string]> {
    if (this.#agreed !== null) {
      const covered = this.#names.wildcard ? this.#agreed.keys() : this.#names.names;
      for (const name of covered) {
        if (this.#own?.has(name) === true) continue;
        const resource = this.#agreed.get(name);
        if (resource !== undefined) yield [name, resource.version];
      }
    }
    if (this.#own === null) return;
    for (const [name, version] of this.#own) if (version !== null) yield [name, version];
  }
}

const NONE: readonly string[] = [];
