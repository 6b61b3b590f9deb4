import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeAuthority } from './certificates.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { KubernetesApi } from './harness/kubernetes-api.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';

const noKubectl =
  spawnSync('kubectl', ['version', '--client']).status === 0
    ? false
    : 'no kubectl here (Debian: kubernetes-client)';

/** `weft install`, `check` and `uninstall` against a cluster of our own, with a real kubectl. */

t.setTimeout(200_000);

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A cluster of our own, kubectl and weft with a kubeconfig that names it. */
async function cluster(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'weft-install-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const api = await KubernetesApi.start({ tls: true });
  t.teardown(() => api.close());
  const kubeconfig = join(directory, 'kubeconfig');
  writeFileSync(kubeconfig, api.kubeconfig());
  const env = { KUBECONFIG: kubeconfig, HOME: directory, WEFT_SERVER: '', NO_COLOR: '1' };
  const run = async (
    command: string | undefined,
    args: readonly string[],
    input?: string,
  ): Promise<Result> => {
    const file = join(directory, 'input.yaml');
    if (input !== undefined) writeFileSync(file, input);
    const words = args.map((word) => (word === '@input' ? file : word));
    const process = new NodeProcess(words, { ...(command !== undefined && { command }), env });
    const code = await process.exited;
    return { code, out: process.stdout, err: process.stderr };
  };
  return {
    api,
    directory,
    weft: (...args: string[]) => run(undefined, ['cli/main.ts', ...args]),
    kubectl: (args: readonly string[], input?: string) => run('kubectl', args, input),
  };
}

/** What the leading replica, the scheduler and the kubelets would do. */
async function comeUp(api: KubernetesApi): Promise<void> {
  const namespace = 'weft-system';
  const root = await makeAuthority('mesh root');
  const deployment = api.get('deployments', namespace, 'weft-control-plane')!;
  api.put({ ...deployment, status: { readyReplicas: 2, replicas: 2 } });
  api.put({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'weft-control-plane-1',
      namespace,
      labels: { 'kubernetes.io/service-name': 'weft-control-plane' },
    },
    addressType: 'IPv4',
    ports: [],
    endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
  });
  api.put({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'weft-leader', namespace },
    spec: { holderIdentity: 'weft-control-plane-0', renewTime: new Date().toISOString() },
  });
  api.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'weft-ca-root-cert', namespace },
    data: { 'root-cert.pem': root.certificatePem },
  });
  const caBundle = Buffer.from(root.certificatePem).toString('base64');
  for (const [plural, name] of [
    ['mutatingwebhookconfigurations', 'weft-injection'],
    ['validatingwebhookconfigurations', 'weft-validation'],
  ] as const) {
    const object = api.get(plural, '', name)!;
    const webhooks = (object['webhooks'] as { clientConfig: object }[]).map((webhook) => ({
      ...webhook,
      clientConfig: { ...webhook.clientConfig, caBundle },
    }));
    api.put({ ...object, webhooks });
  }
}

t.test(
  'weft install, check and uninstall against an API server, by a real kubectl',
  { skip: noKubectl },
  async (t) => {
    const { api, weft, kubectl } = await cluster(t);

    const before = await weft('check');
    t.equal(before.code, 1);
    t.match(before.out, /× control plane namespace exists\n {4}there is no namespace weft-system/);
    t.match(before.out, /see docs\/checks\.md#namespace-exists for hints/);

    const pre = await weft('check', '--pre');
    t.equal(pre.code, 0, pre.out);
    t.match(pre.out, /√ can create CustomResourceDefinitions\n/);
    t.match(pre.out, /Status check results are √\n$/);

    const printed = await weft('install');
    t.equal(printed.code, 0);
    const dryRun = ['apply', '--dry-run=client', '--validate=false', '-f', '@input'];
    const dry = await kubectl(dryRun, printed.out);
    t.equal(dry.code, 0, dry.err);
    t.match(dry.out, /deployment\.apps\/weft-control-plane created \(dry run\)/);
    t.notOk(api.get('namespaces', '', 'weft-system'), 'a dry run makes nothing');
    const applied = await kubectl(['apply', '-f', '@input'], printed.out);
    t.equal(applied.code, 0, applied.err);
    t.match(
      applied.out,
      /customresourcedefinition\S*\/virtualservices\.networking\.istio\.io created/,
    );
    const again = await kubectl(['apply', '-f', '@input'], (await weft('install')).out);
    // kubectl always has a patch for the selector of a PodDisruptionBudget: its strategy is to replace.
    const changed = again.out.split('\n').filter((line) => /created|configured/.test(line));
    t.same(changed, ['poddisruptionbudget.policy/weft-control-plane configured']);

    const starting = await weft('check', '-o', 'short');
    t.equal(starting.code, 1);
    t.match(starting.out, /× control plane replicas are ready\n {4}0 of 2 replicas are ready/);
    t.match(starting.out, /× injection webhooks have a certificate authority/);
    t.notMatch(starting.out, /√ every object/);

    await comeUp(api);
    const well = await weft('check', '--proxy', '-o', 'json');
    const report = JSON.parse(well.out) as {
      success: boolean;
      categories: { checks: { description: string; result: string; error?: string }[] }[];
    };
    t.equal(well.code, 0, well.out);
    const warnings = report.categories
      .flatMap(({ checks }) => checks)
      .filter(({ result }) => result !== 'success')
      .map(({ description, result }) => `${result} ${description}`);
    // The root of the test lives for less than that.
    t.same(warnings, [
      'warning mesh root is valid for at least 60 days',
      'warning there are sidecars',
    ]);

    const policy = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
`;
    api.remove('validatingwebhookconfigurations', '', 'weft-validation');
    t.equal((await kubectl(['apply', '-f', '@input'], policy)).code, 0);
    t.match((await kubectl(['get', 'vs', 'reviews'])).out, /NAME +GATEWAYS +HOSTS +AGE\nreviews/);

    const gone = await kubectl(
      ['delete', '--ignore-not-found', '-f', '@input'],
      (await weft('uninstall')).out,
    );
    t.equal(gone.code, 0, gone.err);
    t.match((await kubectl(['get', 'vs', 'reviews'])).out, /reviews/, 'policies outlive it');
    t.notOk(api.list('clusterroles').some(({ metadata }) => metadata.name.includes('weft')));
    t.notOk(api.get('namespaces', '', 'weft-system'));
  },
);

t.test(
  'weft check says what a person may not do, and where a cluster cannot be asked',
  { skip: noKubectl },
  async (t) => {
    const { api, directory, weft } = await cluster(t);
    api.addUser('limited', { username: 'limited', groups: [], uid: 'limited' });
    const limited = join(directory, 'limited');
    writeFileSync(limited, api.kubeconfig('limited'));
    const refused = await weft('check', '--pre', '--kubeconfig', limited, '-o', 'short');
    t.equal(refused.code, 1);
    t.match(
      refused.out,
      /× can create Deployments\n {4}create deployments of apps is not allowed to you/,
    );

    await api.goAway();
    const away = await weft('check');
    t.equal(away.code, 1);
    t.match(
      away.out,
      /^kubernetes-api\n-+\n× can query the Kubernetes API\n {4}GET https:\S+: .*ECONNREFUSED/,
    );
    t.match(away.out, /Status check results are ×\n$/);

    writeFileSync(limited, 'clusters: {');
    const broken = await weft('check', '--kubeconfig', limited);
    t.equal(broken.code, 65);
    t.match(broken.err, /weft: kubeconfig \S+limited: line 1, column/);
  },
);

t.test('weft check sees what is wrong with sidecars and roots', { skip: noKubectl }, async (t) => {
  const { api, weft, kubectl } = await cluster(t);
  t.equal((await kubectl(['apply', '-f', '@input'], (await weft('install')).out)).code, 0);
  await comeUp(api);
  const pod = (name: string, containers: string[], ready = true, labels = {}) =>
    api.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'shop', labels },
      spec: {
        containers: containers.map((each) => ({
          name: each,
          image: each === 'weft-proxy' ? 'weft:0.0.9' : 'app',
        })),
      },
      status: {
        phase: 'Running',
        containerStatuses: containers.map((each) => ({ name: each, ready })),
      },
    });
  api.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
  });
  pod('old', ['app']);
  pod('refuses', ['app'], true, { 'sidecar.istio.io/inject': 'false' });
  pod('meshed', ['app', 'weft-proxy']);
  pod('broken', ['app', 'weft-proxy'], false);
  api.put({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'weft-ca-root-cert', namespace: 'weft-system' },
    data: { 'root-cert.pem': (await makeAuthority('another root')).certificatePem },
  });
  const { out, code } = await weft('check', '--proxy', '-o', 'short');
  t.equal(code, 1);
  t.match(
    out,
    /× injection webhooks have .*\n {4}MutatingWebhookConfiguration weft-injection: 8 of 8 webhooks do not trust the mesh root/,
  );
  t.match(
    out,
    /× namespaces with injection have the mesh root\n {4}ConfigMap shop\/weft-ca-root-cert is missing/,
  );
  t.match(out, /× every sidecar is ready\n {4}pod shop\/broken: the sidecar is not ready\n {4}see/);
  t.match(
    out,
    /‼ every pod of a namespace with injection has a sidecar\n {4}pod shop\/old has no sidecar.*\n {4}see/,
  );
  t.match(out, /pod shop\/meshed: image weft:0\.0\.9, not weft:/);
});

t.test('weft check without a cluster asks the control plane itself', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-check-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const weft = async (...args: string[]) => {
    const process = new NodeProcess([join(ROOT, 'cli/main.ts'), ...args], {
      env: { HOME: directory, KUBECONFIG: '', NO_COLOR: '1' },
    });
    const code = await process.exited;
    return { code, out: process.stdout, err: process.stderr };
  };
  const nobody = await weft('check', '--server', 'http://127.0.0.1:1');
  t.equal(nobody.code, 1);
  t.match(
    nobody.out,
    /× control plane answers\n {4}the control plane does not answer at http:\/\/127\.0\.0\.1:1/,
  );
  const pre = await weft('check', '--pre');
  t.equal(pre.code, 64);
  t.match(pre.err, /--kubeconfig FILE/);
  t.equal((await weft('check', '--wait', 'soon')).code, 64);

  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const well = await weft('check', '--server', controlPlane.api, '--proxy');
  t.equal(well.code, 0, well.out);
  t.match(well.out, /√ mesh root is valid for at least 60 days\n/);
});
