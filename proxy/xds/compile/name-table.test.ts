import { expect, test } from 'vitest';
import { NameTable, NameTable_NameInfo } from '../../../proto/gen/istio/networking/nds/v1/nds.ts';
import { compileNameTable } from './name-table.ts';
import { formatProblems } from './problems.ts';

function compile(hosts: Record<string, Parameters<typeof NameTable_NameInfo.create>[0]>) {
  const table = new Map(
    Object.entries(hosts).map(([host, info]) => [host, NameTable_NameInfo.create(info)]),
  );
  return compileNameTable(NameTable.create({ table }), '7');
}

test('[DS-05] hosts are told apart by family, in lower case, without the dot at the end', () => {
  const compiled = compile({
    'Reviews.Default.svc.cluster.local.': {
      ips: ['240.240.0.7', '2001:2::7', '240.240.0.7'],
      registry: 'Kubernetes',
      shortname: 'Reviews',
      namespace: 'default',
      ports: [{ name: 'HTTP', protocol: 'tcp', number: 9080 }],
    },
    '*.example.com': { ips: ['10.0.0.1'], registry: 'External', shortname: 'x' },
    'nothing.example.com': { ips: [] },
  });
  expect(compiled.ok && Object.fromEntries(compiled.value.hosts)).toEqual({
    'reviews.default.svc.cluster.local': {
      host: 'reviews.default.svc.cluster.local',
      v4: ['240.240.0.7'],
      v6: ['2001:2::7'],
      shortname: 'reviews',
      namespace: 'default',
      ports: [{ name: 'http', protocol: 'tcp', number: 9080 }],
    },
    '*.example.com': {
      host: '*.example.com',
      v4: ['10.0.0.1'],
      v6: [],
      shortname: '',
      namespace: '',
      ports: [],
    },
  });
});

test.each([
  ['a.b', ['10.0.0.256'], 'table["a.b"].ips[0]: "10.0.0.256" is no IP address'],
  ['a', ['10.0.0.1', 'b'], 'table.a.ips[1]: "b" is no IP address'],
  ['a..b', ['10.0.0.1'], 'table["a..b"]: is no host name that DNS can carry'],
  [`${'a'.repeat(64)}.b`, ['10.0.0.1'], /is no host name that DNS can carry/],
  [`${'a.'.repeat(127)}b`, ['10.0.0.1'], /is no host name that DNS can carry/],
  ['', ['10.0.0.1'], /is no host name/],
  [
    'many',
    Array.from({ length: 5_000 }, () => '10.0.0.1'),
    'table.many.ips: are 5000; at most 4096 are taken',
  ],
])('[OP-06] %s: a table that cannot be served is refused with the place', (host, ips, text) => {
  const compiled = compile({ [host]: { ips }, good: { ips: ['10.0.0.1'] } });
  const problems = compiled.ok ? '' : formatProblems(compiled.problems);
  if (typeof text === 'string') expect(problems).toBe(text);
  else expect(problems).toMatch(text);
});
