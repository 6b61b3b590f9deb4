import { spawnSync } from 'node:child_process';

/** A Helm 3 on this machine ($WEFT_HELM, or `helm` on PATH), or ''. */
export function findHelm(): string {
  for (const candidate of [process.env['WEFT_HELM'] ?? '', 'helm']) {
    if (candidate !== '' && spawnSync(candidate, ['version', '--short']).status === 0) {
      return candidate;
    }
  }
  return '';
}
