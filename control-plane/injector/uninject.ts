import { isProxy } from './conflicts.ts';
import { type InjectionStatus, readStatus, STATUS_ANNOTATION } from './injection-status.ts';
import type { Container, Pod, PodProblem } from './pod.ts';
import { readPod } from './pod.ts';
import { restoreProbes } from './probe-rewrite.ts';

export type UninjectionResult =
  | { readonly kind: 'restored'; readonly pod: Pod }
  | { readonly kind: 'notInjected' }
  | { readonly kind: 'refused'; readonly problems: readonly PodProblem[] };

/**
 * The pod as it was before `injectPod`, from the status annotation that injection left. What others have changed since
 * then stays. Pure: `value` is not touched.
 */
export function uninjectPod(value: unknown): UninjectionResult {
  const read = readPod(value);
  if ('problems' in read) return { kind: 'refused', problems: read.problems };
  const { pod } = read;
  const annotations = pod.metadata?.annotations;
  const text =
    annotations !== undefined && Object.hasOwn(annotations, STATUS_ANNOTATION)
      ? annotations[STATUS_ANNOTATION]
      : undefined;
  if (text === undefined) return { kind: 'notInjected' };
  const status = readStatus(text);
  if (status === undefined) {
    const message = 'is not what injection writes; remove it, and what was injected, by hand';
    return {
      kind: 'refused',
      problems: [{ path: ['metadata', 'annotations', STATUS_ANNOTATION], message }],
    };
  }
  restore(pod, status);
  return { kind: 'restored', pod };
}

function restore(pod: Pod, status: InjectionStatus): void {
  const { spec } = pod;
  const metadata = pod.metadata!;
  spec.containers = spec.containers.filter(({ name }) => !status.containers.includes(name));
  for (const list of ['initContainers', 'volumes', 'imagePullSecrets'] as const) {
    const items = spec[list]?.filter(({ name }) => !status[list].includes(name));
    if (items === undefined) continue;
    if (items.length > 0 || status.empty.includes(list)) spec[list] = items as Container[];
    else delete spec[list];
  }
  const { annotations, probes, container } = status.original;
  restoreProbes([...spec.containers, ...(spec.initContainers ?? [])], probes);
  if (container !== undefined) {
    spec[container.list] ??= [];
    if (!spec[container.list]!.some(isProxy)) {
      spec[container.list]!.splice(container.index, 0, container.container as Container);
    }
  }
  for (const name of [...status.annotations, STATUS_ANNOTATION]) {
    delete metadata.annotations?.[name];
  }
  for (const name of status.labels) delete metadata.labels?.[name];
  Object.assign(metadata.annotations!, annotations);
  for (const name of ['labels', 'annotations'] as const) {
    const texts = metadata[name];
    if (texts === undefined || Object.keys(texts).length > 0) continue;
    if (!status.empty.includes(name)) delete metadata[name];
  }
  if (Object.keys(metadata).length === 0 && !status.empty.includes('metadata')) delete pod.metadata;
}
