import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { NodeProcess } from './node-process.ts';

/** What a kubelet knows when it starts a pod. */
export interface PodPlace {
  readonly docker: Docker;
  /** Docker network of the cluster. */
  readonly network: string;
  /** Names that a cluster's DNS would have, with their addresses. */
  readonly hosts: Readonly<Record<string, string>>;
  /** For the files of volumes. */
  readonly directory: string;
  readonly rootCert: string;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: readonly EnvironmentVariable[];
  readonly volumeMounts?: readonly { name: string; mountPath: string; readOnly?: boolean }[];
  readonly restartPolicy?: string;
  readonly securityContext?: {
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly readOnlyRootFilesystem?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: { readonly exec: { readonly command: string[] } } };
}
interface EnvironmentVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: number };
}
interface Spec {
  readonly serviceAccountName: string;
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  readonly volumes: readonly Readonly<Record<string, unknown> & { name: string }>[];
}

/** `docker`, by words; rejects where it ends with an error. Remembers what it started. */
export class Docker {
  readonly #containers: string[] = [];
  #network = '';

  async run(...words: string[]): Promise<string> {
    const child = new NodeProcess(words, { command: 'docker' });
    const code = await child.exited;
    if (code !== 0) throw new Error(`docker ${words.join(' ')}: ${child.output}`);
    return child.stdout.trim();
  }

  /** A network of its own; gives the address of this machine in it. */
  async makeNetwork(name: string): Promise<string> {
    await this.run('network', 'create', name);
    this.#network = name;
    return this.run('network', 'inspect', name, '--format', '{{(index .IPAM.Config 0).Gateway}}');
  }

  async start(name: string, ...words: string[]): Promise<void> {
    this.#containers.push(name);
    await this.run('run', '--detach', '--name', name, ...words);
  }

  /** Everything is gone, whatever happened before. */
  async clean(): Promise<void> {
    for (const name of this.#containers.splice(0).reverse()) {
      await this.run('rm', '--force', '--volumes', name).catch(() => '');
    }
    if (this.#network !== '') await this.run('network', 'rm', this.#network);
  }
}

/**
 * A pod as the webhook made it, started as a kubelet does: the namespace first, then init containers in order (a native sidecar
 * stays), each with its arguments, environment, user, capabilities and volumes; the app last, from `appCommand`.
 */
export class InjectedPod {
  readonly name: string;
  readonly namespace: string;
  readonly ip: string;
  readonly #place: PodPlace;
  readonly #spec: Spec;

  private constructor(pod: KubernetesObject, ip: string, spec: Spec, place: PodPlace) {
    this.name = pod.metadata.name;
    this.namespace = pod.metadata.namespace ?? 'default';
    this.ip = ip;
    this.#spec = spec;
    this.#place = place;
  }

  /** The namespace with its address, and nothing in it yet. */
  static async create(pod: KubernetesObject, place: PodPlace): Promise<InjectedPod> {
    const { docker, network, hosts } = place;
    const { name } = pod.metadata;
    const spec = pod['spec'] as unknown as Spec;
    const image = spec.containers[0]!.image;
    const names = Object.entries(hosts).map(([host, address]) => `--add-host=${host}:${address}`);
    const container = `${network}-${name}`;
    await docker.start(container, '--network', network, ...names, image, 'sleep', 'infinity');
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    const ip = await docker.run('inspect', '--format', format, container);
    return new InjectedPod(pod, ip, spec, place);
  }

  container(name: string): Container {
    const { containers, initContainers } = this.#spec;
    return [...initContainers, ...containers].find((each) => each.name === name)!;
  }

  /** `token`: of the pod's service account, for the audience that its volume asks for. */
  async start(pod: KubernetesObject, token: string, appCommand: readonly string[]): Promise<void> {
    const volumes = this.#makeVolumes(pod, token);
    for (const container of this.#spec.initContainers) {
      const stays = container.restartPolicy === 'Always';
      await this.#run(container, volumes, container.args ?? [], stays);
    }
    for (const container of this.#spec.containers) {
      await this.#run(container, volumes, appCommand, true);
    }
  }

  /** Runs a program in one of its containers; its exit code and output. */
  async exec(container: string, ...words: string[]): Promise<{ code: number; out: string }> {
    const child = new NodeProcess(['exec', this.#containerName(container), ...words], {
      command: 'docker',
    });
    const code = await child.exited;
    return { code, out: child.output.trim() };
  }

  /** What the kubelet asks. */
  async probe(
    container: string,
    kind: 'startupProbe' | 'readinessProbe' | 'livenessProbe',
  ): Promise<number> {
    const { path, port } = this.container(container)[kind]!.httpGet;
    const response = await fetch(`http://${this.ip}:${port}${path}`).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status ?? 0;
  }

  async logs(container: string): Promise<string> {
    const child = new NodeProcess(['logs', this.#containerName(container)], { command: 'docker' });
    await child.exited;
    return child.output;
  }

  #containerName(container: string): string {
    return `${this.#place.network}-${this.name}-${container}`;
  }

  /** Volume → directory on this machine. */
  #makeVolumes({ metadata }: KubernetesObject, token: string): ReadonlyMap<string, string> {
    const { directory, rootCert } = this.#place;
    const quoted = (texts: Readonly<Record<string, string>> = {}) =>
      Object.entries(texts)
        .map(([key, text]) => `${key}=${JSON.stringify(text)}\n`)
        .join('');
    const made = new Map<string, string>();
    for (const volume of this.#spec.volumes) {
      const path = join(directory, this.name, volume.name);
      mkdirSync(path, { recursive: true });
      if ('projected' in volume) writeFileSync(join(path, 'weft-token'), token);
      else if ('configMap' in volume) writeFileSync(join(path, 'root-cert.pem'), rootCert);
      else if ('downwardAPI' in volume) {
        writeFileSync(join(path, 'labels'), quoted(metadata.labels));
        writeFileSync(join(path, 'annotations'), quoted(metadata.annotations));
      } else chmodSync(path, 0o777); // emptyDir
      made.set(volume.name, path);
    }
    return made;
  }

  async #run(
    container: Container,
    volumes: ReadonlyMap<string, string>,
    args: readonly string[],
    stays: boolean,
  ): Promise<void> {
    const { docker, network } = this.#place;
    const { runAsUser, runAsGroup, capabilities, ...context } = container.securityContext ?? {};
    const words = [
      '--network',
      `container:${network}-${this.name}`,
      ...(context.readOnlyRootFilesystem === true ? ['--read-only'] : []),
      ...(context.allowPrivilegeEscalation === false ? ['--security-opt=no-new-privileges'] : []),
      ...(capabilities?.drop ?? []).map((name) => `--cap-drop=${name}`),
      ...(capabilities?.add ?? []).map((name) => `--cap-add=${name}`),
      ...(runAsUser === undefined ? [] : ['--user', `${runAsUser}:${runAsGroup ?? runAsUser}`]),
      ...(container.env ?? []).flatMap((variable) => ['--env', this.#environment(variable)]),
      ...(container.volumeMounts ?? []).flatMap(({ name, mountPath, readOnly }) => [
        '--volume',
        `${volumes.get(name)}:${mountPath}${readOnly === true ? ':ro' : ''}`,
      ]),
      container.image,
      ...args,
    ];
    if (stays) await docker.start(this.#containerName(container.name), ...words);
    else await docker.run('run', '--rm', ...words);
  }

  #environment({ name, value, valueFrom }: EnvironmentVariable): string {
    if (value !== undefined) return `${name}=${value.replaceAll('$$', '$')}`;
    const fields = new Map([
      ['metadata.name', this.name],
      ['metadata.namespace', this.namespace],
      ['spec.serviceAccountName', this.#spec.serviceAccountName],
      ['status.podIP', this.ip],
      ['status.podIPs', this.ip],
      ['status.hostIP', this.ip],
    ]);
    const path = valueFrom!.fieldRef.fieldPath;
    const field = fields.get(path);
    if (field === undefined) throw new Error(`${name} wants ${path}`);
    return `${name}=${field}`;
  }
}
