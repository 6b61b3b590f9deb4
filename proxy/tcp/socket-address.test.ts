import { expect, test } from 'vitest';
import { formatAddress, parseAddress, unmapped } from './socket-address.ts';

test.each([
  ['10.0.0.1:80', { host: '10.0.0.1', port: 80 }],
  ['[::1]:8080', { host: '::1', port: 8080 }],
  ['Example.COM:443', { host: 'example.com', port: 443 }],
  ['10.0.0.1', null],
  ['::1:80', null],
  ['[nonsense]:80', null],
  ['host:0', null],
  ['host:65536', null],
  ['host:080x', null],
  [':80', null],
  ['', null],
])('%s is read as %j', (text, expected) => {
  expect(parseAddress(text)).toEqual(expected);
});

test('IPv6 gets brackets, an IPv4-mapped address is IPv4', () => {
  expect(formatAddress('::1', 80)).toBe('[::1]:80');
  expect(formatAddress('10.1.2.3', 80)).toBe('10.1.2.3:80');
  expect(unmapped('::ffff:10.1.2.3')).toBe('10.1.2.3');
  expect(unmapped('fe80::1')).toBe('fe80::1');
});
