import { selects } from './label-selector.ts';
import type { Pod } from './pod.ts';
import type { InjectionSettings } from './settings.ts';

/** Namespaces whose pods are never injected, whatever they say: Istio's list. */
export const NEVER_NAMESPACES: readonly string[] = [
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
];

/** Whether a pod gets a sidecar, and the reason in words for the person who wonders. */
export interface InjectionDecision {
  readonly inject: boolean;
  readonly reason: string;
  readonly warnings: readonly string[];
}

/** Labels of a namespace, of a pod, and of both: ours wins where both stand. */
export const NAMESPACE_LABELS = ['weft.dev/injection', 'istio-injection'] as const;
export const POD_LABELS = ['sidecar.weft.dev/inject', 'sidecar.istio.io/inject'] as const;
export const REVISION_LABELS = ['weft.dev/rev', 'istio.io/rev'] as const;

/** Which `istio.io/rev` labels are ours. */
export interface Revisions {
  readonly revision: string;
  /** Other names of it. */
  readonly revisionTags: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/**
 * Istio's precedence (KI-01), as its webhooks and its injector have it together: never host network or system
 * namespaces; a namespace that says disabled; the pod's own `sidecar.istio.io/inject` (the label before the old
 * annotation); neverInjectSelector, alwaysInjectSelector; the namespace's `istio-injection` or `istio.io/rev`; the pod's
 * `istio.io/rev`; the default. `namespaceLabels` undefined: nobody asked for the namespace (offline), and the person who
 * runs the command has said yes.
 */
export function decideInjection(
  pod: Pod,
  namespace: string,
  namespaceLabels: Labels | undefined,
  settings: InjectionSettings,
): InjectionDecision {
  const warnings: string[] = [];
  const decided = (inject: boolean, reason: string) => ({ inject, reason, warnings });
  const labels = pod.metadata?.labels ?? {};
  if (pod.spec.hostNetwork === true) return decided(false, 'host network');
  if (NEVER_NAMESPACES.includes(namespace)) return decided(false, `namespace ${namespace}`);
  if (isWindows(pod)) return decided(false, 'Windows pod');

  const ofNamespace = namespaceLabels && namespaceSays(namespaceLabels, settings);
  if (ofNamespace?.says === 'disabled') return decided(false, ofNamespace.reason);

  const own = podSays(pod.metadata ?? {}, warnings);
  const ownRevision = either(labels, REVISION_LABELS);
  const foreign = ownRevision !== undefined && !isOurs(ownRevision, settings);
  if (own !== undefined && !own.inject) return decided(false, own.reason);
  if (ofNamespace?.says !== 'enabled' && foreign) {
    return decided(false, `pod is of revision ${ownRevision}`);
  }
  if (own !== undefined) return decided(true, own.reason);

  if (settings.neverInjectSelector.some((selector) => selects(selector, labels))) {
    return decided(false, 'neverInjectSelector');
  }
  if (settings.alwaysInjectSelector.some((selector) => selects(selector, labels))) {
    return decided(true, 'alwaysInjectSelector');
  }
  if (ofNamespace === undefined) return decided(true, 'asked for');
  if (ofNamespace.says === 'enabled') return decided(true, ofNamespace.reason);
  if (ownRevision !== undefined) return decided(true, `pod is of revision ${ownRevision}`);
  return settings.injectByDefault
    ? decided(true, 'by default')
    : decided(false, 'neither the namespace nor the pod asks for it');
}

type NamespaceWord = { says: 'enabled' | 'disabled' | 'nothing'; reason: string };

/** `istio-injection` wins over `istio.io/rev`; a namespace of another revision belongs to that one's injector. */
export function namespaceSays(labels: Labels, revisions: Revisions): NamespaceWord {
  const word = either(labels, NAMESPACE_LABELS);
  if (word === 'enabled') return { says: 'enabled', reason: 'namespace is enabled' };
  if (word !== undefined) return { says: 'disabled', reason: `namespace says ${word}` };
  const revision = either(labels, REVISION_LABELS);
  if (revision === undefined) return { says: 'nothing', reason: '' };
  const says = isOurs(revision, revisions) ? 'enabled' : 'disabled';
  return { says, reason: `namespace is of revision ${revision}` };
}

/** What a pod says itself. A word that is neither yes nor no counts as not said, with a warning. */
export function podSays(
  metadata: { readonly labels?: Labels; readonly annotations?: Labels },
  warnings: string[],
): { inject: boolean; reason: string } | undefined {
  const places = [
    ['label', metadata.labels ?? {}],
    ['annotation', metadata.annotations ?? {}],
  ] as const;
  for (const [place, texts] of places) {
    for (const name of POD_LABELS) {
      const word = Object.hasOwn(texts, name) ? texts[name] : undefined;
      if (word === undefined || word === '') continue;
      const reason = `${place} ${name}: "${word}"`;
      if (/^(y|yes|true|on)$/i.test(word)) return { inject: true, reason };
      if (/^(n|no|false|off|disabled)$/i.test(word)) return { inject: false, reason };
      warnings.push(`${reason} is neither "true" nor "false" and counts as not there`);
    }
  }
  return undefined;
}

function isOurs(revision: string, { revision: ours, revisionTags }: Revisions): boolean {
  return revision === ours || revisionTags.includes(revision);
}

function either(labels: Labels, [ours, istio]: readonly [string, string]): string | undefined {
  if (Object.hasOwn(labels, ours)) return labels[ours];
  return Object.hasOwn(labels, istio) ? labels[istio] : undefined;
}

function isWindows({ spec }: Pod): boolean {
  const os = (spec['os'] as { name?: unknown } | undefined)?.name;
  const selector = spec['nodeSelector'] as Labels | undefined;
  return os === 'windows' || selector?.['kubernetes.io/os'] === 'windows';
}
