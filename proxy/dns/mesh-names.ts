import type { NamedHost, NameTableConfig } from './name-table-config.ts';

/** A name of the mesh. */
export interface FoundName {
  readonly host: NamedHost;
  /** The name that was meant, where the resolver of the app has put a search domain behind it; '' = the name itself. */
  readonly canonicalName: string;
}

/**
 * Finds what a name means to the apps of one namespace: hosts as they are, short names (`reviews` of their own
 * namespace, `reviews.shop`, `reviews.shop.svc`), wildcards by the longest suffix, and each of them with the first
 * search domain behind it. A resolver tries that one first, so that an answer ends its search (Istio's rule).
 */
export class MeshNames {
  readonly #exact: ReadonlyMap<string, NamedHost>;
  /** By what follows `*.`. */
  readonly #wildcards: ReadonlyMap<string, NamedHost>;

  constructor(table: NameTableConfig, namespace: string) {
    const exact = new Map<string, NamedHost>();
    const wildcards = new Map<string, NamedHost>();
    for (const [host, named] of table.hosts) {
      if (host.startsWith('*.')) wildcards.set(host.slice(2), named);
      else exact.set(host, named);
    }
    // A host that is called what another is called for short is meant itself.
    for (const [host, named] of table.hosts) {
      for (const alias of shortNames(host, named, namespace)) {
        if (!exact.has(alias)) exact.set(alias, named);
      }
    }
    this.#exact = exact;
    this.#wildcards = wildcards;
  }

  /** `name`: lower case, without a dot at the end. `searchDomain`: likewise, '' = none. */
  find(name: string, searchDomain: string): FoundName | null {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return { host: exact, canonicalName: '' };
    const base = withoutSuffix(name, searchDomain);
    const searched = base === '' ? undefined : this.#exact.get(base);
    if (searched !== undefined) return { host: searched, canonicalName: searched.host };
    const wildcard = this.#wildcard(name);
    if (wildcard !== undefined) return { host: wildcard, canonicalName: '' };
    const searchedWildcard = base === '' ? undefined : this.#wildcard(base);
    return searchedWildcard === undefined ? null : { host: searchedWildcard, canonicalName: base };
  }

  #wildcard(name: string): NamedHost | undefined {
    if (this.#wildcards.size === 0) return undefined;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = this.#wildcards.get(name.slice(dot + 1));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** `reviews.shop`, `reviews.shop.svc`, and `reviews` for apps of the namespace itself. */
function shortNames(host: string, named: NamedHost, namespace: string): readonly string[] {
  const { shortname } = named;
  const short = `${shortname}.${named.namespace}`;
  // Only where the host is the long form of it: the name of another cluster is none of ours.
  if (shortname === '' || !host.startsWith(`${short}.`)) return [];
  const [next = ''] = host.slice(short.length + 1).split('.', 1);
  const names = [short, `${short}.${next}`];
  if (named.namespace === namespace) names.push(shortname);
  return names;
}

function withoutSuffix(name: string, domain: string): string {
  if (domain === '' || !name.endsWith(domain)) return '';
  const dot = name.length - domain.length - 1;
  return name[dot] === '.' ? name.slice(0, dot) : '';
}
