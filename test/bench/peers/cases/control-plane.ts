import { Node } from '../../../../proto/gen/envoy/config/core/v3/base.ts';
import { TYPE_ENDPOINT, TYPE_ROUTE } from '../../../../proto/type-urls.ts';
import { applyPolicy } from '../../../harness/apply-policy.ts';
import { ControlPlane } from '../../../harness/control-plane.ts';
import { joinToken } from '../../../harness/workload.ts';
import type { Bench } from '../bench.ts';
import { cpuTimeUs } from '../cpu-time.ts';
import { AdsFleet } from '../load/ads-fleet.ts';
import { settledPrivateBytes } from '../private-memory.ts';
import { type Row, type Target, valueTarget } from '../result.ts';
import { quantile } from '../statistics.ts';
import type { BenchCase } from './case.ts';

const SERVICES = 1000;
const ENDPOINTS_EACH = 5;
const SIDECARS = [100, 1000] as const;
/** The control plane takes as many streams of one identity; a mesh has more of both. */
const IDENTITIES = 10;
const ENDPOINT_CHANGES = 20;
const ROUTE_CHANGES = 5;
/** No further route is changed after this; one change has been measured in any case. */
const ROUTES_MS_MAX = 20_000;
/** Services that are written at one time. */
const WRITERS = 16;
const KIB = 1024;
const SUBJECT = 'Weft';

/** A control plane with services and sidecars: what a change costs until the last sidecar has acknowledged it. */
export const controlPlane: BenchCase = {
  name: 'control-plane',
  title: `Control plane: ${SERVICES} services × ${ENDPOINTS_EACH} endpoints`,
  needs: [],
  peers: [],
  async run(bench, onRow) {
    const counts = SIDECARS.filter((count) => bench.wants(fleetName(count)));
    if (counts.length === 0) return;
    const started = await startControlPlane(bench);
    const before = await settledPrivateBytes([started.process.pid]);
    for (const count of counts) {
      await bench.part((part) => measureFleet(part, started, before, count, onRow));
    }
  },
};

function fleetName(count: number): string {
  return `${count} sidecars`;
}

/** `before`: private bytes of the control plane before its first sidecar. */
async function measureFleet(
  bench: Bench,
  started: ControlPlane,
  before: number,
  count: number,
  onRow: (row: Row) => void,
): Promise<void> {
  const pids = [started.process.pid];
  const fleet = await fleetOf(started, count);
  bench.scope.defer(() => fleet.close());

  const coldMs = await timed(() => fleet.start());
  const coldBytes = fleet.bytes;
  const held = (await settledPrivateBytes(pids)) - before;
  const endpointMs: number[] = [];
  const endpointCpuMs: number[] = [];
  for (let change = 1; change <= ENDPOINT_CHANGES; change++) {
    const cpuBefore = cpuTimeUs(pids);
    endpointMs.push(
      await acknowledged(fleet, TYPE_ENDPOINT, started, serviceEntry(7, count + change)),
    );
    endpointCpuMs.push((cpuTimeUs(pids) - cpuBefore) / 1000);
  }
  const endpointBytes = (fleet.bytes - coldBytes) / ENDPOINT_CHANGES;
  const routeMs: number[] = [];
  const bytesBeforeRoutes = fleet.bytes;
  const endMs = performance.now() + ROUTES_MS_MAX;
  for (let change = 1; change <= ROUTE_CHANGES && performance.now() < endMs; change++) {
    const policy = virtualService(count + change);
    routeMs.push(await acknowledged(fleet, TYPE_ROUTE, started, policy));
  }
  const routeBytes = (fleet.bytes - bytesBeforeRoutes) / routeMs.length;

  const row = (name: string, unit: string, rounds: number[], targets: Target[] = []) =>
    onRow({
      name: `${fleetName(count)}: ${name}`,
      unit,
      figures: [{ subject: SUBJECT, rounds }],
      targets,
      remark: '',
    });
  const whole = count === SIDECARS.at(-1);
  row('endpoint change until the last ACK', 'ms', endpointMs);
  const p99 = [quantile(endpointMs, 0.99)];
  const p99Name = `p99 of ${ENDPOINT_CHANGES} endpoint changes until the last ACK`;
  row(p99Name, 'ms', p99, whole ? [valueTarget('atMost', 500)] : []);
  row('route change until the last ACK', 'ms', routeMs);
  row('cold start of all until the last ACK', 'ms', [coldMs]);
  row('CPU of an endpoint change', 'ms CPU', endpointCpuMs);
  const memory = [held / count / KIB];
  row('memory', 'KiB/sidecar', memory, whole ? [valueTarget('atMost', 150)] : []);
  row('sent at a cold start', 'KiB/sidecar', [coldBytes / count / KIB]);
  row('sent for an endpoint change', 'KiB/sidecar', [endpointBytes / count / KIB]);
  row('sent for a route change', 'KiB/sidecar', [routeBytes / count / KIB]);
}

/** On the core of the proxies, knowing all services. */
async function startControlPlane(bench: Bench): Promise<ControlPlane> {
  const started = await ControlPlane.start();
  bench.scope.defer(() => started.stop());
  bench.moveToProxyCore(started.process.pid);
  const writer = async (first: number) => {
    for (let index = first; index < SERVICES; index += WRITERS) {
      await applyPolicy(started, serviceEntry(index, 0));
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, first) => writer(first)));
  return started;
}

async function fleetOf(started: ControlPlane, count: number): Promise<AdsFleet> {
  const tokens: string[] = [];
  for (let index = 0; index < IDENTITIES; index++) {
    tokens.push(await joinToken(started, 'default', `account-${index}`));
  }
  return new AdsFleet(count, {
    address: started.xds,
    rootCertPem: started.rootCert(),
    tokens,
    nodeOf: (index) => {
      const ip = `10.9.${index >> 8}.${index & 255}`;
      return Node.create({
        id: `sidecar~${ip}~client-${index}.default~default.svc.cluster.local`,
        cluster: 'client.default',
        userAgentName: 'weft',
        metadata: {
          NAME: `client-${index}`,
          WORKLOAD_NAME: `client-${index}`,
          NAMESPACE: 'default',
          SERVICE_ACCOUNT: `account-${index % IDENTITIES}`,
          INSTANCE_IPS: ip,
          WEFT_MODE: 'explicit',
          WEFT_OUTBOUND: '127.0.0.1:15001',
        },
      });
    },
  });
}

/** Milliseconds from the change's being sent until every sidecar has acknowledged one more response of the type. */
async function acknowledged(
  fleet: AdsFleet,
  typeUrl: string,
  started: ControlPlane,
  policy: string,
): Promise<number> {
  const before = fleet.sidecars.map((sidecar) => sidecar.acks(typeUrl));
  const index = new Map(fleet.sidecars.map((sidecar, at) => [sidecar, at]));
  return timed(async () => {
    const all = fleet.untilEach((sidecar) => sidecar.acks(typeUrl) > before[index.get(sidecar)!]!);
    await applyPolicy(started, policy);
    await all;
  });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}

/** `change` moves one endpoint. */
function serviceEntry(index: number, change: number): string {
  const endpoints = Array.from({ length: ENDPOINTS_EACH }, (_, at) => ({
    address: `10.${at + 1 + (at === 0 ? change % 200 : 0)}.${index >> 8}.${index & 255}`,
  }));
  return JSON.stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: `service-${index}`, namespace: 'default' },
    spec: {
      hosts: [`service-${index}.bench.internal`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      endpoints,
    },
  });
}

function virtualService(change: number): string {
  const host = 'service-7.bench.internal';
  return JSON.stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'service-7', namespace: 'default' },
    spec: {
      hosts: [host],
      http: [{ timeout: `${change}s`, route: [{ destination: { host } }] }],
    },
  });
}
