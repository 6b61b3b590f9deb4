import type { Pod } from './pod.ts';

/** What a pod belongs to: the object that somebody applied, not the ReplicaSet between (KI-08). */
export interface Workload {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

/**
 * The workload of a pod from its controller: a ReplicaSet made by a Deployment stands for it (its name ends with the
 * pod's `pod-template-hash`), a Job made by a CronJob too (its name ends with the minute that it was made for). A bare pod
 * is its own workload.
 */
export function workloadOf({ metadata = {} }: Pod): Workload {
  const name = metadata.name ?? (metadata.generateName ?? '').replace(/-$/, '');
  const owner = (metadata.ownerReferences ?? []).find((reference) => reference['controller']);
  const { kind, apiVersion, name: ownerName } = owner ?? {};
  if (typeof kind !== 'string' || typeof ownerName !== 'string' || typeof apiVersion !== 'string') {
    return { apiVersion: 'v1', kind: 'Pod', name };
  }
  const hash = metadata.labels?.['pod-template-hash'];
  if (kind === 'ReplicaSet' && hash !== undefined && ownerName.endsWith(`-${hash}`)) {
    return { apiVersion, kind: 'Deployment', name: ownerName.slice(0, -hash.length - 1) };
  }
  if (kind === 'Job') {
    const [, cronJob] = /^(.+)-\d{8,10}$/.exec(ownerName) ?? [];
    if (cronJob !== undefined) return { apiVersion, kind: 'CronJob', name: cronJob };
  }
  return { apiVersion, kind, name: ownerName };
}
