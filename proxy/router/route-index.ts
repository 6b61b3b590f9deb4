import type { RequestHead } from '../http/message.ts';
import { NESTED_MAX, PrefixIndex } from './prefix-index.ts';
import type { RouteEntryConfig, RouteMatchConfig } from './route-config.ts';
import { matchesRoute } from './route-match.ts';

/**
 * The routes of a large virtual host by their paths, so that a request costs the same among ten and among ten thousand.
 * The answer is that of trying them top to bottom (TM-01): the index only leaves out routes whose path rule cannot
 * hold, the others are tried in their order, and a fraction's random number is drawn as often.
 *
 * ```
 * path ─▶ exact paths (hashed) ───────┐
 *      ─▶ prefixes of the path ───────┼─▶ lists of routes, merged by position ─▶ first that matches
 *      ─▶ routes known by no prefix ──┘
 * CONNECT ─▶ connect rules ─────────────▶
 * ```
 *
 * Routes that share a path and differ by headers stand in one list and are tried one by one, as in Envoy.
 */
export class RouteIndex {
  readonly #routes: readonly RouteEntryConfig[];
  /** A rule ignores case: all is looked up in lower case. */
  readonly #folds: boolean;
  /** List of the routes of a path. */
  readonly #exact = new Map<string, number>();
  /** Characters of the longest path in `#exact`. */
  #exactLengthMax = 0;
  readonly #prefixes = new PrefixIndex();
  /** List of the routes of a prefix, by its entry. */
  readonly #prefixLists: number[] = [];
  /** Where each list begins in `#positions`; it ends where the next one begins. */
  readonly #starts: Int32Array;
  /** Positions of routes, ascending within each list. */
  readonly #positions: Int32Array;
  /** Of the lists that are being merged: the next position's place, and the end. Nothing else runs meanwhile. */
  readonly #nexts = new Int32Array(NESTED_MAX + 2);
  readonly #ends = new Int32Array(NESTED_MAX + 2);

  constructor(routes: readonly RouteEntryConfig[]) {
    this.#routes = routes;
    this.#folds = routes.some(({ match }) => ignoresCase(match.path));
    const listOf = new Int32Array(routes.length);
    const lists = this.#assignLists(listOf);
    this.#starts = new Int32Array(lists + 1);
    for (const list of listOf) this.#starts[list + 1]!++;
    for (let list = 0; list < lists; list++) this.#starts[list + 1]! += this.#starts[list]!;
    this.#positions = new Int32Array(routes.length);
    const nexts = this.#starts.slice();
    for (let at = 0; at < routes.length; at++) this.#positions[nexts[listOf[at]!]!++] = at;
  }

  /** Position of the first route that matches, or −1. `path` is that of `head` without its query. */
  find(head: RequestHead, path: string, random: () => number): number {
    let merged = 0;
    if (head.upgrade === 'connect') {
      merged = this.#merge(CONNECT_LIST, merged);
    } else {
      const key = this.#folds ? path.toLowerCase() : path;
      merged = this.#merge(OTHER_LIST, merged);
      if (key.length <= this.#exactLengthMax) {
        const list = this.#exact.get(key);
        if (list !== undefined) merged = this.#merge(list, merged);
      }
      const prefixes = this.#prefixes;
      for (let entry = prefixes.longest(key); entry >= 0; entry = prefixes.outer(entry)) {
        merged = this.#merge(this.#prefixLists[entry]!, merged);
      }
    }
    return this.#firstMatch(merged, head, path, random);
  }

  /** Adds a list to those that are merged; how many there are then. */
  #merge(list: number, merged: number): number {
    const start = this.#starts[list]!;
    const end = this.#starts[list + 1]!;
    if (start === end) return merged;
    this.#nexts[merged] = start;
    this.#ends[merged] = end;
    return merged + 1;
  }

  #firstMatch(lists: number, head: RequestHead, path: string, random: () => number): number {
    const routes = this.#routes;
    const positions = this.#positions;
    const nexts = this.#nexts;
    const ends = this.#ends;
    let merged = lists;
    while (merged > 0) {
      let first = 0;
      let position = positions[nexts[0]!]!;
      for (let at = 1; at < merged; at++) {
        const candidate = positions[nexts[at]!]!;
        if (candidate > position) continue;
        position = candidate;
        first = at;
      }
      if (matchesRoute(routes[position]!.match, head, path, random)) return position;
      if (++nexts[first]! < ends[first]!) continue;
      merged--;
      nexts[first] = nexts[merged]!;
      ends[first] = ends[merged]!;
    }
    return -1;
  }

  /** Writes the list of each route; how many lists there are. */
  #assignLists(listOf: Int32Array): number {
    let lists = OTHER_LIST + 1;
    const prefixed: { readonly prefix: string; readonly at: number }[] = [];
    for (const [at, { match }] of this.#routes.entries()) {
      const { path } = match;
      const key = path.kind === 'connect' ? null : this.#keyOf(path);
      if (path.kind === 'connect') listOf[at] = CONNECT_LIST;
      else if (key === null) listOf[at] = OTHER_LIST;
      else if (path.kind === 'exact') {
        const known = this.#exact.get(key);
        listOf[at] = known ?? lists;
        if (known !== undefined) continue;
        this.#exact.set(key, lists++);
        this.#exactLengthMax = Math.max(this.#exactLengthMax, key.length);
      } else prefixed.push({ prefix: key, at });
    }
    prefixed.sort((a, b) => (a.prefix < b.prefix ? -1 : a.prefix > b.prefix ? 1 : 0));
    let latest: string | null = null;
    let list = OTHER_LIST;
    for (const { prefix, at } of prefixed) {
      if (prefix !== latest) {
        latest = prefix;
        const taken = this.#prefixes.add(prefix) >= 0;
        list = taken ? lists++ : OTHER_LIST;
        if (taken) this.#prefixLists.push(list);
      }
      listOf[at] = list;
    }
    return lists;
  }

  /** What every path that the rule can hold for is, or begins with; null = nothing that can be looked up. */
  #keyOf(path: Exclude<RouteMatchConfig['path'], { readonly kind: 'connect' }>): string | null {
    const key = path.kind === 'regex' ? literalPrefix(path.regex.source) : path.value;
    if (key === '' && path.kind === 'regex') return null;
    if (!this.#folds) return key;
    // Beyond ASCII lower case may depend on what stands beside a letter, and be longer.
    return isAscii(key) ? key.toLowerCase() : null;
  }
}

/** Rules that are known by no path, and those that CONNECT alone can meet. */
const CONNECT_LIST = 0;
const OTHER_LIST = 1;

function ignoresCase(path: RouteMatchConfig['path']): boolean {
  return 'ignoreCase' in path && path.ignoreCase;
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** The plain text that everything begins with that the whole expression (RE2) matches; '' = none, or not to be told. */
export function literalPrefix(source: string): string {
  if (source.includes('|')) return '';
  const literal = /^[A-Za-z0-9/_-]*/.exec(source)![0];
  // What may be repeated may be absent.
  return /^[?*{]/.test(source.slice(literal.length)) ? literal.slice(0, -1) : literal;
}
