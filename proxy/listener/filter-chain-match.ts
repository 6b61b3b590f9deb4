import { type IpPrefix, inPrefix, ipBytes, parseIpPrefix } from '../tcp/ip-prefix.ts';
import type { Inspection } from './connection-inspector.ts';
import type { FilterChainConfig } from './listener-config.ts';

/** Facts by which a chain is picked. */
export interface ChainCriteria {
  /** IP literal. The original destination where the connection was redirected, else the local address. */
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly sourceAddress: string;
  readonly inspection: Inspection;
}

/**
 * Picks the filter chain of a connection. As in Envoy the criteria are taken one after another
 * (destination port, destination prefix, server name, transport, ALPN, source prefix); at each one
 * only the chains with the most specific match stay, and there is no way back: a chain that names
 * the port keeps out those that name none, even if it fails a later criterion.
 */
export class FilterChainMatcher {
  readonly #chains: readonly CompiledChain[];
  readonly #fallback: FilterChainConfig | null;

  constructor(chains: readonly FilterChainConfig[], fallback: FilterChainConfig | null) {
    this.#chains = chains.map(compile);
    this.#fallback = fallback;
  }

  /**
   * Whether what the peer says decides anything for a connection to there: a chain that is left wants TLS, a server
   * name or a protocol. If none does, waiting for the first bytes would only hold up a server that speaks first (PR-03).
   */
  asksPeer(destinationAddress: string, destinationPort: number): boolean {
    const left = this.#of(destinationAddress, destinationPort);
    if (left.length === 0) return this.#fallback !== null && asksPeer(this.#fallback);
    return left.some(({ chain }) => asksPeer(chain));
  }

  /** Whether connections to there have chains for TLS alone: then "no chain" for plain text means STRICT (SC-02). */
  takesOnlyTls(destinationAddress: string, destinationPort: number): boolean {
    const left = this.#of(destinationAddress, destinationPort);
    return left.length > 0 && left.every(({ chain }) => chain.tls !== null);
  }

  /** The chains that the destination leaves. */
  #of(address: string, port: number): readonly CompiledChain[] {
    const destination = ipBytes(address);
    const left = mostSpecific(this.#chains, ({ match }) =>
      exact(match.destinationPort === 0, match.destinationPort === port),
    );
    return mostSpecific(left, ({ destinations }) => prefixScore(destinations, destination));
  }

  /** Null: nothing matches and there is no default chain (flag NR). */
  match(criteria: ChainCriteria): FilterChainConfig | null {
    const source = ipBytes(criteria.sourceAddress);
    const { inspection } = criteria;
    let left = this.#of(criteria.destinationAddress, criteria.destinationPort);
    left = mostSpecific(left, ({ match }) =>
      serverNameScore(match.serverNames, inspection.serverName),
    );
    left = mostSpecific(left, ({ match }) =>
      exact(
        match.transportProtocol === '',
        match.transportProtocol === inspection.transportProtocol,
      ),
    );
    left = mostSpecific(left, ({ match }) =>
      exact(
        match.applicationProtocols.length === 0,
        match.applicationProtocols.some((protocol) =>
          inspection.applicationProtocols.includes(protocol),
        ),
      ),
    );
    left = mostSpecific(left, ({ sources }) => prefixScore(sources, source));
    return left[0]?.chain ?? this.#fallback;
  }
}

/** An HTTP chain does too: its codec is told what was seen. */
function asksPeer({ match, tls, filter }: FilterChainConfig): boolean {
  return (
    tls !== null ||
    filter.kind === 'httpConnectionManager' ||
    match.transportProtocol !== '' ||
    match.serverNames.length > 0 ||
    match.applicationProtocols.length > 0
  );
}

interface CompiledChain {
  readonly chain: FilterChainConfig;
  readonly match: FilterChainConfig['match'];
  readonly destinations: readonly IpPrefix[];
  readonly sources: readonly IpPrefix[];
}

function compile(chain: FilterChainConfig): CompiledChain {
  const { match } = chain;
  return {
    chain,
    match,
    destinations: match.prefixRanges.map(prefixOrThrow),
    sources: match.sourcePrefixRanges.map(prefixOrThrow),
  };
}

/** The configuration compiler has checked the ranges. */
function prefixOrThrow(text: string): IpPrefix {
  const prefix = parseIpPrefix(text);
  if (prefix === null) throw new Error(`'${text}' is not an IP prefix`);
  return prefix;
}

/** Keeps the chains with the highest score ≥ 0; -1 = does not match. */
function mostSpecific(
  chains: readonly CompiledChain[],
  score: (chain: CompiledChain) => number,
): readonly CompiledChain[] {
  let best = 0;
  let kept: CompiledChain[] = [];
  for (const chain of chains) {
    const value = score(chain);
    if (value < best) continue;
    if (value > best) {
      best = value;
      kept = [];
    }
    kept.push(chain);
  }
  return kept;
}

function exact(any: boolean, matches: boolean): number {
  return any ? 0 : matches ? 1 : -1;
}

function prefixScore(prefixes: readonly IpPrefix[], address: Uint8Array | null): number {
  if (prefixes.length === 0) return 0;
  let best = -1;
  if (address === null) return best;
  for (const prefix of prefixes) {
    if (prefix.bits + 1 > best && inPrefix(address, prefix)) best = prefix.bits + 1;
  }
  return best;
}

/** Exact beats wildcards, longer wildcards beat shorter ones. `*.a.b` matches `x.a.b` and `x.y.a.b`. */
function serverNameScore(names: readonly string[], serverName: string): number {
  if (names.length === 0) return 0;
  let best = -1;
  for (const name of names) {
    if (name.startsWith('*.')) {
      const suffix = name.slice(1);
      if (serverName.length > suffix.length && serverName.endsWith(suffix)) {
        best = Math.max(best, suffix.length);
      }
    } else if (name === serverName && serverName !== '') {
      return EXACT_NAME_SCORE;
    }
  }
  return best;
}
/** More than the length of any name. */
const EXACT_NAME_SCORE = 1_000;
