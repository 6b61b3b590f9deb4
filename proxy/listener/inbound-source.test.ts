import { expect, test } from 'vitest';
import { missingInboundSource } from './inbound-source.ts';

const LOOPBACK = { address: '::1', family: 'IPv6' } as const;
const interfaces = (...addresses: string[]) =>
  ({ lo: [LOOPBACK, ...addresses.map((address) => ({ ...LOOPBACK, address }))] }) as never;

test('an IPv6 host without ::6 is told what to do', () => {
  expect(missingInboundSource('10.0.0.1,fd77::2', interfaces())).toMatch(/::6.*weft redirect/);
});

test('an IPv4 host needs nothing, and one that has ::6 neither', () => {
  expect(missingInboundSource('10.0.0.1', interfaces())).toBe('');
  expect(missingInboundSource('10.0.0.1,fd77::2', interfaces('::6'))).toBe('');
});
