import { describe, expect, test } from 'vitest';
import { hostOfAuthority, isAuthority, isAuthorityWithPort, portOfAuthority } from './authority.ts';

describe('authority grammar, RFC 3986 §3.2', () => {
  const valid = [
    'a',
    'a.b-c_d~e',
    'reviews.default.svc.cluster.local:9080',
    '10.0.0.1',
    '10.0.0.1:65535',
    'a:0',
    "a!$&'()*+,;=b",
    'a%2fb',
    '[::]',
    '[::1]:80',
    '[2001:db8::8a2e:370:7334]',
    '[1:2:3:4:5:6:7:8]',
    '[::ffff:192.0.2.1]',
    '[1:2:3:4:5:6:192.0.2.1]',
    '[1::]',
    '[1:2:3:4:5:6:7::]',
  ];
  for (const text of valid) test(`valid: ${text}`, () => expect(isAuthority(text)).toBe(true));

  const invalid = [
    '',
    ':80',
    'a:',
    'a:65536',
    'a:123456',
    'a:-1',
    'a:8o',
    'a:80:80',
    'u@a',
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'a\\b',
    'a%',
    'a%2',
    'a%zz',
    '\u00e9',
    '\u0161',
    'a[::1]',
    '[::1',
    '[]',
    '[::1]x',
    '[::1]:',
    '[1:2:3:4:5:6:7]',
    '[1:2:3:4:5:6:7:8:9]',
    '[1::2::3]',
    '[12345::]',
    '[:1:2:3:4:5:6:7]',
    '[1:2:3:4:5:6:7:]',
    '[1:2:3:4:5:6:7:8::]',
    '[::1%25eth0]',
    '[::1.2.3]',
    '[::01.2.3.4]',
    '[::256.2.3.4]',
    '[::1.2.3.4.5]',
    '[1:2:3:4:5:6:7:1.2.3.4]',
    '[v1.x]',
    '[g::]',
  ];
  for (const text of invalid) {
    test(`invalid: ${JSON.stringify(text)}`, () => expect(isAuthority(text)).toBe(false));
  }

  test('CONNECT needs a port from 1 to 65535 (RFC 9112 §3.2.3)', () => {
    expect(['a:1', '[::1]:443'].every(isAuthorityWithPort)).toBe(true);
    expect(['a', 'a:0', 'a:', '[::1]', ':1', ''].some(isAuthorityWithPort)).toBe(false);
  });

  test('host and port', () => {
    expect(hostOfAuthority('A.Example:80')).toBe('a.example');
    expect(hostOfAuthority('[2001:DB8::1]:80')).toBe('[2001:db8::1]');
    expect(hostOfAuthority('a')).toBe('a');
    expect(portOfAuthority('a:8080', 80)).toBe(8080);
    expect(portOfAuthority('a', 80)).toBe(80);
    expect(portOfAuthority('[::1]', 443)).toBe(443);
  });
});
