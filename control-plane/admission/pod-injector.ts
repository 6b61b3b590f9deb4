import { injectPod } from '../injector/inject.ts';
import { diffJson } from '../injector/json-patch.ts';
import type { InjectionSettings } from '../injector/settings.ts';
import { formatPath, printable } from '../kinds/problem.ts';
import type { InjectPod, PodContext, PodInjection } from './injection-webhook.ts';

export interface PodInjectorOptions {
  /** Asked for each pod: they may change while we run. */
  readonly settings: () => InjectionSettings;
  /** Null: there is no cluster to ask, and the API server's selectors alone decide. */
  readonly namespaces: NamespaceLabels | null;
}

export interface NamespaceLabels {
  /** As last seen; undefined = not known here. */
  known(namespace: string): Labels | undefined;
  /** From the API server itself; undefined where it does not say. */
  ask(namespace: string): Promise<Labels | undefined>;
}

type Labels = Readonly<Record<string, string>>;

/**
 * The injector as the webhook uses it: settings of the moment, cluster and network from the URL, the result as JSON
 * Patch. The API server's selectors have chosen the pod already; the namespace's labels are looked at once more here, so
 * that selectors that are too wide inject nobody (KI-01). In doubt it injects: what is known of a namespace may be older
 * than the label that made the API server ask, and a pod left out would run outside of the mesh.
 */
export function podInjector({ settings, namespaces }: PodInjectorOptions): InjectPod {
  return async (value, context) => {
    // Ordinary objects: what the reader of reviews makes has no prototypes, which a comparison would count as a difference.
    const pod: unknown = JSON.parse(JSON.stringify(value));
    const chosen = injected(pod, context, undefined, settings());
    if (namespaces === null || chosen.kind === 'skipped') return chosen;
    const known = namespaces.known(context.namespace);
    if (known !== undefined) {
      const result = injected(pod, context, known, settings());
      if (result.kind !== 'skipped') return result;
    }
    return injected(pod, context, await namespaces.ask(context.namespace), settings());
  };
}

function injected(
  pod: unknown,
  { namespace, clusterId, network }: PodContext,
  namespaceLabels: Labels | undefined,
  settings: InjectionSettings,
): PodInjection {
  const own = {
    ...settings,
    ...(clusterId !== '' && { clusterId }),
    ...(network !== '' && { network }),
  };
  const result = injectPod(pod, { namespace, namespaceLabels }, own);
  switch (result.kind) {
    case 'injected':
      return { kind: 'injected', patch: diffJson(pod, result.pod), warnings: result.warnings };
    case 'skipped':
      return result;
    case 'refused': {
      const problems = result.problems.map(({ path, message }) => {
        const at = printable(formatPath(path), 200);
        return at === '' ? message : `${at}: ${message}`;
      });
      return { kind: 'refused', problems };
    }
  }
}
