import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { inClusterConfig } from './cluster-config.ts';
import { parseKubeconfig, readKubeconfig } from './kubeconfig.ts';

const directory = mkdtempSync(join(tmpdir(), 'weft-kubeconfig-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';

function kubeconfig(user: string, cluster = 'server: https://10.0.0.1:6443'): string {
  return `apiVersion: v1
kind: Config
current-context: kind
contexts:
- name: kind
  context: {cluster: c, user: u, namespace: shop}
- name: other
  context: {cluster: d, user: u}
clusters:
- name: c
  cluster:
    ${cluster}
- name: d
  cluster: {server: "https://[fd00::1]:6443", insecure-skip-tls-verify: true}
users:
- name: u
  user: ${user}
`;
}

test('the current context gives server, authority, namespace and token', () => {
  const data = Buffer.from(PEM).toString('base64');
  const cluster = `server: https://10.0.0.1:6443\n    certificate-authority-data: ${data}`;
  const parsed = parseKubeconfig(kubeconfig('{token: abc}', cluster), '/home/a/.kube/config');
  expect(parsed).toMatchObject({
    ok: true,
    config: {
      server: new URL('https://10.0.0.1:6443'),
      ca: { kind: 'value', value: PEM },
      token: { kind: 'value', value: 'abc' },
      namespace: 'shop',
      insecureSkipTlsVerify: false,
      origin: 'context kind of /home/a/.kube/config',
    },
  });
});

test('another context may be chosen; only it decides whether the certificate is checked', () => {
  const parsed = parseKubeconfig(kubeconfig('{token: abc}'), 'config', 'other');
  expect(parsed).toMatchObject({
    ok: true,
    config: { insecureSkipTlsVerify: true, namespace: 'default' },
  });
});

test('files are found beside the kubeconfig, and a token file wins over a token', () => {
  const user = '{client-certificate: c.pem, client-key: /k.pem, token: t, tokenFile: token}';
  expect(parseKubeconfig(kubeconfig(user), '/etc/kube/config')).toMatchObject({
    ok: true,
    config: {
      clientCertificate: { kind: 'file', file: '/etc/kube/c.pem' },
      clientKey: { kind: 'file', file: '/k.pem' },
      token: { kind: 'file', file: '/etc/kube/token' },
    },
  });
});

test.each([
  [
    'a program',
    '{exec: {command: aws}}',
    'user "u" has exec: programs are not run for credentials',
  ],
  ['an auth provider', '{auth-provider: {name: gcp}}', 'auth-provider is not supported'],
  ['a password', '{username: a, password: b}', 'use a token or a client certificate'],
  ['a certificate without key', '{client-certificate: c.pem}', 'go together'],
  ['data that is no PEM', '{client-certificate-data: AAAA}', 'is not base64 of a PEM text'],
  ['a token that is a number', '{token: 5}', 'token is not a text'],
])('%s is refused with what to do', (_name, user, message) => {
  const parsed = parseKubeconfig(kubeconfig(user), 'config');
  expect(parsed).toEqual({ ok: false, problem: expect.stringContaining(message) });
});

test.each([
  ['plain text to another host', 'server: http://10.0.0.1:8080', 'use https://'],
  ['no address', 'server: 10.0.0.1', 'is not an address such as https://10.0.0.1:6443'],
  ['a proxy', 'server: https://a\n    proxy-url: http://b', 'proxy-url is not supported'],
])('a cluster with %s is refused', (_name, cluster, message) => {
  const parsed = parseKubeconfig(kubeconfig('{}', cluster), 'config');
  expect(parsed).toEqual({ ok: false, problem: expect.stringContaining(message) });
});

test('plain text to loopback is allowed: kubectl proxy', () => {
  const parsed = parseKubeconfig(kubeconfig('{}', 'server: http://127.0.0.1:8001'), 'config');
  expect(parsed.ok).toBe(true);
});

test('what is missing or broken is said by name and place', () => {
  const problem = (text: string, context = '') => {
    const parsed = parseKubeconfig(text, 'config', context);
    return parsed.ok ? '' : parsed.problem;
  };
  expect(problem(kubeconfig('{}'), 'nope')).toContain(
    'no context "nope"; there are "kind", "other"',
  );
  expect(problem('a: [')).toMatch(/kubeconfig config: line \d+, column \d+/);
  expect(problem('a: &x [1]\nb: *x')).toContain('Alias');
  expect(problem('[]')).toContain('not an object');
  expect(problem('contexts: []')).toContain('no current-context');
  const missing = readKubeconfig(join(directory, 'none'));
  expect(missing).toEqual({ ok: false, problem: expect.stringContaining('ENOENT') });
});

test('a pod finds its cluster by its environment and service account', () => {
  const account = join(directory, 'account');
  expect(inClusterConfig(undefined, undefined, account)).toEqual({
    ok: false,
    problem: expect.stringContaining('--kubeconfig FILE'),
  });
  expect(inClusterConfig('10.96.0.1', '443', account)).toEqual({
    ok: false,
    problem: expect.stringContaining('automountServiceAccountToken'),
  });
  mkdirSync(account);
  writeFileSync(join(account, 'token'), 'abc');
  writeFileSync(join(account, 'namespace'), 'weft-system\n');
  expect(inClusterConfig('fd00::1', '443', account)).toMatchObject({
    ok: true,
    config: {
      server: new URL('https://[fd00::1]:443'),
      namespace: 'weft-system',
      token: { kind: 'file', file: join(account, 'token') },
    },
  });
});
