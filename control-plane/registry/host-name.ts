/**
 * Host names of rules (TM-07). A name without a dot is short and expands with the namespace of the rule that holds
 * it; `*` and names with a dot stand as they are. Lower case.
 */
export function expandHost(host: string, namespace: string, domain: string): string {
  const lower = host.toLowerCase();
  return lower.includes('.') || lower.startsWith('*')
    ? lower
    : `${lower}.${namespace}.svc.${domain}`;
}

/** The namespace and short name in `<name>.<namespace>.svc.<domain>`, or null for any other host. */
export function clusterLocalName(
  host: string,
  domain: string,
): { readonly name: string; readonly namespace: string } | null {
  const suffix = `.svc.${domain}`;
  if (!host.endsWith(suffix)) return null;
  const parts = host.slice(0, -suffix.length).split('.');
  if (parts.length !== 2 || parts[0] === '' || parts[1] === '' || parts[0] === '*') return null;
  return { name: parts[0]!, namespace: parts[1]! };
}

/** `*` or `*.suffix`. */
function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** Whether `host` (exact or wildcard itself) falls under `pattern` (exact or wildcard). */
export function hostMatches(pattern: string, host: string): boolean {
  if (!isWildcard(pattern)) return pattern === host;
  const suffix = pattern.slice(1);
  return isWildcard(host) ? host.slice(1).endsWith(suffix) : host.endsWith(suffix);
}

/**
 * Things by host pattern, found in the order of TM-07: exact, then the longest wildcard, then `*`; of several under
 * one pattern in the order in which they were added.
 */
export class HostIndex<T> {
  readonly #exact = new Map<string, T[]>();
  /** Longest first, equal length in alphabetical order. */
  #wildcards: { readonly pattern: string; readonly items: T[] }[] = [];

  add(pattern: string, item: T): void {
    if (!isWildcard(pattern)) {
      const items = this.#exact.get(pattern);
      if (items === undefined) this.#exact.set(pattern, [item]);
      else items.push(item);
      return;
    }
    const there = this.#wildcards.find((each) => each.pattern === pattern);
    if (there !== undefined) {
      there.items.push(item);
      return;
    }
    this.#wildcards = [...this.#wildcards, { pattern, items: [item] }].sort(
      (a, b) => b.pattern.length - a.pattern.length || (a.pattern < b.pattern ? -1 : 1),
    );
  }

  /** The first item for `host` that `accepts` likes. */
  find(host: string, accepts: (item: T) => boolean): T | undefined {
    for (const items of this.groups(host)) {
      const item = items.find(accepts);
      if (item !== undefined) return item;
    }
    return undefined;
  }

  /** The items of every pattern that `host` falls under, the most specific pattern first. */
  *groups(host: string): IterableIterator<readonly T[]> {
    const exact = this.#exact.get(host);
    if (exact !== undefined) yield exact;
    for (const { pattern, items } of this.#wildcards) {
      if (hostMatches(pattern, host)) yield items;
    }
  }

  /** Every pattern with its items. */
  *entries(): IterableIterator<readonly [string, readonly T[]]> {
    yield* this.#exact;
    for (const { pattern, items } of this.#wildcards) yield [pattern, items];
  }
}
