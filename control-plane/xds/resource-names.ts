import { sharedNames } from './shared-names.ts';

/** Names of one type that one stream may ask for; more is an attack on memory (A6.3). */
export const NAMES_MAX = 50_000;

/**
 * What a stream asks for of one type: everything, names, or both (xDS rule 7). An empty list means everything only
 * for types that know it, and only until a name was ever sent; after that it means nothing.
 */
export class ResourceNames {
  /** Everything of the type is asked for. */
  wildcard = false;
  #names: ReadonlySet<string> = NO_NAMES;
  /** This stream's own set, which may be changed; null while `#names` belongs to others too. */
  #own: Set<string> | null = null;
  readonly #emptyMeansAll: boolean;
  #named = false;

  constructor(emptyMeansAll: boolean) {
    this.#emptyMeansAll = emptyMeansAll;
  }

  /** Asked for one by one, the wildcard aside. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** `names`, where it is a set that never changes; null where it may. */
  get lasting(): ReadonlySet<string> | null {
    return this.#own === null ? this.#names : null;
  }

  covers(name: string): boolean {
    return this.wildcard || this.#names.has(name);
  }

  /** State of the world: `names` is the whole list. Returns the names that are new in it. */
  replace(names: readonly string[]): string[] {
    if (names.length > 0) this.#named = true;
    const wanted = new Set(names);
    this.wildcard = wanted.delete(WILDCARD) || (!this.#named && this.#emptyMeansAll);
    const added = [...wanted].filter((name) => !this.#names.has(name));
    this.#own = wanted;
    this.#names = wanted;
    this.#share();
    return added;
  }

  /** Delta: the first request of a type, which may mean everything by naming nothing. */
  begin(subscribe: readonly string[]): void {
    if (subscribe.length === 0 && this.#emptyMeansAll) this.wildcard = true;
    this.add(subscribe);
  }

  /** Delta: adds to what is asked for. A wildcard, also one by an empty list, stays until `*` is unsubscribed. */
  add(names: readonly string[]): void {
    for (const name of names) {
      if (name === WILDCARD) this.wildcard = true;
      else if (!this.#names.has(name)) this.#changeable().add(name);
    }
    this.#share();
  }

  delete(names: readonly string[]): void {
    for (const name of names) {
      if (name === WILDCARD) this.wildcard = false;
      else if (this.#names.has(name)) this.#changeable().delete(name);
    }
    this.#share();
  }

  #changeable(): Set<string> {
    if (this.#own === null) {
      this.#own = new Set(this.#names);
      this.#names = this.#own;
    }
    return this.#own;
  }

  #share(): void {
    if (this.#own === null) return;
    const shared = sharedNames(this.#own);
    if (shared === null) return;
    this.#names = shared;
    this.#own = null;
  }
}

export const WILDCARD = '*';
const NO_NAMES: ReadonlySet<string> = new Set();
