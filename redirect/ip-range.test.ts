import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressNumber, addressText, parseIpRange, rangeHas } from './ip-range.ts';
import { parseNameservers } from './nameservers.ts';

const NUM_RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['10.1.2.3', '10.1.2.3/32'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['2001:DB8:0:0::1/32', '2001:db8::/32'],
  ['::1', '::1/128'],
  ['::/0', '::/0'],
  ['fd00::7:0:0:1/64', 'fd00::/64'],
])('%s is %s', (text, expected) => {
  expect(parseIpRange(text)?.text).toBe(expected);
});

test.each([
  '',
  '/8',
  '10.0.0.0/',
  '10.0.0.0/08',
  '10.0.0.0/+8',
  '10.0.0.0/8/8',
  '010.0.0.1',
  '::/129',
  'a/8',
])('"%s" is no range', (text) => {
  expect(parseIpRange(text)).toBeNull();
});

test('a range has its first and last address and no other', () => {
  const range = parseIpRange('10.1.0.0/16')!;
  const has = (address: string) => rangeHas(range, addressNumber(address));
  expect([has('10.1.0.0'), has('10.1.255.255'), has('10.2.0.0'), has('10.0.255.255')]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test('fuzz: number and text of an address are each other’s inverse', () => {
  const any = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
  fc.assert(
    fc.property(any, (number) => {
      const text = addressText('v6', number);
      expect(isIPv6(text)).toBe(true);
      expect(addressNumber(text)).toBe(number);
      const v4 = number & 0xffffffffn;
      expect(addressNumber(addressText('v4', v4))).toBe(v4);
    }),
    { numRuns: NUM_RUNS },
  );
});

test('nameservers of resolv.conf, each once, without zone', () => {
  const text = [
    '# nameserver 9.9.9.9',
    'search svc.cluster.local',
    'nameserver 10.0.0.10',
    '  nameserver\t127.0.0.11 # comment',
    'nameserver 10.0.0.10',
    'nameserver fe80::1%eth0',
    'nameserver 2001:DB8:0::53',
    'nameserver ns.example.com',
    'nameserver',
    'nameservers 1.1.1.1',
  ].join('\n');
  expect(parseNameservers(text)).toEqual({
    v4: ['10.0.0.10', '127.0.0.11'],
    v6: ['fe80::1', '2001:db8::53'],
  });
});
