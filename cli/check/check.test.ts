import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readValues } from '../../deploy/manifests/read-values.ts';
import type { ApiClient } from '../api-client.ts';
import type { Terminal } from '../terminal.ts';
import { type Check, type CheckCategory, failed, OK, runChecks } from './check.ts';
import { CheckOutput } from './check-output.ts';
import type { Cluster } from './cluster.ts';
import { clusterChecks } from './cluster-checks.ts';
import { isInjected } from './data-plane-checks.ts';
import { localChecks } from './local-checks.ts';

function category(name: string, ...checks: Partial<Check>[]): CheckCategory {
  return {
    name,
    checks: checks.map((check, at) => ({
      description: `check ${at}`,
      hint: 'leader',
      run: async () => OK,
      ...check,
    })),
  };
}

/** Time passes by waiting only. */
function handWound(waitMs = 0) {
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    wait: async (ms: number) => {
      nowMs += ms;
    },
    waitMs,
  };
}

function terminal(): Terminal & { text: string } {
  return {
    text: '',
    out(part: string) {
      this.text += part;
    },
    talk() {},
    colour: (_style, part) => part,
    isTty: false,
  };
}

const WELL = category('first', {}, { run: async () => ({ kind: 'skipped', reason: 'not here' }) });
const WARNED = category('second', { warning: true, run: async () => failed('one\ntwo \x1b[31m') });
const WRONG = category('third', { run: async () => failed('away') }, {});

test('groups, marks, reasons and hints are shown as they are settled', async () => {
  const screen = terminal();
  const output = new CheckOutput(screen, 'table');
  const reports = await runChecks([WELL, WARNED, WRONG], handWound(), output.report);
  expect(output.finish(reports)).toBe(false);
  expect(screen.text).toBe(`first
-----
√ check 0
- check 1 (skipped: not here)

second
------
‼ check 0
    one
    two \\x1b[31m
    see docs/checks.md#leader for hints

third
-----
× check 0
    away
    see docs/checks.md#leader for hints
√ check 1

Status check results are ×
`);
});

test('short shows only what is not well', async () => {
  const screen = terminal();
  const output = new CheckOutput(screen, 'short');
  output.finish(await runChecks([WELL, WARNED], handWound(), output.report));
  expect(screen.text).toBe(`second
------
‼ check 0
    one
    two \\x1b[31m
    see docs/checks.md#leader for hints

Status check results are √
`);
});

test('json is one document', async () => {
  const screen = terminal();
  const output = new CheckOutput(screen, 'json');
  output.finish(await runChecks([WELL, WRONG], handWound(), output.report));
  expect(JSON.parse(screen.text)).toEqual({
    success: false,
    categories: [
      {
        categoryName: 'first',
        checks: [
          { description: 'check 0', result: 'success' },
          {
            description: 'check 1',
            result: 'skipped',
            error: 'not here',
            hint: 'docs/checks.md#leader',
          },
        ],
      },
      {
        categoryName: 'third',
        checks: [
          { description: 'check 0', result: 'error', error: 'away', hint: 'docs/checks.md#leader' },
          { description: 'check 1', result: 'success' },
        ],
      },
    ],
  });
});

test('a fatal failure ends the whole', async () => {
  let later = 0;
  const count = async () => {
    later++;
    return OK;
  };
  const fatal = category('a', { fatal: true, run: async () => failed('away') }, { run: count });
  const reports = await runChecks([fatal, category('b', { run: count })], handWound(), () => {});
  expect([reports.length, reports[0]!.checks.length, later]).toEqual([1, 1, 0]);
});

test('what may still come up is looked at again, until the time is up', async () => {
  let looks = 0;
  const slow = (needed: number) =>
    category('a', { retry: true, run: async () => (++looks >= needed ? OK : failed('not yet')) });
  const [ready] = await runChecks([slow(4)], handWound(10_000), () => {});
  expect([ready!.checks[0]!.result, looks]).toEqual(['success', 4]);
  looks = 0;
  const [late] = await runChecks([slow(1000)], handWound(10_000), () => {});
  expect([late!.checks[0]!.result, late!.checks[0]!.reason, looks]).toEqual([
    'error',
    'not yet',
    11,
  ]);
});

test('a check that throws has failed, with the reason', async () => {
  const thrown = category('a', { run: async () => Promise.reject(new Error('ECONNREFUSED')) });
  const [report] = await runChecks([thrown], handWound(), () => {});
  expect(report!.checks[0]).toMatchObject({ result: 'error', reason: 'ECONNREFUSED' });
});

test('docs/checks.md explains every hint, and no other', () => {
  const page = readFileSync(new URL('../../docs/checks.md', import.meta.url), 'utf8');
  const explained = [...page.matchAll(/<a id="([a-z-]+)">/g)].map(([, id]) => id!);
  const installation = {
    values: readValues([], '0.1.0'),
    namespace: 'weft-system',
    version: '0.1.0',
  };
  const cluster = { address: 'https://example' } as Cluster;
  const rest = { dataPlane: true, nowMs: () => 0, dataPlaneNamespace: '' };
  const categories = [
    ...clusterChecks({ cluster, installation, pre: true, ...rest }),
    ...clusterChecks({ cluster, installation, pre: false, ...rest }),
    ...localChecks({ api: {} as ApiClient, version: '0.1.0', ...rest }),
  ];
  const given = new Set(categories.flatMap(({ checks }) => checks.map(({ hint }) => hint)));
  expect([...new Set(explained)].sort()).toEqual([...given].sort());
});

test.each<[string, string, Record<string, string>, string[], boolean]>([
  ['its revision', 'shop', { 'istio.io/rev': 'canary' }, ['injection.revision=canary'], true],
  ['a tag of it', 'shop', { 'weft.dev/rev': 'prod' }, ['injection.revisionTags=prod'], true],
  ['another revision', 'shop', { 'istio.io/rev': 'default' }, ['injection.revision=canary'], false],
  ['nothing', 'shop', {}, [], false],
  ['nothing, where that is enough', 'shop', {}, ['injection.injectByDefault=true'], true],
  ['disabled', 'a', { 'istio-injection': 'disabled' }, ['injection.injectByDefault=true'], false],
  ['enabled', 'shop', { 'istio-injection': 'enabled' }, [], true],
  ['enabled, of the system', 'kube-system', { 'istio-injection': 'enabled' }, [], false],
  ['enabled, our own', 'weft-system', { 'istio-injection': 'enabled' }, [], false],
])('[KI-01] a namespace that says %s', (_name, name, labels, settings, expected) => {
  const installation = {
    values: readValues(settings, '0.1.0'),
    namespace: 'weft-system',
    version: '0.1.0',
  };
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  expect(isInjected(namespace, installation)).toBe(expected);
});
