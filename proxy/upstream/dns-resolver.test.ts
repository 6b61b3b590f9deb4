import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type DnsQueries, DnsResolver } from './dns-resolver.ts';
import { parseHostsFile } from './hosts-file.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function setup(hosts: string, resolvConf: string, records: Record<string, readonly string[]>) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-dns-'));
  folders.push(folder);
  const hostsPath = join(folder, 'hosts');
  const resolvConfPath = join(folder, 'resolv.conf');
  writeFileSync(hostsPath, hosts);
  writeFileSync(resolvConfPath, resolvConf);
  const asked: string[] = [];
  const answer = (version: string) => async (name: string) => {
    asked.push(`${version} ${name}`);
    const found = records[`${version} ${name}`];
    if (found === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
    return found;
  };
  const queries: DnsQueries = { resolve4: answer('A'), resolve6: answer('AAAA') };
  return { asked, resolver: new DnsResolver({ queries, hostsPath, resolvConfPath }) };
}

describe('DnsResolver', () => {
  test('the hosts file goes first and asks nobody', async () => {
    const { resolver, asked } = setup('10.1.1.1 db # the database\n::7 db\n', '', {});
    expect(await resolver.resolve('DB', 'AUTO')).toEqual({ addresses: ['10.1.1.1'], problem: '' });
    expect(await resolver.resolve('db', 'V6_ONLY')).toEqual({ addresses: ['::7'], problem: '' });
    expect(asked).toEqual([]);
  });

  test('localhost needs neither file nor network', async () => {
    const { resolver, asked } = setup('', '', {});
    expect((await resolver.resolve('localhost', 'AUTO')).addresses).toEqual(['127.0.0.1']);
    expect((await resolver.resolve('localhost', 'V6_ONLY')).addresses).toEqual(['::1']);
    expect(asked).toEqual([]);
  });

  test('an address is its own answer', async () => {
    const { resolver } = setup('', '', {});
    expect((await resolver.resolve('10.0.0.9', 'V6_ONLY')).addresses).toEqual(['10.0.0.9']);
  });

  test('[D30] AUTO takes IPv6 only where there is no IPv4', async () => {
    const { resolver } = setup('', '', {
      'A both.example': ['10.0.0.1'],
      'AAAA both.example': ['::1'],
      'AAAA six.example': ['::6'],
    });
    expect((await resolver.resolve('both.example', 'AUTO')).addresses).toEqual(['10.0.0.1']);
    expect((await resolver.resolve('six.example', 'AUTO')).addresses).toEqual(['::6']);
  });

  test('short names go through the search list, as in Kubernetes', async () => {
    const conf = 'search ns.svc.cluster.local svc.cluster.local\noptions ndots:5\n';
    const { resolver, asked } = setup('', conf, { 'A reviews.svc.cluster.local': ['10.0.0.1'] });
    expect((await resolver.resolve('reviews', 'V4_ONLY')).addresses).toEqual(['10.0.0.1']);
    expect(asked).toEqual(['A reviews.ns.svc.cluster.local', 'A reviews.svc.cluster.local']);
  });

  test('[D27] answers are bounded and sorted', async () => {
    const many = Array.from({ length: 1_000 }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
    const { resolver } = setup('', '', { 'A many.example': many.toReversed() });
    const { addresses } = await resolver.resolve('many.example', 'AUTO');
    expect(addresses).toHaveLength(256);
    expect(addresses).toEqual([...addresses].sort());
  });

  test('a failure says the name and the code, and does not reject', async () => {
    const { resolver } = setup('', '', {});
    expect(await resolver.resolve('gone.example', 'AUTO')).toEqual({
      addresses: [],
      problem: 'gone.example: ENOTFOUND',
    });
  });

  test('questions at the same time are asked once', async () => {
    const { resolver, asked } = setup('', '', { 'A a.example': ['10.0.0.1'] });
    await Promise.all([
      resolver.resolve('a.example', 'AUTO'),
      resolver.resolve('A.example', 'AUTO'),
    ]);
    expect(asked).toEqual(['A a.example']);
  });
});

test('a hosts file with nonsense in it is read as far as it makes sense', () => {
  const names = parseHostsFile('nonsense here\n\n127.0.0.1\tlocalhost me\r\n999.1.1.1 bad\n# no\n');
  expect(Object.fromEntries(names)).toEqual({ localhost: ['127.0.0.1'], me: ['127.0.0.1'] });
});
