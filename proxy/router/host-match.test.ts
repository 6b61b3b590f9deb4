import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HostMatcher, withoutPort } from './host-match.ts';

function matcher(...patterns: string[]): HostMatcher<string> {
  const hosts = new HostMatcher<string>();
  for (const pattern of patterns) hosts.add(pattern, pattern);
  return hosts;
}

test.each([
  ['a.b.c', 'a.b.c'],
  ['x.b.c', '*.b.c'],
  ['y.x.b.c', '*.b.c'],
  ['z.c', '*.c'],
  ['a.q', 'a.*'],
  ['a.b.q', 'a.b.*'],
  ['other', '*'],
  ['.b.c', '*.c'],
])('[TM-07] %s is found under %s', (host, pattern) => {
  const hosts = matcher('*', 'a.*', 'a.b.*', '*.c', '*.b.c', 'a.b.c');
  expect(hosts.find(host)).toBe(pattern);
});

test('[TM-07] a wildcard stands for at least one character', () => {
  expect(matcher('*.b').find('.b')).toBeNull();
  expect(matcher('a.*').find('a.')).toBeNull();
});

test('[TM-07] a suffix wildcard beats a prefix wildcard', () => {
  expect(matcher('a.*', '*.c').find('a.c')).toBe('*.c');
});

test('the first value of a pattern stays', () => {
  const hosts = new HostMatcher<number>();
  expect(hosts.add('a', 1)).toBe(true);
  expect(hosts.add('a', 2)).toBe(false);
  expect(hosts.find('a')).toBe(1);
});

test.each([
  ['a:80', 'a'],
  ['a', 'a'],
  ['[::1]:80', '[::1]'],
  ['[::1]', '[::1]'],
])('the port of %s is left out', (authority, host) => {
  expect(withoutPort(authority)).toBe(host);
});

/** The rule of TM-07 read word by word. */
function oracle(patterns: readonly string[], host: string): string | null {
  if (patterns.includes(host)) return host;
  const byLength = (a: string, b: string) => b.length - a.length;
  const suffix = patterns
    .filter((p) => p.length > 1 && p.startsWith('*') && host.length >= p.length)
    .filter((p) => host.endsWith(p.slice(1)))
    .sort(byLength)[0];
  if (suffix !== undefined) return suffix;
  const prefix = patterns
    .filter((p) => p.length > 1 && p.endsWith('*') && !p.startsWith('*'))
    .filter((p) => host.length >= p.length && host.startsWith(p.slice(0, -1)))
    .sort(byLength)[0];
  return prefix ?? (patterns.includes('*') ? '*' : null);
}

test('[TM-07] fuzz: lookup agrees with the rule read word by word', () => {
  const label = fc.constantFrom('a', 'b', 'ab', 'x-a');
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const pattern = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
    name.map((text) => `*${text}`),
    name.map((text) => `${text}.*`),
    fc.constant('*'),
  );
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 12 }), name, (patterns, host) => {
      expect(matcher(...patterns).find(host)).toBe(oracle(patterns, host));
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('[TM-07] a lookup among 10,000 hosts costs no more than a few among ten', () => {
  const hosts = new HostMatcher<number>();
  for (let n = 0; n < 10_000; n++) hosts.add(`svc-${n}.ns.svc.cluster.local`, n);
  const began = performance.now();
  for (let n = 0; n < 10_000; n++) hosts.find(`svc-${n}.ns.svc.cluster.local`);
  // 10,000 scans of 10,000 names would take seconds.
  expect(performance.now() - began).toBeLessThan(500);
});
