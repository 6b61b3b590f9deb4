import { describe, expect, test } from 'vitest';
import { destinationRule } from './destination-rule.ts';
import { withDefaults } from './kind.ts';
import { formatPath } from './problem.ts';
import { Findings, validate } from './validate.ts';

function problems(spec: object): string[] {
  const findings = new Findings();
  validate(destinationRule.spec, spec, [], findings);
  return findings.list.map(({ path, message }) => `${formatPath(path)}: ${message}`);
}

describe('DestinationRule', () => {
  test('[TM-09] defaults are filled in', () => {
    const spec = withDefaults(destinationRule, {
      host: 'reviews',
      trafficPolicy: { loadBalancer: {} },
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
    });
    expect(spec).toEqual({
      host: 'reviews',
      trafficPolicy: { loadBalancer: { simple: 'LEAST_REQUEST' }, portLevelSettings: [] },
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
      exportTo: ['*'],
    });
  });

  test('[LB-01] LEAST_CONN is LEAST_REQUEST, and stays as written in the stored spec', () => {
    const written = { host: 'a', trafficPolicy: { loadBalancer: { simple: 'LEAST_CONN' } } };
    const findings = new Findings();
    expect(validate(destinationRule.spec, written, [], findings)).toEqual(written);
    expect(findings.list).toEqual([]);
    expect(withDefaults(destinationRule, written).trafficPolicy?.loadBalancer?.simple).toBe(
      'LEAST_REQUEST',
    );
  });

  test('every supported field is accepted', () => {
    const blocks = {
      loadBalancer: { simple: 'RANDOM' },
      connectionPool: { tcp: { connectTimeout: '10s' } },
      tls: { mode: 'ISTIO_MUTUAL' },
    };
    const portLevelSettings = [{ port: { number: 9080 }, ...blocks }];
    const trafficPolicy = { ...blocks, portLevelSettings };
    const subsets = [{ name: 'v1', labels: { version: 'v1' }, trafficPolicy }, { name: 'all' }];
    expect(problems({ host: '*.example.com', trafficPolicy, subsets, exportTo: ['.'] })).toEqual(
      [],
    );
  });

  test.each<[string, object, string]>([
    [
      'a duplicate subset',
      { subsets: [{ name: 'v1' }, { name: 'v1' }] },
      'subsets[1].name: subset "v1" is defined twice',
    ],
    ['a subset name', { subsets: [{ name: 'V 1' }] }, 'subsets[0].name: "V 1" must be lower-case'],
    [
      'a duplicate port',
      { trafficPolicy: { portLevelSettings: [{ port: { number: 1 } }, { port: { number: 1 } }] } },
      'trafficPolicy.portLevelSettings[1].port.number: 1 is used twice',
    ],
    ['a missing port', { trafficPolicy: { portLevelSettings: [{}] } }, 'port is required'],
    [
      'a TLS mode for later',
      { trafficPolicy: { tls: { mode: 'SIMPLE' } } },
      'trafficPolicy.tls.mode: SIMPLE: TLS origination',
    ],
    ['an empty tls block', { trafficPolicy: { tls: {} } }, 'trafficPolicy.tls: mode is required'],
    [
      'a label',
      { subsets: [{ name: 'v1', labels: { version: 'v 1' } }] },
      'subsets[0].labels.version: "v 1"',
    ],
    [
      'outlier detection',
      { trafficPolicy: { outlierDetection: {} } },
      'known to Istio, not supported by Weft yet',
    ],
    [
      'consistent hashing',
      { trafficPolicy: { loadBalancer: { consistentHash: {} } } },
      'known to Istio',
    ],
    ['pool limits', { trafficPolicy: { connectionPool: { http: {} } } }, 'known to Istio'],
    [
      'pool limits of TCP',
      { trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 } } } },
      'known to Istio',
    ],
    ['a workload selector', { workloadSelector: {} }, 'workloadSelector: known to Istio'],
  ])('[PL-05] %s is refused with its path', (_name, spec, expected) => {
    expect(problems({ host: 'reviews', ...spec }).join()).toContain(expected);
  });
});
