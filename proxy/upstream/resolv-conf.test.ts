import { expect, test } from 'vitest';
import { parseResolvConf } from './resolv-conf.ts';

test('the last search line counts, options and name servers add up', () => {
  const text = [
    '# a comment',
    '; another',
    'nameserver 10.0.0.1',
    'nameserver nonsense',
    ' nameserver   fe80::1 ',
    'nameserver',
    'domain old.example',
    'search a.example b.example',
    'options ndots:5 timeout:2',
    'options ndots:99',
  ].join('\n');
  expect(parseResolvConf(text)).toEqual({
    nameservers: ['10.0.0.1', 'fe80::1'],
    search: ['a.example', 'b.example'],
    ndots: 15,
  });
});

test('an empty file has no name servers and one dot', () => {
  expect(parseResolvConf('')).toEqual({ nameservers: [], search: [], ndots: 1 });
});

test('a file without end is read in part', () => {
  const long = parseResolvConf('nameserver 10.0.0.1\n'.repeat(100_000));
  expect(long.nameservers).toHaveLength(8);
  expect(parseResolvConf(`search ${'a '.repeat(100)}`).search).toHaveLength(6);
});
