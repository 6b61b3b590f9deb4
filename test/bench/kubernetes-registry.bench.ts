import { monitorEventLoopDelay } from 'node:perf_hooks';
import { realClock } from '../../control-plane/clock.testing.ts';
import { KubernetesClient } from '../../control-plane/kubernetes/kubernetes-client.ts';
import { MESH_DEFAULTS } from '../../control-plane/mesh/mesh-options.ts';
import { buildSnapshot, type MeshSnapshot } from '../../control-plane/mesh/snapshot.ts';
import { KubernetesRegistry } from '../../control-plane/registry/kubernetes/kubernetes-registry.ts';
import { KubernetesApi } from '../harness/kubernetes-api.ts';
import { clusterConfig, parts } from '../harness/kubernetes-client.ts';
import { pod, service, slice } from '../harness/kubernetes-objects.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import { until } from '../harness/until.ts';

/**
 * What following a cluster costs: time until all is known, private memory (RssAnon, after a collection), and how long the event
 * loop is held, at first and by a change of one service. The API server is another process. Pods are of the usual size, 6 KB.
 *
 *   node test/bench/kubernetes-registry.bench.ts [PODS = 10000]
 */

const [first = '10000', url = ''] = process.argv.slice(2);
if (first === 'client') await follow(url);
else await serve(Number(first));

async function serve(pods: number): Promise<void> {
  const perService = 100;
  const api = await KubernetesApi.start();
  const filler = Array.from({ length: 60 }, (_, n) => ({
    name: `SETTING_${n}`,
    value: 'x'.repeat(60),
  }));
  for (let s = 0; s < pods / perService; s++) {
    api.put(service(`s${s}`));
    const endpoints = [];
    for (let n = 0; n < perService; n++) {
      const ip = `10.${s >> 8}.${s & 255}.${n}`;
      const options = {
        ip,
        labels: { app: `s${s}`, version: 'v1' },
        ownerName: `s${s}-7f`,
        hasSidecar: true,
      };
      const made = pod(`s${s}-7f-${n}`, options);
      const spec = { ...(made['spec'] as object), containers: [{ name: 'app', env: filler }] };
      api.put({ ...made, spec });
      endpoints.push({ ip, pod: `s${s}-7f-${n}`, ready: true });
    }
    api.put(slice(`s${s}-a`, `s${s}`, endpoints));
  }
  const client = new NodeProcess(['--expose-gc', import.meta.filename, 'client', api.url]);
  await client.seen(/waiting/, 120_000);
  for (let n = 1; n <= 20; n++) {
    const endpoints = [{ ip: `10.0.7.${n}`, pod: `s7-7f-${n}`, ready: true }];
    api.put(slice('s7-a', 's7', endpoints));
    await client.seen(new RegExp(`change ${n}:`));
  }
  await client.exited;
  process.stdout.write(client.output.replace(/^(waiting|change .*)\n/gm, ''));
  await api.close();
}

async function follow(server: string): Promise<void> {
  const client = new KubernetesClient({
    clock: realClock,
    config: clusterConfig({ server: new URL(server) }),
  });
  const registry = new KubernetesRegistry({ ...parts, client, domain: 'cluster.local' });
  const baseBytes = settledBytes();
  const baseHeapBytes = process.memoryUsage().heapUsed;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const startMs = performance.now();
  registry.start();
  await registry.whenSynced();
  const syncedMs = performance.now() - startMs;
  delay.disable();
  const peakBytes = residentBytes(process.pid, 'RssAnon');
  const pods = registry.pods.read().size;
  console.log(
    `${pods} pods known after ${Math.round(syncedMs)} ms; longest turn ${(delay.max / 1e6).toFixed(0)} ms`,
  );
  console.log(
    `memory ${mib(settledBytes() - baseBytes)} MiB for objects, ${mib(peakBytes - baseBytes)} MiB at the end of the list`,
  );
  const beforeMs = performance.now();
  let snapshot = snapshotOf(registry);
  console.log(`first snapshot ${(performance.now() - beforeMs).toFixed(1)} ms`);
  console.log(`memory ${mib(settledBytes() - baseBytes)} MiB with services and endpoints`);
  const heapBytes = process.memoryUsage().heapUsed - baseHeapBytes;
  console.log(`heap in use ${mib(heapBytes)} MiB`);
  let current = registry.read();
  const took: number[] = [];
  console.log('waiting');
  for (let n = 1; n <= 20; n++) {
    let ms = 0;
    await until(`change ${n}`, () => {
      const fromMs = performance.now();
      const next = registry.read();
      if (next === current) return false;
      current = next;
      snapshot = snapshotOf(registry, snapshot);
      ms = performance.now() - fromMs;
      return true;
    });
    took.push(ms);
    console.log(`change ${n}: ${ms}`);
  }
  took.sort((a, b) => a - b);
  console.log(
    `snapshot after a change of one service: median ${took[10]!.toFixed(1)} ms, longest ${took.at(-1)!.toFixed(1)} ms`,
  );
  registry.close();
  client.close();
}

function snapshotOf(registry: KubernetesRegistry, previous?: MeshSnapshot): MeshSnapshot {
  const none = { virtualServices: [], destinationRules: [], peerAuthentications: [] };
  const inputs = {
    ...none,
    serviceEntries: [],
    workloadEntries: [],
    registries: [registry.read()],
  };
  return buildSnapshot(inputs, MESH_DEFAULTS, previous);
}

function settledBytes(): number {
  for (let n = 0; n < 3; n++) globalThis.gc?.();
  return residentBytes(process.pid, 'RssAnon');
}

function mib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
