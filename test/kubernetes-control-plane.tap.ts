import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createRoot } from '../control-plane/ca/authority.ts';
import type { KubernetesObject } from '../control-plane/kubernetes/kubernetes-object.ts';
import { Cluster } from './harness/cluster.ts';
import type { ControlPlane } from './harness/control-plane.ts';
import { echoApp } from './harness/echo-app.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { until } from './harness/until.ts';
import { Workload } from './harness/workload.ts';

/** Control planes in a cluster, as processes: admission, policies, status, the election, the copies of the roots, faults. */

t.setTimeout(200_000);

const noKubectl = spawnSync('kubectl', ['version', '--client']).error ? 'no kubectl here' : false;

const pod = (name: string, namespace = 'shop', more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { app: name }, ...more },
  spec: { containers: [{ name: 'app', image: 'app:1' }] },
});
const teapot = (name = 'echo', namespace = 'default', status = 418) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace },
  spec: {
    hosts: [name],
    http: [
      {
        fault: { abort: { httpStatus: status, percentage: { value: 100 } } },
        route: [{ destination: { host: name } }],
      },
    ],
  },
});
const yaml = (object: object) => JSON.stringify(object);

async function weftApply(replica: ControlPlane, object: object): Promise<string> {
  const file = join(replica.directory, 'policy.json');
  writeFileSync(file, yaml(object));
  return (await replica.weft('apply', '-f', file)).err;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

function condition(object: KubernetesObject | undefined, type: string): Condition | undefined {
  const { conditions } = (object?.['status'] ?? {}) as { conditions?: Condition[] };
  return conditions?.find((one) => one.type === type);
}

const caBundles = (cluster: Cluster): (string | undefined)[] =>
  ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']
    .flatMap((plural) => cluster.api.list(plural))
    .flatMap((object) => object['webhooks'] as { clientConfig: { caBundle?: string } }[])
    .map(({ clientConfig }) => clientConfig.caBundle);

const rootOf = (cluster: Cluster, namespace: string): string | undefined =>
  (
    cluster.api.get('configmaps', namespace, 'weft-ca-root-cert')?.['data'] as
      | Record<string, string>
      | undefined
  )?.['root-cert.pem'];

const secretRoots = (cluster: Cluster): string => {
  const { data } = cluster.api.get('secrets', 'weft-system', 'weft-ca') as unknown as {
    data: Record<string, string>;
  };
  return Buffer.from(data['root-cert.pem']!, 'base64').toString();
};

const isTrusted = (cluster: Cluster) => async (): Promise<boolean> =>
  caBundles(cluster).every(
    (bundle) => bundle === Buffer.from(secretRoots(cluster)).toString('base64'),
  );

t.test('two replicas in a cluster', { skip: noKubectl }, async (t) => {
  const cluster = await Cluster.start();
  t.teardown(() => cluster.stop());
  const { api } = cluster;
  const kubectl = (args: string, input?: object) =>
    cluster.kubectl(args, input === undefined ? '' : yaml(input));

  await t.test(
    '[KI-01] failurePolicy Fail: while nobody serves the webhook, no pod starts without a sidecar',
    async (t) => {
      const { code, err } = await kubectl('create -f -', pod('early'));
      t.not(code, 0);
      t.match(err, /failed calling webhook "namespace\.istio\.injection\.weft\.dev"/);
      t.equal(api.list('pods').length, 0);
      t.equal((await kubectl('create -f -', pod('outside', 'default'))).code, 0, 'others start');
    },
  );

  await Promise.all([cluster.addReplica(), cluster.addReplica()]);

  await t.test('both replicas have one authority, in a Secret that one of them made', async (t) => {
    const [a, b] = cluster.replicas;
    t.equal(a!.rootCert(), secretRoots(cluster));
    t.equal(b!.rootCert(), a!.rootCert());
  });

  await t.test('caBundle and root ConfigMaps are written by the leader', async (t) => {
    await until('caBundle', isTrusted(cluster));
    for (const namespace of ['default', 'shop', 'weft-system']) {
      await until(`the ConfigMap in ${namespace}`, () => rootOf(cluster, namespace) !== undefined);
      t.equal(rootOf(cluster, namespace), secretRoots(cluster));
    }
    t.equal(rootOf(cluster, 'kube-system'), undefined);
  });

  await t.test(
    'a new namespace has its ConfigMap within a second; a changed or deleted one is mended',
    async (t) => {
      const startMs = performance.now();
      const fresh = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'fresh' } };
      t.match(await kubectl('create -f -', fresh), { code: 0 });
      await until('the ConfigMap', () => rootOf(cluster, 'fresh') !== undefined);
      t.ok(performance.now() - startMs < 3000, 'soon, kubectl included');
      await kubectl('delete configmap weft-ca-root-cert -n fresh');
      await until('a new ConfigMap', () => rootOf(cluster, 'fresh') !== undefined);
      await kubectl(
        'patch configmap weft-ca-root-cert -n fresh --type merge -p {"data":{"root-cert.pem":"x","other":"y"}}',
      );
      await until('the roots again', () => rootOf(cluster, 'fresh') === secretRoots(cluster));
      t.match(api.get('configmaps', 'fresh', 'weft-ca-root-cert'), { data: { other: 'y' } });
    },
  );

  await t.test(
    '[KI-01] a pod that kubectl creates comes out with its sidecar; one that refuses does not',
    async (t) => {
      const made = await kubectl('create -f -', pod('reviews'));
      t.equal(made.code, 0, made.err);
      const names = (name: string, namespace = 'shop') => {
        const { spec } = api.get('pods', namespace, name) as unknown as {
          spec: Record<'containers' | 'initContainers', { name: string }[] | undefined>;
        };
        return [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map((one) => one.name);
      };
      t.same(names('reviews'), ['weft-init', 'weft-proxy', 'app']);
      t.match(api.get('pods', 'shop', 'reviews')!.metadata.annotations, {
        'sidecar.weft.dev/status': /weft-proxy/,
      });
      await kubectl(
        'create -f -',
        pod('no', 'shop', { labels: { 'sidecar.istio.io/inject': 'false' } }),
      );
      t.same(names('no'), ['app']);
      await kubectl(
        'create -f -',
        pod('yes', 'default', { labels: { 'sidecar.istio.io/inject': 'true' } }),
      );
      t.same(names('yes', 'default'), ['weft-init', 'weft-proxy', 'app']);
      const dry = await kubectl('create -f - --dry-run=server -o json', pod('dry'));
      t.match(dry.out, /"weft-proxy"/, 'a dry run shows the sidecar');
      t.equal(api.get('pods', 'shop', 'dry'), undefined, 'and makes nothing');
      const taken = {
        ...pod('taken'),
        spec: { containers: [{ name: 'app', image: 'a:1', ports: [{ containerPort: 15001 }] }] },
      };
      const refused = await kubectl('create -f -', taken);
      t.match(refused.err, /denied the request: the sidecar cannot be injected: .*15001/s);
    },
  );

  await t.test(
    '[PL-05] kubectl apply of a bad policy is refused in the words of weft apply',
    async (t) => {
      const bad = {
        ...teapot(),
        spec: { hosts: ['echo'], http: [{ timeout: 'soon', routes: [] }] },
      };
      const refused = await kubectl('apply -f -', bad);
      t.not(refused.code, 0);
      t.match(
        refused.err,
        /admission webhook "policies\.validation\.weft\.dev" denied the request/,
      );
      const applied = await weftApply(cluster.replicas[0]!, bad);
      const problems = [...applied.matchAll(/^.*?:\d+:\d+: (spec\..*)$/gm)].map(
        ([, text]) => text!,
      );
      t.ok(problems.length >= 2, applied);
      for (const problem of problems)
        t.ok(refused.err.includes(problem), `${problem} in ${refused.err}`);
      t.equal(api.list('virtualservices').length, 0);
    },
  );

  await t.test(
    'a policy from kubectl reaches sidecars of either replica, and its status says so',
    async (t) => {
      const app = await echoApp('one');
      const [first, second] = cluster.replicas;
      const echo = await Workload.ready(first!, { service: 'echo', appPort: app.port });
      const client = await Workload.ready(first!);
      t.teardown(async () => {
        await Promise.all([echo.stop(), client.stop()]);
        await app.close();
      });
      const status = async () => (await viaProxy(client.outboundPort, 'http://echo:9080/')).status;
      await until('the service', async () => (await status()) === 200);
      t.equal((await kubectl('apply -f -', teapot())).code, 0);
      await until('the fault', async () => (await status()) === 418);
      t.match((await second!.weft('get', 'vs')).out, /^echo /m, 'the other replica has it too');
      const current = () => api.get('virtualservices', 'default', 'echo');
      await until('a status', () => condition(current(), 'Accepted')?.status === 'True');
      t.equal(condition(current(), 'Accepted')?.observedGeneration, 1);
      t.equal((await kubectl('delete vs echo')).code, 0);
      await until('no fault', async () => (await status()) === 200);
    },
  );

  await t.test(
    'weft apply, get and delete against either replica work on the cluster',
    async (t) => {
      const [first, second] = cluster.replicas;
      const bad = { ...teapot('direct'), spec: { hosts: 7 } };
      t.match(await weftApply(first!, bad), /spec\.hosts/);
      t.equal(await weftApply(first!, teapot('direct')), '');
      t.match(api.get('virtualservices', 'default', 'direct'), { spec: { hosts: ['direct'] } });
      const name = 'virtualservice.networking.istio.io/direct';
      await until('the other replica to have it', async () =>
        (await second!.weft('get', 'vs', '-o', 'name')).out.includes(name),
      );
      t.match((await second!.weft('delete', 'vs', 'direct')).out, /deleted/);
      t.equal(api.get('virtualservices', 'default', 'direct'), undefined);
    },
  );

  await t.test(
    '[PL-06] status: doubtful references, corrections, and nothing written twice',
    async (t) => {
      const lost = {
        ...teapot('lost', 'shop'),
        spec: { hosts: ['lost'], http: [{ route: [{ destination: { host: 'nowhere' } }] }] },
      };
      await kubectl('apply -f -', lost);
      const current = () => api.get('virtualservices', 'shop', 'lost');
      await until('the analysis', () => condition(current(), 'PassedAnalysis')?.status === 'False');
      t.match(current()!['status'], {
        observedGeneration: 1,
        validationMessages: [
          {
            type: { code: 'IST0101' },
            level: 'ERROR',
            message: /nowhere\.shop\.svc\.cluster\.local is no known service/,
          },
        ],
      });
      t.equal(condition(current(), 'Accepted')?.status, 'True');
      const wait = await kubectl('wait --for=condition=Accepted vs/lost -n shop --timeout=5s');
      t.match(wait.out, /condition met/);
      const { resourceVersion } = current()!.metadata;
      await kubectl('apply -f -', teapot('other', 'shop'));
      await until('the status of another', () =>
        condition(api.get('virtualservices', 'shop', 'other'), 'Accepted'),
      );
      t.equal(current()!.metadata.resourceVersion, resourceVersion, 'no news, no write');
    },
  );

  await t.test(
    '[A6.9] an invalid object in the cluster is left out, told in its status, and others hold',
    async (t) => {
      api.put({ ...teapot('bad', 'shop'), spec: { hosts: 7 } });
      api.put(teapot('good', 'shop'));
      const bad = () => api.get('virtualservices', 'shop', 'bad');
      await until('the refusal', () => condition(bad(), 'Accepted')?.status === 'False');
      t.match(condition(bad(), 'Accepted'), { reason: 'Invalid', message: /spec\.hosts/ });
      t.match(bad()!['status'], {
        validationMessages: [{ type: { code: 'IST0106' }, level: 'ERROR' }],
      });
      const good = () => condition(api.get('virtualservices', 'shop', 'good'), 'Accepted');
      await until('the good one', () => good()?.status === 'True');
      const labelled = await kubectl('label vs bad -n shop team=red');
      t.equal(labelled.code, 0, 'its labels stay within reach');
      t.match(labelled.err, /Warning: not in force: spec\.hosts/);
      await kubectl('apply -f -', teapot('bad', 'shop'));
      await until('the correction', () => condition(bad(), 'Accepted')?.status === 'True');
      t.match(bad()!['status'], { validationMessages: [{ type: { code: 'IST0101' } }] });
      t.notMatch(JSON.stringify(bad()!['status']), /IST0106/);
    },
  );

  await t.test('[OP-03] the leader is killed: the other writes on', async (t) => {
    const leader = await cluster.leader();
    await leader.killHard();
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'after' } });
    const other = await cluster.leader();
    t.not(other, leader);
    await until('the ConfigMap', () => rootOf(cluster, 'after') !== undefined);
    await kubectl('apply -f -', teapot('after', 'shop'));
    await until('a status', () =>
      condition(api.get('virtualservices', 'shop', 'after'), 'Accepted'),
    );
    for (const object of api.list('mutatingwebhookconfigurations')) {
      const { webhooks, ...rest } = structuredClone(object) as KubernetesObject & {
        webhooks: { clientConfig: { caBundle?: string } }[];
      };
      for (const { clientConfig } of webhooks) delete clientConfig.caBundle;
      api.put({ ...rest, webhooks });
    }
    await until('caBundle once more', isTrusted(cluster));
    t.equal((await kubectl('create -f -', pod('after'))).code, 0);
    await leader.restart();
  });

  await t.test(
    '[F7] the API server goes away, answers 410, 429 and 500, and cuts watches: then all is as it is there',
    async (t) => {
      const names = async () => {
        const lists = await Promise.all(
          cluster.replicas.map(
            async (replica) => (await replica.weft('get', 'vs', '-A', '-o', 'name')).out,
          ),
        );
        const there = api
          .list('virtualservices')
          .map(({ metadata }) => `virtualservice.networking.istio.io/${metadata.name}`)
          .sort()
          .join('\n');
        return lists.every((list) => list.trim().split('\n').sort().join('\n') === there);
      };
      await until('both to agree', names);
      await api.goAway();
      api.put(teapot('away', 'shop'));
      api.remove('virtualservices', 'shop', 'other');
      for (const replica of cluster.replicas) {
        t.equal((await fetch(`${replica.api}/readyz`)).status, 200, 'still serves');
      }
      await api.comeBack();
      await until('both to agree after it was away', names);
      for (const status of [410, 429, 500] as const) {
        api.faults.status = status;
        api.cutWatches();
        api.put(teapot(`during-${status}`, 'shop'));
        const refused = () => [...api.requests.values()].reduce((sum, count) => sum + count, 0);
        const before = refused();
        await until('refused requests', () => refused() > before + 5);
        api.faults.status = 0;
        await until(`both to agree after ${status}`, names);
      }
      api.cutWatchesEvery(200);
      for (let count = 0; count < 10; count++) api.put(teapot(`cut-${count}`, 'shop'));
      await until('both to agree under cuts', names);
      api.cutWatchesEvery(0);
      const leader = await cluster.leader();
      t.ok(leader);
      await until('a status', () =>
        condition(api.get('virtualservices', 'shop', 'cut-9'), 'Accepted'),
      );
    },
  );

  await t.test(
    '[SC-06] the root is changed in the Secret: copies follow, the webhook stays trusted',
    async (t) => {
      const before = secretRoots(cluster);
      const next = await createRoot('cluster.local', Date.now(), 86_400_000);
      const write = (data: Record<string, string>) => {
        const secret = structuredClone(
          api.get('secrets', 'weft-system', 'weft-ca')!,
        ) as unknown as {
          data: Record<string, string>;
        };
        for (const [name, text] of Object.entries(data)) {
          secret.data[name] = Buffer.from(text).toString('base64');
        }
        api.put(secret as unknown as KubernetesObject);
      };
      const followed = async () =>
        (await isTrusted(cluster)()) &&
        ['default', 'shop', 'fresh'].every(
          (name) => rootOf(cluster, name) === secretRoots(cluster),
        ) &&
        cluster.replicas.every((replica) => replica.rootCert() === secretRoots(cluster));
      const create = async (name: string) => {
        const { code, err } = await kubectl('create -f -', pod(name));
        t.equal(code, 0, err);
      };
      write({ 'root-cert.pem': before + next.rootsPem });
      await until('two roots everywhere', followed);
      await create('rotate-1');
      write({ 'ca-cert.pem': next.certificatePem, 'ca-key.pem': next.privateKeyPem });
      await until('both replicas to read again', () =>
        cluster.replicas.every(({ log }) => (log.match(/authority read again/g) ?? []).length >= 2),
      );
      for (let count = 0; count < 4; count++) await create(`rotate-2-${count}`);
      write({ 'root-cert.pem': next.rootsPem });
      await until('the new root alone everywhere', followed);
      for (let count = 0; count < 4; count++) await create(`rotate-3-${count}`);
      t.equal(
        new X509Certificate(secretRoots(cluster)).fingerprint256,
        new X509Certificate(next.certificatePem).fingerprint256,
      );
    },
  );

  await t.test('the roles of the installation are enough', async (t) => {
    const refused = cluster.replicas.flatMap(({ log }) => log.match(/^.*\b403\b.*$/gm) ?? []);
    t.same(refused, []);
  });

  await t.test('a stop gives the Lease back', async (t) => {
    const leader = await cluster.leader();
    t.equal(await leader.process.stop(), 0, leader.log);
    const other = await cluster.leader();
    t.not(other, leader);
  });
});

t.test('starts that must wait, and starts that must fail well', async (t) => {
  const cluster = await Cluster.start();
  t.teardown(() => cluster.stop());
  const { api } = cluster;
  /** `weft control-plane` with these flags: how it ended, and what it said. */
  const ended = async (...flags: string[]) => {
    const child = cluster.controlPlane(...flags);
    return { code: await child.exited, said: child.output };
  };

  await t.test('a cluster that is away is waited for, and a stop ends the wait', async (t) => {
    await api.goAway();
    const child = cluster.controlPlane();
    await child.seen(/waiting for Secret weft-system\/weft-ca: GET https:.*ECONNREFUSED/);
    t.equal(await child.stop(), 0);
    const other = cluster.controlPlane();
    await other.seen(/waiting for Secret/);
    await api.comeBack();
    await other.seen(/control plane ready/);
    t.equal(await other.stop(), 0);
  });

  await t.test('[F11] half an authority in the Secret is refused with what to do', async (t) => {
    const secret = structuredClone(api.get('secrets', 'weft-system', 'weft-ca')!) as unknown as {
      data: Record<string, string>;
    };
    const key = secret.data['ca-key.pem']!;
    delete secret.data['ca-key.pem'];
    api.put(secret as unknown as KubernetesObject);
    t.match(await ended(), {
      code: 1,
      said: /weft control-plane: Secret weft-system\/weft-ca has no ca-key\.pem: restore what is missing/,
    });
    secret.data['ca-key.pem'] = key;
    api.put(secret as unknown as KubernetesObject);
  });

  await t.test('flags that do not fit together, and files that are not there', async (t) => {
    const settings = join(cluster.directory, 'settings.yaml');
    writeFileSync(settings, 'image: weft:1\nstatusPort: many\n');
    t.match(await ended('--injection-settings', settings), {
      code: 1,
      said: /settings\.yaml:2:13: statusPort: /,
    });
    t.match(await ended('--kubeconfig', '/nowhere/config'), {
      code: 1,
      said: /--kubernetes: .*\/nowhere\/config/,
    });
    const alone = new NodeProcess(
      [join(ROOT, 'control-plane/main.ts'), '--data', cluster.directory, '--store', 'kubernetes'],
      { env: { WEFT_KUBERNETES: '' } },
    );
    t.equal(await alone.exited, 1);
    t.match(alone.output, /--store kubernetes needs a cluster/);
  });
});
