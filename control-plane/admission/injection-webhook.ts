import { failureStatus } from '../api/status.ts';
import { printable } from '../kinds/problem.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  allowed,
  describeKind,
} from './admission-review.ts';

/** What the webhook knows beside the pod itself. */
export interface PodContext {
  /** Where the pod will live; the object itself often does not say. */
  readonly namespace: string;
  /** From the webhook's URL; '' = as the settings say. */
  readonly clusterId: string;
  readonly network: string;
}

/** What the injector makes of one pod. */
export type PodInjection =
  | {
      readonly kind: 'injected';
      readonly patch: readonly object[];
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'skipped'; readonly reason: string; readonly warnings: readonly string[] }
  /** The pod cannot be injected, and must not start without: every problem with its field. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

export type InjectPod = (pod: unknown, context: PodContext) => Promise<PodInjection>;

export interface InjectionCounts {
  injectionRequest(): void;
  injection(outcome: 'success' | 'failure' | 'skip'): void;
}

/**
 * `POST /inject[/cluster/<id>][/net/<network>]` (KI-01): pods that are being created get their sidecar. Pure but for
 * the counts, so that a dry run and a call by somebody else than the API server change nothing. Whatever else is asked
 * about a pod (exec, eviction, an update) passes as it is. An object that is no pod is refused, not passed: the
 * webhook's rules name pods alone, and where they do not, silence would leave a mesh that is open.
 */
export function injectionWebhook(
  inject: InjectPod,
  counts: InjectionCounts,
): (request: AdmissionRequest, path: InjectionPath) => Promise<AdmissionAnswer> {
  return async (request, path) => {
    const { operation, subResource, kind } = request;
    if (operation !== 'CREATE' || subResource !== '') return allowed();
    counts.injectionRequest();
    const refuse = (code: 'BadRequest' | 'Invalid', message: string): AdmissionAnswer => {
      counts.injection('failure');
      return { kind: 'refused', status: failureStatus(code, message), warnings: [] };
    };
    if (kind.group !== '' || kind.kind !== 'Pod') {
      return refuse(
        'BadRequest',
        `the sidecar injector takes pods, not ${describeKind(kind)}: in its MutatingWebhookConfiguration the rules must name resources ["pods"] alone`,
      );
    }
    const namespace = request.namespace || namespaceOf(request.object);
    if (namespace === '') {
      return refuse(
        'BadRequest',
        'the pod to inject has no namespace, in the request or in itself',
      );
    }
    const result = await inject(request.object, { namespace, ...path });
    switch (result.kind) {
      case 'injected':
        counts.injection('success');
        return { ...allowed({ sidecar: 'injected' }, result.warnings), patch: result.patch };
      case 'skipped':
        counts.injection('skip');
        return allowed({ sidecar: `skipped: ${printable(result.reason, 200)}` }, result.warnings);
      case 'refused':
        return refuse('Invalid', `the sidecar cannot be injected: ${result.problems.join('; ')}`);
    }
  };
}

export type InjectionPath = Omit<PodContext, 'namespace'>;

/** Istio's spellings in the URL, after `/inject`: pairs of key and value; `--slash--` stands for `/`. */
const KEYS: ReadonlyMap<string, keyof InjectionPath> = new Map([
  ['cluster', 'clusterId'],
  ['net', 'network'],
]);
const VALUE = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/;

/** Reads `/inject…`, already cut at `/`; undefined where it is another path. Keys that we do not know are passed over. */
export function parseInjectionPath(segments: readonly string[]): InjectionPath | undefined {
  const [first, ...rest] = segments;
  if (first !== 'inject') return undefined;
  const found = { clusterId: '', network: '' };
  for (let at = 0; at + 1 < rest.length; at += 2) {
    const key = KEYS.get(rest[at]!);
    const value = rest[at + 1]!.replaceAll('--slash--', '/');
    if (key === undefined) continue;
    if (!VALUE.test(value)) return undefined;
    found[key] = value;
  }
  return found;
}

function namespaceOf(pod: unknown): string {
  const { metadata } = (pod ?? {}) as { metadata?: { namespace?: unknown } | null };
  return typeof metadata?.namespace === 'string' ? metadata.namespace : '';
}
