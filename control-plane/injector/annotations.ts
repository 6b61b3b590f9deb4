import { printable } from '../kinds/problem.ts';
import { nearestField } from '../kinds/validate.ts';
import {
  ANNOTATIONS,
  type AnnotationName,
  type AnnotationValues,
  GROUPS,
  OTHER_ANNOTATIONS,
  UNSUPPORTED,
} from './annotation-table.ts';
import type { AnnotationValue } from './annotation-value.ts';
import type { PodProblem } from './pod.ts';

export interface ReadAnnotations {
  readonly values: AnnotationValues;
  readonly problems: readonly PodProblem[];
  readonly warnings: readonly string[];
}

/**
 * Reads what a pod asks of its sidecar. A value that is not right, a name that is not known and a name in `locked`
 * (written as Istio's) are problems: the pod is refused, because it would run otherwise than its author believes.
 */
export function readAnnotations(
  annotations: Readonly<Record<string, string>>,
  locked: readonly string[],
): ReadAnnotations {
  const values: Record<string, unknown> = {};
  const problems: PodProblem[] = [];
  const warnings: string[] = [];
  const refuse = (key: string, message: string) =>
    problems.push({ path: ['metadata', 'annotations', key], message });
  // Ours last: it stays.
  for (const domain of ['istio.io', 'weft.dev']) {
    for (const [key, text] of Object.entries(annotations)) {
      const name = nameIn(key, domain);
      if (name === undefined || OTHER_ANNOTATIONS.includes(name)) continue;
      if (name === 'sidecar/source' && domain === 'weft.dev') continue;
      const known = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
      if (known !== undefined) {
        if (known.refused) refuse(key, `is not supported by Weft: ${known.reason}`);
        else warnings.push(`annotation ${key} has no effect: ${known.reason}`);
      } else if (!isSupported(name)) {
        refuse(key, `is not an annotation that Weft knows${suggestion(name, domain)}`);
      } else if (locked.includes(`${name.replace('/', '.istio.io/')}`)) {
        refuse(key, LOCKED);
      } else {
        const read: AnnotationValue<unknown> = ANNOTATIONS[name](text);
        if ('value' in read) values[name] = read.value;
        else refuse(key, `"${printable(text)}" must be ${read.wanted}`);
      }
    }
  }
  // The name that newer Istio has for kubevirtInterfaces.
  const reroute = annotations['istio.io/reroute-virtual-interfaces'];
  if (reroute !== undefined && locked.includes('traffic.sidecar.istio.io/kubevirtInterfaces')) {
    refuse('istio.io/reroute-virtual-interfaces', LOCKED);
  } else if (reroute !== undefined) {
    const read = ANNOTATIONS['traffic.sidecar/kubevirtInterfaces'](reroute);
    if ('value' in read) values['traffic.sidecar/kubevirtInterfaces'] ??= read.value;
    else {
      const message = `"${printable(reroute)}" must be ${read.wanted}`;
      refuse('istio.io/reroute-virtual-interfaces', message);
    }
  }
  return { values, problems, warnings };
}

const LOCKED = 'may not be set here: the settings of the mesh lock it';

/** `traffic.sidecar.istio.io/x` in the domain istio.io → `traffic.sidecar/x`; undefined where it is none of ours. */
function nameIn(key: string, domain: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = key.slice(0, Math.max(slash, 0));
  if (!prefix.endsWith(`.${domain}`)) return undefined;
  const group = prefix.slice(0, -domain.length - 1);
  return GROUPS.includes(group) ? `${group}/${key.slice(slash + 1)}` : undefined;
}

function isSupported(name: string): name is AnnotationName {
  return Object.hasOwn(ANNOTATIONS, name);
}

function suggestion(name: string, domain: string): string {
  const near = nearestField(name, Object.keys(ANNOTATIONS));
  return near === undefined ? '' : ` (did you mean ${near.replace('/', `.${domain}/`)}?)`;
}
