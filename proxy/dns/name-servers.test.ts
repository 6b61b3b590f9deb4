import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../../test/harness/until.ts';
import { NameServers } from './name-servers.ts';

let directory = '';
let nowMs = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-resolv-'));
  nowMs = 0;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const path = () => join(directory, 'resolv.conf');
const servers = (configured: { host: string; port: number }[] = []) =>
  new NameServers({ configured, path: path(), nowMs: () => nowMs });

test('[DS-05] name servers and the first search domain are those of resolv.conf', () => {
  writeFileSync(
    path(),
    'nameserver 10.0.0.53\nnameserver fd00::53\nsearch Default.svc.cluster.local. svc.cluster.local\n',
  );
  expect(servers().list()).toEqual([
    { host: '10.0.0.53', port: 53 },
    { host: 'fd00::53', port: 53 },
  ]);
  expect(servers().searchDomain()).toBe('default.svc.cluster.local');
});

test('[DS-05] those that are configured stand in their place', () => {
  writeFileSync(path(), 'nameserver 10.0.0.53\nsearch lan\n');
  const configured = [{ host: '127.0.0.1', port: 5353 }];
  expect(servers(configured).list()).toEqual(configured);
  expect(servers(configured).searchDomain()).toBe('lan');
});

test('without a file the resolver’s own rule holds: this host', () => {
  expect(servers().list()).toEqual([{ host: '127.0.0.1', port: 53 }]);
  expect(servers().searchDomain()).toBe('');
});

test.each([
  ['its own address', '127.0.0.1', '127.0.0.1', []],
  ['another loopback address', '127.0.0.1', '127.0.0.53', [{ host: '127.0.0.53', port: 53 }]],
  ['any loopback address, bound to all', '0.0.0.0', '127.0.0.53', []],
  ['the unspecified address, bound to loopback', '127.0.0.1', '0.0.0.0', []],
  ['IPv6 loopback, bound to all', '::', '::1', []],
  ['another host, bound to all', '0.0.0.0', '198.51.100.1', [{ host: '198.51.100.1', port: 53 }]],
])('[DS-05] %s', (_, own, upstream, expected) => {
  writeFileSync(path(), `nameserver ${upstream}\n`);
  const list = servers();
  list.setOwn([{ host: own, port: 53 }]);
  expect(list.list()).toEqual(expected);
  list.setOwn([{ host: own, port: 15_053 }]);
  expect(list.list()).toHaveLength(1);
});

test('a file that changes is read again, one that goes is remembered', async () => {
  writeFileSync(path(), 'nameserver 10.0.0.53\n');
  const list = servers();
  writeFileSync(path(), 'nameserver 10.0.0.54\n');
  expect(list.list()[0]?.host).toBe('10.0.0.53');
  nowMs += 5_000;
  await until('the new file', () => list.list()[0]?.host === '10.0.0.54');
  rmSync(path());
  const seen = new Set<string | undefined>();
  const next = (): string | undefined => {
    nowMs += 5_000;
    const host = list.list()[0]?.host;
    seen.add(host);
    return host;
  };
  for (let n = 0; n < 10; n++) {
    next();
    await new Promise((done) => setImmediate(done));
  }
  writeFileSync(path(), '');
  for (let n = 0; n < 10; n++) {
    next();
    await new Promise((done) => setImmediate(done));
  }
  writeFileSync(path(), 'nameserver 10.0.0.55\n');
  await until('the file that is back', () => next() === '10.0.0.55');
  expect([...seen]).toEqual(['10.0.0.54', '10.0.0.55']);
});
