import { expect, test } from 'vitest';
import { parseFlags } from './flags.ts';
import { neighbourOf, outboundTargets } from './probe-target.ts';

function targets(
  args: string[],
  family: 'v4' | 'v6' = 'v4',
  local: string[] = [],
  near: string[] = [],
) {
  const parsed = parseFlags(args);
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed));
  return outboundTargets(parsed.commandLine.settings, family, 15002, local, near).map(
    ({ address, port }) => `${address} ${port}`,
  );
}

test('everything is redirected: an address of documentation, then a neighbour', () => {
  expect(targets([], 'v4', [], ['10.0.0.1'])).toEqual([
    '192.0.2.1 15002',
    '198.51.100.1 15002',
    '203.0.113.1 15002',
    '10.0.0.1 15002',
  ]);
  expect(targets([], 'v6')).toEqual(['2001:db8::1 15002']);
});

test.each([
  [
    ['-i', '10.0.0.0/8'],
    ['10.0.0.1 15002', '10.0.0.2 15002'],
  ],
  [['-i', '10.0.0.7/32'], ['10.0.0.7 15002']],
  [
    ['-i', '10.0.0.6/31'],
    ['10.0.0.6 15002', '10.0.0.7 15002'],
  ],
  [['-i', ''], []],
  [['-i', 'fd00::/8'], []],
  [
    ['-i', '', '-q', '80,443'],
    ['192.0.2.1 80', '198.51.100.1 80', '203.0.113.1 80'],
  ],
  [['-i', '', '-q', '80', '-o', '80'], []],
  [['-x', '192.0.2.0/24,198.51.100.0/24'], ['203.0.113.1 15002']],
  [['-x', '0.0.0.0/0'], []],
  [['-i', '192.0.2.7', '-o', '15000-15005'], ['192.0.2.7 15006']],
  [['-i', '127.0.0.0/8'], []],
])('%s: %s', (args, expected) => {
  expect(targets(args)).toEqual(expected);
});

test('an address of this machine is none', () => {
  expect(targets(['-i', '10.0.0.0/30'], 'v4', ['10.0.0.1'])).toEqual(['10.0.0.2 15002']);
});

test('a neighbour is in the network, and not this machine', () => {
  expect(neighbourOf('v4', '10.0.0.1/24')).toEqual(['10.0.0.2']);
  expect(neighbourOf('v4', '10.0.0.5/32')).toEqual([]);
  expect(neighbourOf('v6', 'fd00::1/64')).toEqual(['fd00::2']);
  expect(neighbourOf('v6', '10.0.0.1/24')).toEqual([]);
});
