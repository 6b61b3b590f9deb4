import type { Bench } from '../bench.ts';
import { pairOfTlsFiles } from '../tls-files.ts';
import { startEnvoy } from './envoy.ts';
import { startHaproxy } from './haproxy.ts';
import {
  type Hop,
  MESH_FEATURES,
  PLAIN_HTTP1,
  PLAIN_HTTP2,
  type RunningProxy,
  type Side,
} from './hop.ts';
import { startWeft } from './weft.ts';

/** What two apps speak, and what stands between their sidecars. */
export interface PairPlan {
  readonly apps: 'http1' | 'http2';
  readonly backendPort: number;
}

/**
 * app → client sidecar → mutual TLS → server sidecar → app, of Weft and of every peer that is here. The CPU of a pair is
 * that of both its proxies.
 */
export async function startPairs(bench: Bench, plan: PairPlan): Promise<RunningProxy[]> {
  const tls = await pairOfTlsFiles(bench.directory);
  const app = plan.apps === 'http1' ? PLAIN_HTTP1 : PLAIN_HTTP2;
  const pair = async (
    start: (bench: Bench, hop: Hop) => Promise<RunningProxy>,
    between: 'http1' | 'http2',
    name: (subject: string) => string,
  ): Promise<RunningProxy> => {
    const side = (files: typeof tls.client): Side => ({
      protocol: between,
      tls: { files, mutual: true },
    });
    const server = await start(bench, {
      downstream: side(tls.server),
      upstream: app,
      backendPort: plan.backendPort,
      ...MESH_FEATURES,
      accessLog: true,
    });
    const client = await start(bench, {
      downstream: app,
      upstream: side(tls.client),
      backendPort: server.port,
      ...MESH_FEATURES,
      // Who may call is judged where the call arrives.
      authorization: false,
      accessLog: true,
    });
    const pids = [...client.pids, ...server.pids];
    return { subject: name(client.subject), port: client.port, pids };
  };
  const same = (subject: string) => subject;
  const pairs = [await pair(startWeft, 'http2', same)];
  if (bench.programs.has('HAProxy')) {
    pairs.push(await pair(startHaproxy, 'http2', () => 'HAProxy h2'));
    if (plan.apps === 'http1') pairs.push(await pair(startHaproxy, 'http1', () => 'HAProxy h1'));
  }
  if (bench.programs.has('Envoy')) pairs.push(await pair(startEnvoy, 'http2', same));
  return pairs;
}
