import { expect, test } from 'vitest';
import { coveredAddresses } from './covered-addresses.ts';

test.each<[string, string[], string[], string[]]>([
  ['none without ranges', ['10.0.0.1'], [], []],
  [
    'both ends of a range',
    ['9.255.255.255', '10.0.0.0', '10.255.255.255', '11.0.0.0'],
    ['10.1.2.3/8'],
    ['10.0.0.0', '10.255.255.255'],
  ],
  ['everything', ['0.0.0.0', '255.255.255.255'], ['0.0.0.0/0'], ['0.0.0.0', '255.255.255.255']],
  ['one address', ['10.0.0.1', '10.0.0.2'], ['10.0.0.1/32'], ['10.0.0.1']],
  [
    'ranges that overlap, the wider one first',
    ['10.0.9.9'],
    ['10.0.0.0/16', '10.0.1.0/24', '10.0.0.0/30'],
    ['10.0.9.9'],
  ],
  ['IPv6', ['fd00::5', 'fe00::5', '10.0.0.1'], ['fd00::/8'], ['fd00::5']],
])('%s', (_name, addresses, ranges, expected) => {
  expect(coveredAddresses(addresses, ranges)).toEqual(expected);
});
