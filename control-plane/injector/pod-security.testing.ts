import type { Fields } from '../kinds/schema.ts';
import { type Container, mapOf, type Pod } from './pod.ts';

/**
 * What of a pod the Pod Security Standards do not allow, by container; for tests. As of Kubernetes 1.33:
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */
export function podSecurityViolations(pod: Pod, level: 'baseline' | 'restricted'): string[] {
  const { spec } = pod;
  const found: string[] = [];
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) {
    if (spec[field] === true) found.push(`pod: ${field}`);
  }
  for (const volume of spec.volumes ?? []) {
    const type = Object.keys(volume).find((key) => key !== 'name') ?? '';
    if (type === 'hostPath') found.push(`pod: volume ${volume.name}`);
    else if (level === 'restricted' && !RESTRICTED_VOLUMES.has(type)) {
      found.push(`pod: volume ${volume.name}`);
    }
  }
  const podContext = mapOf(spec.securityContext);
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const context = mapOf(container.securityContext);
    const wrong = [
      ...baseline(container, podContext, context),
      ...(level === 'restricted' ? restricted(podContext, context) : []),
    ];
    found.push(...wrong.map((what) => `${container.name}: ${what}`));
  }
  return found;
}

const BASELINE_CAPABILITIES = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);
const RESTRICTED_VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

function capabilities(context: Fields, which: 'add' | 'drop'): string[] {
  return (mapOf(context['capabilities'])[which] as string[] | undefined) ?? [];
}

function baseline({ ports }: Container, podContext: Fields, context: Fields): string[] {
  const found: string[] = [];
  if (context['privileged'] === true) found.push('privileged');
  if (!capabilities(context, 'add').every((name) => BASELINE_CAPABILITIES.has(name))) {
    found.push('capabilities');
  }
  if ((ports ?? []).some(({ hostPort }) => hostPort !== undefined && hostPort !== 0)) {
    found.push('hostPort');
  }
  const procMount = context['procMount'];
  if (procMount !== undefined && procMount !== 'Default') found.push('procMount');
  for (const of of [podContext, context]) {
    if (mapOf(of['seccompProfile'])['type'] === 'Unconfined') found.push('seccompProfile');
  }
  return found;
}

function restricted(podContext: Fields, context: Fields): string[] {
  const found: string[] = [];
  const effective = (field: string) => context[field] ?? podContext[field];
  if (context['allowPrivilegeEscalation'] !== false) found.push('allowPrivilegeEscalation');
  if (effective('runAsNonRoot') !== true) found.push('runAsNonRoot');
  if (effective('runAsUser') === 0) found.push('runAsUser');
  const seccomp = mapOf(effective('seccompProfile'))['type'];
  if (seccomp !== 'RuntimeDefault' && seccomp !== 'Localhost') found.push('seccompProfile');
  const added = capabilities(context, 'add').filter((name) => name !== 'NET_BIND_SERVICE');
  if (!capabilities(context, 'drop').includes('ALL') || added.length > 0) {
    if (!found.includes('capabilities')) found.push('capabilities dropped');
  }
  return found;
}
