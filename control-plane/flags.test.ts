import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ControlPlaneFlags, parseControlPlaneFlags } from './flags.ts';

function parse(argv: string[], env: Record<string, string> = {}) {
  let said = '';
  const note = (text: string) => {
    said += text;
  };
  const parsed = parseControlPlaneFlags(argv, env, '0.1.0', { out: note, talk: note });
  return { parsed, said };
}

function flags(argv: string[], env: Record<string, string> = {}): ControlPlaneFlags {
  const { parsed, said } = parse(argv, env);
  if (parsed.kind !== 'run') throw new Error(said);
  return parsed.flags;
}

test('defaults are Istio’s ports, on loopback', () => {
  expect(flags([])).toMatchObject({
    logLevel: 'info',
    options: {
      dataDirectory: 'weft-data',
      xds: { host: '127.0.0.1', port: 15012 },
      api: { host: '127.0.0.1', port: 15080 },
      monitoring: { host: '127.0.0.1', port: 15014 },
      plaintextXds: null,
      workloadCertTtlMs: 86_400_000,
      registrationLeaseMs: 10_000,
      debounce: { quietMs: 100, maxMs: 10_000 },
      apiToken: undefined,
      mesh: {
        trustDomain: 'cluster.local',
        rootNamespace: 'istio-system',
        outboundTrafficPolicy: 'ALLOW_ANY',
        accessLogFile: '',
      },
    },
  });
});

test('a flag wins over its environment variable, which wins over the default', () => {
  const env = { WEFT_XDS: '127.0.0.1:1', WEFT_REGISTRATION_LEASE: '2s', WEFT_API: '' };
  const { options } = flags(['--xds', '[::1]:2', '--workload-cert-ttl=30s'], env);
  expect(options.xds).toEqual({ host: '::1', port: 2 });
  expect(options.registrationLeaseMs).toBe(2000);
  expect(options.workloadCertTtlMs).toBe(30_000);
  expect(options.api.port).toBe(15080);
});

test.each([
  [['--xds', '15012'], /--xds.*127\.0\.0\.1:15012 or \[::1\]:15012/s],
  [['--xds', '127.0.0.1:70000'], /--xds/],
  [['--workload-cert-ttl', '0s'], /at least 5s/],
  [['--debounce', 'soon'], /duration such as/],
  [['--outbound-traffic-policy', 'DENY'], /ALLOW_ANY, REGISTRY_ONLY/],
  [['--dta', 'x'], /--dta.*Did you mean --data/s],
  [['--api-token-file', '/nowhere/token'], /cannot be read/],
  [['left-over'], /too many arguments/],
])('%j is refused with exit code 64 and the reason', (argv, reason) => {
  const { parsed, said } = parse(argv);
  expect(parsed).toEqual({ kind: 'exit', exitCode: 64 });
  expect(said).toMatch(reason);
});

test('--help is no error', () => {
  const { parsed, said } = parse(['--help']);
  expect(parsed).toEqual({ kind: 'exit', exitCode: 0 });
  expect(said).toContain('--plaintext-xds <host:port>');
});

test('lists and the token of the API', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-flags-'));
  const file = join(directory, 'token');
  writeFileSync(file, 'sixteen-characters\n');
  const { options } = flags([
    '--trust-domain-aliases=old.example, older.example',
    `--api-token-file=${file}`,
  ]);
  expect(options.trustDomainAliases).toEqual(['old.example', 'older.example']);
  expect(options.apiToken).toBe('sixteen-characters');
  rmSync(directory, { recursive: true });
});

test('a cluster keeps policies and authority where that is asked for', () => {
  expect(flags(['--kubernetes']).options).toMatchObject({ store: 'sqlite', webhooks: null });
  const { options } = flags(['--kubernetes'], {
    WEFT_STORE: 'kubernetes',
    WEFT_POD_NAMESPACE: 'mesh',
    WEFT_WEBHOOKS: '0.0.0.0:15017',
  });
  expect(options).toMatchObject({
    store: 'kubernetes',
    webhooks: { host: '0.0.0.0', port: 15017 },
    replica: { podNamespace: 'mesh', leaseDurationMs: 15_000, caSecret: 'weft-ca' },
  });
  expect(options.replica.podName).not.toBe('');
  expect(flags([], { WEFT_KUBERNETES: 'false' }).options.kubernetes).toBeNull();
});

test('--kubernetes names the cluster by a kubeconfig or by the pod that it runs in', () => {
  expect(flags([]).options.kubernetes).toBeNull();
  const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
  expect(flags([], { ...env, WEFT_KUBERNETES: 'true' }).options.kubernetes).toEqual({
    kubeconfig: null,
    context: '',
    serviceHost: '10.96.0.1',
    servicePort: '443',
    tokenAudiences: ['weft-ca', 'istio-ca'],
  });
  const named = ['--kubernetes', '--kubeconfig', 'k', '--kubernetes-context', 'kind'];
  const { options } = flags([
    ...named,
    '--token-audiences',
    'a, b',
    '--cluster-domain',
    'corp.local',
  ]);
  expect(options.kubernetes).toMatchObject({
    kubeconfig: 'k',
    context: 'kind',
    tokenAudiences: ['a', 'b'],
  });
  expect(options.mesh.domain).toBe('corp.local');
});

test('what says nothing without --kubernetes is refused', () => {
  const { parsed, said } = parse(['--kubeconfig', 'k']);
  expect(parsed).toEqual({ kind: 'exit', exitCode: 64 });
  expect(said).toBe('error: --kubeconfig says nothing without --kubernetes\n');
});
