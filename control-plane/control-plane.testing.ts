import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { realClock } from './clock.testing.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { ControlPlaneOptions, KubernetesOptions } from './control-plane-options.ts';
import { MESH_DEFAULTS } from './mesh/mesh-options.ts';

const ANY = { host: '127.0.0.1', port: 0 };

/** A whole control plane on loopback ports of its own, with a data directory that goes with it. */
export async function testControlPlane(
  overrides: Partial<ControlPlaneOptions> = {},
): Promise<TestControlPlane> {
  const dataDirectory =
    overrides.dataDirectory ?? mkdtempSync(join(tmpdir(), 'weft-control-plane-'));
  const lines: string[] = [];
  const log = pino({ level: 'debug', base: null }, { write: (line) => void lines.push(line) });
  const options: ControlPlaneOptions = {
    dataDirectory,
    xds: ANY,
    api: ANY,
    monitoring: ANY,
    plaintextXds: ANY,
    mesh: MESH_DEFAULTS,
    trustDomainAliases: [],
    serverNames: [],
    workloadCertTtlMs: 3_600_000,
    registrationLeaseMs: 200,
    debounce: { quietMs: 5, maxMs: 50 },
    store: 'sqlite',
    replica: { podNamespace: null, podName: 'test', leaseDurationMs: 3000, caSecret: 'weft-ca' },
    kubernetes: null,
    webhooks: null,
    injectionSettings: null,
    apiToken: undefined,
    version: '0.0.0',
    ...overrides,
  };
  const { nowMs: monotonicMs, schedule } = realClock;
  const clock = { wallMs: Date.now, monotonicMs, schedule };
  const remove = () => rmSync(dataDirectory, { recursive: true, force: true });
  const controlPlane = await startControlPlane(options, clock, log).catch((error: unknown) => {
    if (overrides.dataDirectory === undefined) remove();
    throw error;
  });
  return {
    ...controlPlane,
    dataDirectory,
    lines,
    request: async (method, path, body) => {
      const init: RequestInit = { method, headers: { 'content-type': 'application/json' } };
      if (body !== undefined) init.body = JSON.stringify(body);
      const response = await fetch(`http://${controlPlane.addresses.api}${path}`, init);
      return { status: response.status, body: await response.json() };
    },
    remove: async () => {
      await controlPlane.close();
      remove();
    },
  };
}

/** `kubernetes` of a control plane that follows the cluster of this kubeconfig. */
export function followCluster(kubeconfig: string): KubernetesOptions {
  return {
    kubeconfig,
    context: '',
    serviceHost: undefined,
    servicePort: undefined,
    tokenAudiences: ['weft-ca'],
  };
}

export interface TestControlPlane extends ControlPlane {
  readonly dataDirectory: string;
  /** Its log, one JSON object each. */
  readonly lines: readonly string[];
  request(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  /** Closes it and removes its data. */
  remove(): Promise<void>;
}
