import { describe, expect, test } from 'vitest';
import { validateSpec, withDefaults } from './kind.ts';
import { peerAuthentication } from './peer-authentication.ts';
import { formatPath } from './problem.ts';
import { Findings } from './validate.ts';

function problems(spec: unknown): string[] {
  const findings = new Findings();
  validateSpec(peerAuthentication, spec, [], findings);
  return findings.list.map(({ path, message }) => `${formatPath(path)}: ${message}`);
}

describe('PeerAuthentication', () => {
  test('[SC-02] the spec may be missing, and a mode not written is UNSET', () => {
    expect(problems(undefined)).toEqual([]);
    expect(withDefaults(peerAuthentication, undefined)).toEqual({ portLevelMtls: {} });
    expect(withDefaults(peerAuthentication, { mtls: {} })).toEqual({
      mtls: { mode: 'UNSET' },
      portLevelMtls: {},
    });
  });

  test('[SC-02] selector, mode and modes by port are accepted', () => {
    const selector = { matchLabels: { app: 'reviews' } };
    const portLevelMtls = { '9080': { mode: 'DISABLE' } };
    expect(problems({ selector, mtls: { mode: 'STRICT' }, portLevelMtls })).toEqual([]);
  });

  test.each<[object, string]>([
    [
      { mtls: { mode: 'strict' } },
      'mtls.mode: "strict" is not one of UNSET, DISABLE, PERMISSIVE, STRICT',
    ],
    [{ portLevelMtls: { '80': { mode: 'STRICT' } } }, 'portLevelMtls: needs selector.matchLabels'],
    [{ selector: { matchLabels: { a: 'b' } }, portLevelMtls: { '0': {} } }, 'is not a port number'],
    [
      { selector: { matchLabels: { a: 'b' } }, portLevelMtls: { http: {} } },
      'is not a port number',
    ],
    [{ mTLS: { mode: 'STRICT' } }, 'mTLS: unknown field'],
  ])('[PL-05] %j is refused', (spec, expected) => {
    expect(problems(spec).join()).toContain(expected);
  });
});
