import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inPrefix, ipBytes, parseIpPrefix } from '../tcp/ip-prefix.ts';
import { type ChainCriteria, FilterChainMatcher } from './filter-chain-match.ts';
import { httpChain } from './listener.testing.ts';
import type { FilterChainConfig } from './listener-config.ts';

type Match = Partial<FilterChainConfig['match']>;

function criteria(change: {
  address?: string;
  port?: number;
  source?: string;
  tls?: boolean;
  sni?: string;
  alpn?: string[];
}): ChainCriteria {
  return {
    destinationAddress: change.address ?? '10.0.0.1',
    destinationPort: change.port ?? 80,
    sourceAddress: change.source ?? '10.9.9.9',
    inspection: {
      transportProtocol: change.tls === true ? 'tls' : 'raw_buffer',
      serverName: change.sni ?? '',
      applicationProtocols: change.alpn ?? [],
    },
  };
}

function pick(chains: Record<string, Match>, change: Parameters<typeof criteria>[0]): string {
  const configs = Object.entries(chains).map(([name, match]) => httpChain(name, { match }));
  const found = new FilterChainMatcher(configs, httpChain('default')).match(criteria(change));
  return found?.name ?? 'none';
}

describe('FilterChainMatcher', () => {
  test('no chain and no default is null', () => {
    expect(new FilterChainMatcher([], null).match(criteria({}))).toBeNull();
  });

  test.each<[string, Record<string, Match>, Parameters<typeof criteria>[0], string]>([
    ['an empty match takes all', { a: {} }, {}, 'a'],
    ['the port beats no port', { a: {}, b: { destinationPort: 80 } }, {}, 'b'],
    ['another port does not match', { b: { destinationPort: 81 } }, {}, 'default'],
    [
      'the longest prefix wins',
      { a: { prefixRanges: ['10.0.0.0/8'] }, b: { prefixRanges: ['1.0.0.0/8', '10.0.0.0/24'] } },
      {},
      'b',
    ],
    [
      'an exact server name beats wildcards, whatever their order',
      { a: { serverNames: ['*.example.com'] }, b: { serverNames: ['x.example.com'] } },
      { sni: 'x.example.com', tls: true },
      'b',
    ],
    [
      'the longer wildcard wins',
      { a: { serverNames: ['*.com'] }, b: { serverNames: ['*.example.com'] }, c: {} },
      { sni: 'x.y.example.com', tls: true },
      'b',
    ],
    [
      'a wildcard does not match its own suffix',
      { a: { serverNames: ['*.example.com'] } },
      { sni: 'example.com', tls: true },
      'default',
    ],
    [
      'no server name matches only chains without one',
      { a: { serverNames: ['x'] }, b: {} },
      { tls: true },
      'b',
    ],
    [
      'transport protocol',
      { a: { transportProtocol: 'tls' }, b: { transportProtocol: 'raw_buffer' } },
      { tls: true },
      'a',
    ],
    [
      'any of the protocols offered',
      { a: { applicationProtocols: ['istio', 'istio-http/1.1'] }, b: {} },
      { tls: true, alpn: ['h2', 'istio'] },
      'a',
    ],
    [
      'source prefix comes last',
      { a: { sourcePrefixRanges: ['10.9.0.0/16'] }, b: {} },
      { source: '::ffff:10.9.9.9' },
      'a',
    ],
    [
      'earlier criteria decide, with no way back: the port, then its chains only',
      {
        port: { destinationPort: 80, transportProtocol: 'tls' },
        plain: { transportProtocol: 'raw_buffer' },
      },
      { tls: false },
      'default',
    ],
    [
      'server name before ALPN',
      { a: { applicationProtocols: ['h2'] }, b: { serverNames: ['x'] } },
      { tls: true, sni: 'x', alpn: ['h2'] },
      'b',
    ],
    [
      'of equal chains the first wins',
      { a: { destinationPort: 80 }, b: { destinationPort: 80 } },
      {},
      'a',
    ],
  ])('%s', (_name, chains, change, expected) => {
    expect(pick(chains, change)).toBe(expected);
  });
});

describe('IP prefixes', () => {
  test.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.0/23', '10.1.3.9', true],
    ['10.1.2.0/23', '10.1.4.0', false],
    ['0.0.0.0/0', '1.2.3.4', true],
    ['0.0.0.0/0', '::1', false],
    ['fd00::/8', 'fdab::1', true],
    ['fd00::/8', 'fe80::1', false],
    ['::1/128', '::1', true],
    ['::ffff:10.0.0.0', '10.0.0.0', true],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
  ])('%s holds %s: %s', (prefix, address, expected) => {
    expect(inPrefix(ipBytes(address)!, parseIpPrefix(prefix)!)).toBe(expected);
  });

  test.each(['', '10.0.0.0/33', '10.0.0/8', 'x/8', '::/129', '10.0.0.0/', '10.0.0.0/-1'])(
    '%j is no prefix',
    (text) => {
      expect(parseIpPrefix(text)).toBeNull();
    },
  );

  test('fuzz: IPv6 text in any spelling has the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const groups: string[] = [];
        for (let at = 0; at < 16; at += 2) {
          groups.push(((bytes[at]! << 8) | bytes[at + 1]!).toString(16));
        }
        const full = groups.join(':');
        const short = new URL(`http://[${full}]/`).hostname.slice(1, -1);
        expect([...(ipBytes(full) ?? [])]).toEqual([...(ipBytes(short) ?? [])]);
      }),
    );
  });
});
