import tap from 'tap';
import { Kubectl } from './harness/kubectl.ts';
import { KubernetesApi } from './harness/kubernetes-api.ts';

/** The API server of our tests, driven by the real kubectl: what kubectl takes for a cluster, our client may. */

tap.setTimeout(200_000);
const options = { skip: Kubectl.missing };

const WEB = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: 'app:1', ports: [{containerPort: 80}]}
      - {name: log, image: 'log:1'}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
`;

const CONFIG = (value: string) => `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {color: ${value}}
`;

const WIDGETS = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`;

async function cluster(
  t: Pick<typeof tap, 'teardown'>,
): Promise<{ api: KubernetesApi; kubectl: Kubectl }> {
  const api = await KubernetesApi.start({ tls: true });
  const kubectl = new Kubectl(api.kubeconfig());
  t.teardown(async () => {
    await api.close();
    kubectl.remove();
  });
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  return { api, kubectl };
}

tap.test('kubectl applies, shows, changes and deletes built-in kinds', options, async (t) => {
  const { api, kubectl } = await cluster(t);
  t.equal(await kubectl.apply(WEB), 'deployment.apps/web created\nservice/web created\n');
  t.equal(await kubectl.apply(WEB), 'deployment.apps/web unchanged\nservice/web unchanged\n');
  t.match(
    await kubectl.run('get', 'svc', '-n', 'shop'),
    /^NAME +TYPE +CLUSTER-IP.*\nweb +ClusterIP +10\.96\.\d+\.\d+ +<none> +80\/TCP/,
  );
  await kubectl.run('set', 'image', '-n', 'shop', 'deploy/web', 'app=app:2');
  const images = await kubectl.run(
    'get',
    'deploy',
    'web',
    '-n',
    'shop',
    '-o',
    'jsonpath={.spec.template.spec.containers[*].image}',
  );
  t.equal(images, 'app:2 log:1', 'a strategic patch changes one container of two');
  await kubectl.run('scale', '-n', 'shop', 'deploy/web', '--replicas=3');
  t.match(api.get('deployments', 'shop', 'web'), {
    spec: { replicas: 3 },
    metadata: { generation: 3 },
  });
  await kubectl.run(
    'patch',
    '-n',
    'shop',
    'svc',
    'web',
    '--type=json',
    '-p',
    '[{"op":"replace","path":"/spec/ports/0/port","value":81}]',
  );
  await kubectl.run(
    'patch',
    '-n',
    'shop',
    'svc',
    'web',
    '--type=merge',
    '-p',
    '{"metadata":{"labels":{"team":"red"}}}',
  );
  await kubectl.run('annotate', '-n', 'shop', 'svc', 'web', 'note=this');
  t.match(api.get('services', 'shop', 'web'), {
    metadata: { labels: { team: 'red' }, annotations: { note: 'this' } },
    spec: { ports: [{ port: 81 }] },
  });
  t.equal(
    await kubectl.run('get', 'svc', '-A', '-l', 'team in (red,blue)', '-o', 'name'),
    'service/web\n',
  );
  t.equal(
    await kubectl.run('get', 'svc', '-A', '--field-selector', 'metadata.name=none', '-o', 'name'),
    '',
  );
  const planned = await kubectl.apply(CONFIG('red'), '--dry-run=server');
  t.equal(planned, 'configmap/settings created (server dry run)\n');
  t.equal(api.get('configmaps', 'shop', 'settings'), undefined, 'a dry run writes nothing');
  const bad = await kubectl.tried('get', 'pods', 'none', '-n', 'shop');
  t.match(bad, { code: 1, output: 'Error from server (NotFound): pods "none" not found' });
  await kubectl.run('delete', 'deploy,svc', '--all', '-n', 'shop');
  await kubectl.run('delete', 'ns', 'shop');
  t.same(api.list('deployments'), []);
});

tap.test('kubectl watches', options, async (t) => {
  const { kubectl } = await cluster(t);
  const watch = kubectl.start(
    'get',
    'cm',
    '-n',
    'shop',
    '-w',
    '-o',
    'jsonpath={.data.color}{"\\n"}',
  );
  await kubectl.apply(CONFIG('red'));
  await watch.seen(/red\n/);
  await kubectl.apply(CONFIG('blue'));
  await watch.seen(/blue\n/);
  await watch.stop();
  const wait = kubectl.start('wait', '--for=delete', 'cm/settings', '-n', 'shop', '--timeout=20s');
  await kubectl.run('delete', 'cm', 'settings', '-n', 'shop');
  t.equal(await wait.exited, 0);
});

tap.test(
  'kubectl applies on the server: owners of fields, conflicts, force',
  options,
  async (t) => {
    const { api, kubectl } = await cluster(t);
    const server = ['--server-side'];
    t.match(await kubectl.apply(CONFIG('red'), ...server), 'configmap/settings serverside-applied');
    await t.rejects(
      kubectl.apply(CONFIG('blue'), ...server, '--field-manager=other'),
      /conflict with "kubectl".*\.data\.color/s,
    );
    await kubectl.apply(CONFIG('blue'), ...server, '--field-manager=other', '--force-conflicts');
    t.match(api.get('configmaps', 'shop', 'settings'), { data: { color: 'blue' } });
    await kubectl.apply(
      CONFIG('{}').replace('color: {}', 'size: big'),
      ...server,
      '--field-manager=other',
    );
    t.same(
      api.get('configmaps', 'shop', 'settings')!['data'],
      { size: 'big' },
      'what is no longer applied goes',
    );
  },
);

tap.test('kubectl works with kinds of a CustomResourceDefinition', options, async (t) => {
  const { api, kubectl } = await cluster(t);
  await kubectl.apply(WIDGETS);
  await kubectl.run(
    'wait',
    '--for',
    'condition=established',
    'crd/widgets.example.com',
    '--timeout=10s',
  );
  const widget =
    'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {size: 3}\n';
  t.equal(await kubectl.apply(widget), 'widget.example.com/w created\n');
  t.match(await kubectl.run('get', 'wd', '-n', 'shop'), /NAME +SIZE\nw +3\n/);
  await kubectl.apply(widget.replace('3', '4'));
  t.match(api.get('widgets', 'shop', 'w'), { spec: { size: 4 }, metadata: { generation: 2 } });
  await kubectl.run('delete', 'crd', 'widgets.example.com');
  t.throws(() => api.kind('widgets'));
});

tap.test('a kubectl without the right is told so', options, async (t) => {
  const { api } = await cluster(t);
  const user = 'system:serviceaccount:shop:reader';
  api.grant(user, [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }]);
  const kubectl = new Kubectl(
    api.kubeconfig(api.tokens.issue({ namespace: 'shop', serviceAccount: 'reader' })),
  );
  t.teardown(() => kubectl.remove());
  t.match(await kubectl.tried('get', 'pods', '-n', 'shop'), {
    code: 0,
    output: 'No resources found',
  });
  t.match(await kubectl.tried('get', 'secrets', '-n', 'shop'), {
    code: 1,
    output: `User "${user}" cannot list resource "secrets" in API group "" in the namespace "shop"`,
  });
  const stranger = new Kubectl(api.kubeconfig('nobody'));
  t.teardown(() => stranger.remove());
  t.match(await stranger.tried('get', 'pods'), { code: 1, output: /Unauthorized|logged in/ });
});
