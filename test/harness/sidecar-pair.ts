import { ControlPlane } from './control-plane.ts';
import { until } from './until.ts';
import { Workload } from './workload.ts';

export interface PairedApp {
  readonly service: string;
  /** Where the app listens. */
  readonly port: number;
  /** Of the service's port, such as `http2`. */
  readonly protocol: string;
}

export interface SidecarPair {
  readonly controlPlane: ControlPlane;
  /** The sidecar of the calling app; what it is sent is led by `Host` or `:authority` `SERVICE:9080`. */
  readonly client: Workload;
  readonly servers: ReadonlyMap<string, Workload>;
  stop(): Promise<void>;
}

/** A control plane, a sidecar beside each of `apps` and one beside a client. Resolves when the client knows all of them. */
export async function sidecarPair(apps: readonly PairedApp[]): Promise<SidecarPair> {
  const controlPlane = await ControlPlane.start();
  const workloads = await Promise.all([
    Workload.spawn(controlPlane),
    ...apps.map(({ service, port, protocol }) =>
      Workload.spawn(controlPlane, { service, appPort: port, protocol }),
    ),
  ]);
  const [client, ...servers] = workloads as [Workload, ...Workload[]];
  const stop = async () => {
    await Promise.all(workloads.map((workload) => workload.stop()));
    await controlPlane.stop();
  };
  try {
    await Promise.all(workloads.map((workload) => workload.untilReady()));
    await until('the client to know all apps', async () => {
      const { out } = await controlPlane.weft('pc', 'endpoints', 'client');
      return servers.every(({ inboundPort }) => new RegExp(`:${inboundPort} +HEALTHY`).test(out));
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const names = apps.map(({ service }) => service);
  return {
    controlPlane,
    client,
    servers: new Map(names.map((name, index) => [name, servers[index]!])),
    stop,
  };
}
