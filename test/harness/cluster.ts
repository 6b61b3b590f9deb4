import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlPlane } from './control-plane.ts';
import { installedObjects } from './installation.ts';
import { serviceAccountUser } from './kubernetes-api/access.ts';
import { KubernetesApi } from './kubernetes-api.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';

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
    // Policies are written through replicas, too.
    for (const object of installedObjects('controlPlane.writesPolicies=true')) api.put(object);
    const home = mkdtempSync(join(tmpdir(), 'weft-cluster-'));
    cluster = new Cluster(api, home, flags);
    writeFileSync(cluster.kubeconfig, api.kubeconfig(), { mode: 0o600 });
    api.addUser(TOKEN, serviceAccountUser('weft-system', 'weft-control-plane'));
    writeFileSync(cluster.#ownKubeconfig, api.kubeconfig(TOKEN), { mode: 0o600 });
    api.put({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
    });
    return cluster;
  }

  /** The control plane's, which may do what its roles say and nothing else. */
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
