import { posix } from 'node:path';
import type { Fields } from '../kinds/schema.ts';
import { ROOT_CONFIG_MAP, TOKEN_AUDIENCE } from '../kubernetes/own-objects.ts';
import type { AnnotationValues } from './annotation-table.ts';
import type { Named } from './pod.ts';

const STATE = 'weft-state';
const TOKEN = 'weft-token';
const ROOT = 'weft-ca-root-cert';
const PODINFO = 'weft-podinfo';

/** Where the sidecar finds its credential, the root that it trusts, and what it keeps. */
export const TOKEN_FILE = '/var/run/secrets/tokens/weft-token';
export const ROOT_CERT_FILE = '/var/run/secrets/weft/root-cert.pem';
export const STATE_DIRECTORY = '/var/lib/weft';

/**
 * Volumes of the sidecar. The token is projected, with an audience of its own: it is worth nothing at the API server, and
 * a pod with `automountServiceAccountToken: false` has it too.
 */
export function sidecarVolumes(values: AnnotationValues): Named[] {
  const labels = { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } };
  const annotations = { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } };
  const token = { audience: TOKEN_AUDIENCE, expirationSeconds: 43_200, path: 'weft-token' };
  return [
    { name: STATE, emptyDir: { medium: 'Memory' } },
    { name: PODINFO, downwardAPI: { items: [labels, annotations] } },
    { name: TOKEN, projected: { sources: [{ serviceAccountToken: token }] } },
    { name: ROOT, configMap: { name: ROOT_CONFIG_MAP } },
    ...((values['sidecar/userVolume'] ?? []) as Named[]),
  ];
}

export function sidecarVolumeMounts(values: AnnotationValues): Fields[] {
  return [
    { name: STATE, mountPath: STATE_DIRECTORY },
    { name: PODINFO, mountPath: '/etc/weft/pod' },
    { name: TOKEN, mountPath: '/var/run/secrets/tokens', readOnly: true },
    { name: ROOT, mountPath: '/var/run/secrets/weft', readOnly: true },
    ...(values['sidecar/userVolumeMount'] ?? []),
  ];
}

/** Directories of the sidecar's own, its program among them. */
const OWN_DIRECTORIES: readonly string[] = [
  STATE_DIRECTORY,
  '/etc/weft',
  '/var/run/secrets/tokens',
  '/var/run/secrets/weft',
  // The image has /var/run as a link to it.
  '/run/secrets/tokens',
  '/run/secrets/weft',
  '/opt/weft',
  '/usr/local/bin',
];

/** Whether a mount there would replace, or hide, what the sidecar runs, trusts or is. */
export function isInjectedPath(mountPath: unknown): boolean {
  if (typeof mountPath !== 'string') return false;
  const path = posix.join('/', mountPath, '/');
  return OWN_DIRECTORIES.some((own) => path.startsWith(`${own}/`) || `${own}/`.startsWith(path));
}
