/**
 * Finds the value of a host among domain patterns (TM-07): exact, then the longest suffix wildcard
 * (`*.a.b`), then the longest prefix wildcard (`a.*`), then `*`. A wildcard stands for at least one
 * character. Exact names are hashed and wildcards are hashed by length, so that a lookup costs the
 * same for ten and for ten thousand hosts.
 */
export class HostMatcher<Value> {
  readonly #exact = new Map<string, Value>();
  readonly #suffixes = new LengthIndex<Value>();
  readonly #prefixes = new LengthIndex<Value>();
  #any: Value | null = null;

  /** Patterns are lower case; the first value of a pattern stays. False where it was there already. */
  add(pattern: string, value: Value): boolean {
    if (pattern === '*') {
      if (this.#any !== null) return false;
      this.#any = value;
      return true;
    }
    if (pattern.startsWith('*')) return this.#suffixes.add(pattern.slice(1), value);
    if (pattern.endsWith('*')) return this.#prefixes.add(pattern.slice(0, -1), value);
    if (this.#exact.has(pattern)) return false;
    this.#exact.set(pattern, value);
    return true;
  }

  /** The value for a host in lower case, or null. */
  find(host: string): Value | null {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    for (const length of this.#suffixes.lengths) {
      if (length >= host.length) continue;
      const found = this.#suffixes.get(host.slice(host.length - length));
      if (found !== undefined) return found;
    }
    for (const length of this.#prefixes.lengths) {
      if (length >= host.length) continue;
      const found = this.#prefixes.get(host.slice(0, length));
      if (found !== undefined) return found;
    }
    return this.#any;
  }
}

/** Texts of several lengths, to be tried longest first. */
class LengthIndex<Value> {
  /** Each length once, descending. */
  lengths: number[] = [];
  readonly #values = new Map<string, Value>();

  add(text: string, value: Value): boolean {
    if (this.#values.has(text)) return false;
    this.#values.set(text, value);
    if (!this.lengths.includes(text.length)) {
      this.lengths.push(text.length);
      this.lengths.sort((a, b) => b - a);
    }
    return true;
  }

  get(text: string): Value | undefined {
    return this.#values.get(text);
  }
}

/** The host without its port; `[v6]` keeps its brackets. */
export function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(':');
  if (colon < 0 || authority.endsWith(']')) return authority;
  return authority.slice(0, colon);
}
