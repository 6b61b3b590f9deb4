import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tap from 'tap';
import { ControlPlane } from './harness/control-plane.ts';
import { echoApp } from './harness/echo-app.ts';
import { KubernetesApi } from './harness/kubernetes-api.ts';
import { pod, service, slice } from './harness/kubernetes-objects.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { until } from './harness/until.ts';
import { Workload } from './harness/workload.ts';

/** A control plane whose services, pods and identities are a cluster's, with sidecars as its pods. */

tap.setTimeout(180_000);

/** All that the control plane may do: what the cluster role of its manifest says. */
const LEAST_PRIVILEGE = [
  { apiGroups: [''], resources: ['services', 'pods', 'nodes'], verbs: ['list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
];

const STRICT = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'default' },
  spec: { mtls: { mode: 'STRICT' } },
};

interface Cluster {
  readonly api: KubernetesApi;
  readonly controlPlane: ControlPlane;
  /** A sidecar that shows the token of a pod of the cluster. */
  sidecar(account: string, version: string, appPort: number): Promise<Workload>;
}

async function cluster(t: Pick<typeof tap, 'teardown'>): Promise<Cluster> {
  const api = await KubernetesApi.start({ tls: true });
  const directory = mkdtempSync(join(tmpdir(), 'weft-kubernetes-'));
  t.teardown(async () => {
    await api.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const account = { namespace: 'weft-system', serviceAccount: 'weft-control-plane' };
  api.grant('system:serviceaccount:weft-system:weft-control-plane', LEAST_PRIVILEGE);
  const kubeconfig = join(directory, 'kubeconfig');
  writeFileSync(kubeconfig, api.kubeconfig(api.tokens.issue(account)), { mode: 0o600 });
  const controlPlane = await ControlPlane.start('--kubernetes', '--kubeconfig', kubeconfig);
  t.teardown(() => controlPlane.stop());
  return {
    api,
    controlPlane,
    sidecar: async (serviceAccount, version, appPort) => {
      const name = `${serviceAccount}-${version}`;
      const { metadata } = api.put(
        pod(name, { labels: { app: serviceAccount, version }, ip: '', serviceAccount }),
      );
      const bound = { namespace: 'default', name, uid: metadata.uid! };
      const token = api.tokens.issue({
        namespace: 'default',
        serviceAccount,
        audiences: ['weft-ca'],
        pod: bound,
      });
      const isServer = appPort > 0;
      const workload = await Workload.ready(controlPlane, {
        serviceAccount,
        token,
        ...(isServer && { service: serviceAccount, version, appPort }),
      });
      t.teardown(() => workload.stop());
      return workload;
    },
  };
}

/** What the cluster's controllers say of a sidecar of `echo`: its pod and a slice. */
function publish(api: KubernetesApi, version: string, workload: Workload, ready: boolean): void {
  const labels = { app: 'echo', version };
  const options = {
    labels,
    ip: '127.0.0.1',
    serviceAccount: 'echo',
    hasSidecar: true,
    isReady: ready,
  };
  api.put(pod(`echo-${version}`, options));
  const ports = [{ name: 'http', port: workload.inboundPort, protocol: 'TCP' }];
  api.put(
    slice(`echo-${version}`, 'echo', [{ ip: '127.0.0.1', pod: `echo-${version}`, ready }], {
      ports,
    }),
  );
}

tap.test(
  '[DS-01] [SC-03] sidecars are known by their service account tokens and found by Services and slices',
  async (t) => {
    const { api, controlPlane, sidecar } = await cluster(t);
    const app = await echoApp('one');
    t.teardown(() => app.close());
    const [server, client] = await Promise.all([
      sidecar('echo', 'v1', app.port),
      sidecar('client', 'v1', 0),
    ]);
    t.match(await server.admin('/certs'), 'spiffe://cluster.local/ns/default/sa/echo');
    api.put(service('echo', { ports: [{ name: 'http', port: 80, targetPort: 9080 }] }));
    publish(api, 'v1', server, true);
    const call = (url: string) => viaProxy(client.outboundPort, url);
    const answers = (url: string, status: number) =>
      until(`${url} to answer ${status}`, async () => (await call(url)).status === status);
    await answers('http://echo/', 200);

    // Mutual TLS between the two identities: plain text would be refused.
    const response = await fetch(
      `${controlPlane.api}/apis/security.istio.io/v1/namespaces/default/peerauthentications`,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(STRICT),
      },
    );
    t.equal(response.status, 201);
    await answers('http://echo/', 200);
    const echoed = JSON.parse((await call('http://echo/')).body) as {
      headers: Record<string, string>;
    };
    t.match(
      echoed.headers['x-forwarded-client-cert'],
      'URI=spiffe://cluster.local/ns/default/sa/client',
    );

    // A readiness flip is seen by callers within a second or so.
    const startMs = performance.now();
    publish(api, 'v1', server, false);
    await answers('http://echo/', 503);
    const goneMs = performance.now() - startMs;
    publish(api, 'v1', server, true);
    await answers('http://echo/', 200);
    t.comment(`not ready was seen after ${Math.round(goneMs)} ms`);
    t.ok(goneMs < 5000, 'a readiness flip takes no longer than a push');

    // The Service changes: another port.
    api.put(service('echo', { ports: [{ name: 'http', port: 8081, targetPort: 9080 }] }));
    await answers('http://echo:8081/', 200);
    await until('the old port to go', async () => (await call('http://echo:80/')).status !== 200);

    // The API server goes away: calls go on; what happened meanwhile is caught up with, though its history is gone.
    await api.goAway();
    t.equal((await call('http://echo:8081/')).status, 200);
    api.put(service('echo', { ports: [{ name: 'http', port: 8082, targetPort: 9080 }] }));
    api.store.compact();
    api.store.advance(1);
    t.equal((await call('http://echo:8081/')).status, 200);
    await api.comeBack();
    await answers('http://echo:8082/', 200);

    const metrics = await (await fetch(`${controlPlane.monitoring}/metrics`)).text();
    t.match(metrics, /weft_kubernetes_synced\{type="Pod"\} 1/);
    t.match(metrics, /weft_kubernetes_silence_seconds\{type="Service"\} \d/);
    t.match(metrics, /pilot_k8s_reg_events\{type="Service",event="update"\} [1-9]/);
  },
);

tap.test(
  '[A2.10] a token of a deleted pod, and one for another audience, get no certificate',
  async (t) => {
    const { api, controlPlane } = await cluster(t);
    const { metadata } = api.put(pod('gone', { serviceAccount: 'client' }));
    const bound = { namespace: 'default', name: 'gone', uid: metadata.uid! };
    const account = { namespace: 'default', serviceAccount: 'client' };
    const tokens = {
      deleted: api.tokens.issue({ ...account, audiences: ['weft-ca'], pod: bound }),
      foreign: api.tokens.issue({ ...account, audiences: ['vault'] }),
    };
    api.remove('pods', 'default', 'gone');
    for (const [name, token] of Object.entries(tokens)) {
      const workload = await Workload.spawn(controlPlane, { serviceAccount: 'client', token });
      t.teardown(() => workload.stop());
      const refused = name === 'deleted' ? /has been invalidated/ : /token audiences/;
      await until(`the ${name} token to be refused`, () => refused.test(controlPlane.log));
      const ready = await fetch(`http://${workload.settings.readiness}/healthz/ready`).catch(
        () => null,
      );
      t.not(ready?.status, 200, `${name}: the sidecar is not ready`);
    }
    t.notMatch(controlPlane.log, tokens.deleted, 'no token stands in the log');
  },
);

tap.test('[F7] watches that are cut all the time lose nothing', async (t) => {
  const { api, sidecar } = await cluster(t);
  const app = await echoApp('one');
  t.teardown(() => app.close());
  const [server, client] = await Promise.all([
    sidecar('echo', 'v1', app.port),
    sidecar('client', 'v1', 0),
  ]);
  publish(api, 'v1', server, true);
  api.cutWatchesEvery(1000);
  for (const port of [7001, 7002, 7003]) {
    api.put(service('echo', { ports: [{ name: 'http', port, targetPort: 9080 }] }));
    await until(
      `port ${port}`,
      async () => (await viaProxy(client.outboundPort, `http://echo:${port}/`)).status === 200,
    );
  }
  api.cutWatchesEvery(0);
  t.pass('every change arrived');
});
