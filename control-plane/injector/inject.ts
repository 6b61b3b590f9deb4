import type { Fields } from '../kinds/schema.ts';
import type { AnnotationValues } from './annotation-table.ts';
import { readAnnotations } from './annotations.ts';
import { findConflicts, isProxy, otherMesh, PROXY_CONTAINER } from './conflicts.ts';
import { mergeContainer, overrideProblems } from './container-override.ts';
import { initContainer } from './init-container.ts';
import { type InjectionStatus, STATUS_ANNOTATION, writeStatus } from './injection-status.ts';
import { kubectlAnnotations, meshLabels } from './metadata.ts';
import { type Container, type Named, type Pod, type PodProblem, readPod } from './pod.ts';
import { type PodOptions, podOptions } from './pod-options.ts';
import { decideInjection } from './policy.ts';
import { rewriteProbes } from './probe-rewrite.ts';
import { mergePrometheus } from './prometheus-merge.ts';
import type { InjectionSettings } from './settings.ts';
import { sidecarContainer } from './sidecar-container.ts';
import { uninjectPod } from './uninject.ts';
import { sidecarVolumes } from './volumes.ts';
import { type Workload, workloadOf } from './workload.ts';

/** What of the pod's surroundings decides how it is injected. */
export interface InjectionContext {
  /** Of the request: a pod made by a controller often names none itself. */
  readonly namespace: string;
  /** Undefined: not looked at (offline); then every pod that does not refuse is injected. */
  readonly namespaceLabels?: Readonly<Record<string, string>> | undefined;
  /** Default: found from the pod's owner. Offline it is the object that holds the pod template. */
  readonly workload?: Workload | undefined;
}

export type InjectionResult =
  | {
      readonly kind: 'injected';
      readonly pod: Pod;
      /** What asked for it. */
      readonly reason: string;
      readonly warnings: readonly string[];
    }
  /** The pod stays as it is; `reason` says why in a few words. */
  | { readonly kind: 'skipped'; readonly reason: string; readonly warnings: readonly string[] }
  /** The pod must not run as it is: it would behave otherwise than its author believes. */
  | { readonly kind: 'refused'; readonly problems: readonly PodProblem[] };

/**
 * Puts the sidecar into a pod (or pod template). Pure and deterministic: `value` is not touched, and equal input gives
 * equal output. Idempotent: of a pod that is injected already what was injected is taken out first, so that changed
 * settings take effect. Order as in Istio: containers and volumes, the author's own settings over them, metrics merge,
 * probe rewriting, metadata, order of the containers.
 */
export function injectPod(
  value: unknown,
  context: InjectionContext,
  settings: InjectionSettings,
): InjectionResult {
  const read = readOriginal(value);
  if ('problems' in read) return { kind: 'refused', problems: read.problems };
  const { pod } = read;
  const decision = decideInjection(pod, context.namespace, context.namespaceLabels, settings);
  const { reason } = decision;
  if (!decision.inject) return { kind: 'skipped', reason, warnings: decision.warnings };
  const other = otherMesh(pod);
  if (other !== undefined) return { kind: 'skipped', reason: other, warnings: decision.warnings };

  const metadata = pod.metadata ?? {};
  const { values, problems, warnings } = readAnnotations(
    metadata.annotations ?? {},
    settings.lockedAnnotations,
  );
  const added = sidecarVolumes(values);
  const names = added.map(({ name }) => name);
  const { statusPort } = podOptions(values, settings);
  const wrong = [...problems, ...findConflicts(pod, names, statusPort)];
  const own = takeOwnContainer(pod);
  if (own !== undefined) {
    const path = ['spec', own.list, own.index];
    wrong.push(...overrideProblems(own.container, path, settings.lockedAnnotations));
    if (takeOwnContainer(pod) !== undefined) {
      wrong.push({ path, message: 'stands twice: one container says what the sidecar shall be' });
    }
  }
  if (pod.spec.containers.length === 0) {
    wrong.push({ path: ['spec', 'containers'], message: 'holds no container but the sidecar' });
  }
  if (wrong.length > 0) return { kind: 'refused', problems: wrong };

  const assembly = new Assembly(pod, values, context, settings);
  return assembly.run(own, reason, [...decision.warnings, ...warnings]);
}

/** A copy of the pod without what an earlier injection put in. */
function readOriginal(value: unknown): { pod: Pod } | { problems: readonly PodProblem[] } {
  const before = uninjectPod(value);
  if (before.kind === 'restored') return { pod: before.pod };
  return before.kind === 'refused' ? before : readPod(value);
}

interface OwnContainer {
  readonly list: 'containers' | 'initContainers';
  readonly index: number;
  readonly container: Container;
}

function takeOwnContainer({ spec }: Pod): OwnContainer | undefined {
  for (const list of ['containers', 'initContainers'] as const) {
    const index = spec[list]?.findIndex(isProxy) ?? -1;
    if (index < 0) continue;
    const [container] = spec[list]!.splice(index, 1);
    return { list, index, container: container! };
  }
  return undefined;
}

/** One pod being put together. */
class Assembly {
  readonly #pod: Pod;
  readonly #values: AnnotationValues;
  readonly #context: InjectionContext;
  readonly #settings: InjectionSettings;
  readonly #options: PodOptions;

  constructor(
    pod: Pod,
    values: AnnotationValues,
    context: InjectionContext,
    settings: InjectionSettings,
  ) {
    this.#pod = pod;
    this.#values = values;
    this.#context = context;
    this.#settings = settings;
    this.#options = podOptions(values, settings);
  }

  run(own: OwnContainer | undefined, reason: string, warnings: readonly string[]): InjectionResult {
    const { spec } = this.#pod;
    const options = this.#options;
    const workload = this.#context.workload ?? workloadOf(this.#pod);
    const empty = this.#emptyParts();
    this.#pod.metadata ??= {};
    const { metadata } = this.#pod;
    metadata.annotations ??= {};
    const { annotations } = metadata;
    const app = spec.containers[0]!.name;
    const labels = meshLabels(this.#pod, workload, this.#settings, options);
    const kubectl = kubectlAnnotations(this.#pod, app);

    const template = sidecarContainer(
      options,
      this.#values,
      this.#settings,
      workload,
      this.#context.namespace,
    );
    const sidecar = own === undefined ? template : mergeContainer(template, own.container);
    // Which list it stands in decides that.
    if (options.native) sidecar.restartPolicy = 'Always';
    else delete sidecar.restartPolicy;
    const volumes = sidecarVolumes(this.#values);
    const secrets = this.#newSecrets();
    const merge = options.mergePrometheus
      ? mergePrometheus(annotations, this.#values['prometheus/scrape-targets'], options.statusPort)
      : undefined;
    if (merge !== undefined && merge.problems.length > 0) {
      return { kind: 'refused', problems: merge.problems };
    }
    const probes = options.rewriteProbes
      ? rewriteProbes(this.#pod, options.statusPort, PROXY_CONTAINER)
      : undefined;
    addVariable(sidecar, 'ISTIO_PROMETHEUS_ANNOTATIONS', merge?.scrape ?? '');
    addVariable(sidecar, 'ISTIO_KUBE_APP_PROBERS', probes?.probers ?? '');

    const init = options.interceptionMode === 'NONE' ? [] : [initContainer(options)];
    const status: InjectionStatus = {
      revision: this.#settings.revision,
      initContainers: [...init.map(({ name }) => name), ...(options.native ? [sidecar.name] : [])],
      containers: options.native ? [] : [sidecar.name],
      volumes: volumes.map(({ name }) => name),
      imagePullSecrets: secrets.map(({ name }) => name),
      labels: Object.keys(labels),
      annotations: [...Object.keys(kubectl), ...(merge?.added ?? []), STATUS_ANNOTATION],
      empty,
      original: {
        annotations: { ...merge?.originals },
        probes: { ...probes?.originals },
        ...(own !== undefined && { container: own }),
      },
    };
    this.#place(sidecar, init);
    append(spec, 'volumes', volumes);
    append(spec, 'imagePullSecrets', secrets);
    if (Object.keys(labels).length > 0) metadata.labels = { ...metadata.labels, ...labels };
    Object.assign(annotations, kubectl, { [STATUS_ANNOTATION]: writeStatus(status) });
    return {
      kind: 'injected',
      pod: this.#pod,
      reason,
      warnings: [
        ...warnings,
        ...(merge?.warnings ?? []),
        ...(probes?.warnings ?? []),
        ...this.#cautions(workload),
      ],
    };
  }

  /**
   * Native: redirection, sidecar, then the app's own init containers, which are in the mesh too (KI-03). Otherwise
   * redirection comes last, or init containers would be redirected to a sidecar that does not run yet; and the sidecar
   * first if the app waits for it (KI-04), else last.
   */
  #place(sidecar: Container, init: readonly Container[]): void {
    const { spec } = this.#pod;
    const others = spec.initContainers ?? [];
    const { native, hold } = this.#options;
    if (native) spec.initContainers = [...init, sidecar, ...others];
    else if (init.length > 0) spec.initContainers = [...others, ...init];
    if (!native) {
      spec.containers = hold ? [sidecar, ...spec.containers] : [...spec.containers, sidecar];
    }
  }

  #newSecrets(): Named[] {
    const present = new Set((this.#pod.spec.imagePullSecrets ?? []).map(({ name }) => name));
    return this.#settings.imagePullSecrets
      .filter((name) => !present.has(name))
      .map((name) => ({ name }));
  }

  #emptyParts(): InjectionStatus['empty'] {
    const { spec, metadata = {} } = this.#pod;
    const lists = ['initContainers', 'volumes', 'imagePullSecrets'] as const;
    const maps = ['labels', 'annotations'] as const;
    return [
      ...(Object.keys(this.#pod.metadata ?? { absent: true }).length === 0
        ? ['metadata' as const]
        : []),
      ...maps.filter((name) => metadata[name] && Object.keys(metadata[name]).length === 0),
      ...lists.filter((name) => spec[name]?.length === 0),
    ];
  }

  #cautions({ kind }: Workload): string[] {
    const { dnsPolicy } = this.#pod.spec;
    const cautions: string[] = [];
    if (dnsPolicy !== undefined && dnsPolicy !== 'ClusterFirst') {
      cautions.push(
        `dnsPolicy is ${dnsPolicy}: the sidecar may not find the control plane by its name`,
      );
    }
    if (!this.#options.native && (kind === 'Job' || kind === 'CronJob')) {
      cautions.push(
        'without a native sidecar the Job ends only if the app sends POST /quitquitquit to 127.0.0.1:15020',
      );
    }
    return cautions;
  }
}

/** Kubernetes puts other variables in the place of `$(NAME)`, and takes `$$` for `$`. */
function addVariable(sidecar: Container, name: string, text: string): void {
  if (text === '') return;
  sidecar.env = [...(sidecar.env ?? []), { name, value: text.replaceAll('$', '$$$$') }];
}

function append(spec: Fields, list: 'volumes' | 'imagePullSecrets', items: readonly Named[]): void {
  if (items.length > 0) spec[list] = [...((spec[list] as Named[] | undefined) ?? []), ...items];
}
