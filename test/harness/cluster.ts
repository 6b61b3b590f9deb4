import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { customResourceDefinition } from '../../control-plane/kinds/custom-resource-definition.ts';
import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { ControlPlane } from './control-plane.ts';
import { serviceAccountUser } from './kubernetes-api/access.ts';
import { KubernetesApi } from './kubernetes-api.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';
import { webhookConfigurations } from './webhook-configurations.ts';

/** A cluster with Weft in it: an API server, replicas of the control plane as processes, webhooks, kubectl. */
export class Cluster {
  readonly api: KubernetesApi;
  readonly replicas: ControlPlane[] = [];
  readonly #home: string;
  readonly #flags: readonly string[];

  private constructor(api: KubernetesApi, home: string, flags: readonly string[]) {
    this.api = api;
    this.#home = home;
    this.#flags = flags;
  }

  /** With namespaces, CRDs and webhook configurations, and no control plane yet. */
  static async start(...flags: string[]): Promise<Cluster> {
    let cluster: Cluster | undefined;
    const api = await KubernetesApi.start({
      tls: true,
      resolveService: ({ namespace, name, port }) =>
        namespace === 'weft-system' && name === 'weft-control-plane' && port === 443
          ? (cluster?.webhookAddress() ?? null)
          : null,
    });
    for (const role of documentedRoles()) {
      api.put(role);
      api.put(bindingOf(role));
    }
    const home = mkdtempSync(join(tmpdir(), 'weft-cluster-'));
    cluster = new Cluster(api, home, flags);
    writeFileSync(cluster.kubeconfig, api.kubeconfig(), { mode: 0o600 });
    api.addUser(TOKEN, serviceAccountUser('weft-system', 'weft-control-plane'));
    writeFileSync(cluster.#ownKubeconfig, api.kubeconfig(TOKEN), { mode: 0o600 });
    for (const definition of KINDS.map(customResourceDefinition)) api.put(definition);
    for (const [name, labels] of [
      ['weft-system', {}],
      ['shop', { 'istio-injection': 'enabled' }],
    ] as const) {
      api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    }
    for (const configuration of webhookConfigurations()) api.put(configuration);
    return cluster;
  }

  /** The control plane's, which may do what docs/kubernetes.md says and nothing else. */
  get #ownKubeconfig(): string {
    return join(this.#home, 'own-kubeconfig');
  }

  /** The administrator's. */
  get kubeconfig(): string {
    return join(this.#home, 'kubeconfig');
  }

  /** For files of the test. */
  get directory(): string {
    return this.#home;
  }

  /** A control plane on ports of its own that is not waited for. */
  controlPlane(...flags: string[]): NodeProcess {
    const ports = ['--xds', '--api', '--monitoring'].flatMap((flag) => [flag, '127.0.0.1:0']);
    const args = ['--data', join(this.#home, 'data'), ...ports, ...this.#clusterFlags, ...flags];
    return new NodeProcess([join(ROOT, 'control-plane/main.ts'), ...args]);
  }

  /** One more control plane, ready. */
  async addReplica(...flags: string[]): Promise<ControlPlane> {
    const replica = await ControlPlane.start(...this.#clusterFlags, ...this.#flags, ...flags);
    this.replicas.push(replica);
    return replica;
  }

  get #clusterFlags(): string[] {
    return [
      '--kubernetes',
      '--kubeconfig',
      this.#ownKubeconfig,
      '--store',
      'kubernetes',
      '--pod-namespace',
      'weft-system',
      '--pod-name',
      `weft-control-plane-${this.replicas.length}`,
      '--webhooks',
      '127.0.0.1:0',
      '--lease-duration',
      '3s',
    ];
  }

  /** As kube-proxy: that of a replica that runs. */
  webhookAddress(): { host: string; port: number } | null {
    const running = this.replicas.filter((replica) => replica.process.exitCode === undefined);
    const replica = running[Math.floor(Math.random() * running.length)];
    if (replica === undefined) return null;
    const { addresses } = JSON.parse(
      readFileSync(join(replica.data, 'control-plane.json'), 'utf8'),
    ) as { addresses: { webhooks: string } };
    return { host: '127.0.0.1', port: Number(addresses.webhooks.split(':').at(-1)) };
  }

  /** The replica that holds the Lease. */
  async leader(): Promise<ControlPlane> {
    return until('a leader that runs', async () => {
      for (const replica of this.replicas) {
        if (replica.process.exitCode !== undefined) continue;
        const metrics = await fetch(`${replica.monitoring}/metrics`).catch(() => undefined);
        if (/^weft_leader 1$/m.test((await metrics?.text()) ?? '')) return replica;
      }
      return undefined;
    });
  }

  async kubectl(args: string, input = ''): Promise<{ code: number; out: string; err: string }> {
    const file = join(this.#home, 'input.yaml');
    writeFileSync(file, input);
    const child = new NodeProcess(
      ['--kubeconfig', this.kubeconfig, ...args.replace('-f -', `-f ${file}`).split(' ')],
      { command: 'kubectl', env: { HOME: this.#home } },
    );
    const code = await child.exited;
    return { code, out: child.stdout, err: child.stderr };
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.stop()));
    await this.api.close();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

const TOKEN = 'token-of-the-control-plane';

/** The ClusterRole and the Role that docs/kubernetes.md lists. */
function documentedRoles(): KubernetesObject[] {
  const page = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8');
  const [, block = ''] = /```yaml\n(.*?)```/s.exec(page) ?? [];
  return parseAllDocuments(block).map((document) => document.toJS() as KubernetesObject);
}

function bindingOf({ kind, metadata }: KubernetesObject): KubernetesObject {
  const { name, namespace } = metadata;
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: `${kind}Binding`,
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    subjects: [{ kind: 'ServiceAccount', namespace: 'weft-system', name: 'weft-control-plane' }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name },
  };
}
