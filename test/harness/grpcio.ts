import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { NodeProcess, ROOT } from './node-process.ts';

/** A Python with gRPC: `$WEFT_PYTHON`, else `python3` on PATH. `pip install grpcio` brings it. */
const PYTHON = process.env['WEFT_PYTHON'] ?? 'python3';

export const noGrpcio = () =>
  spawnSync(PYTHON, ['-c', 'import grpc'], { stdio: 'ignore' }).status === 0
    ? false
    : 'no Python with gRPC here (pip install grpcio, or name one in WEFT_PYTHON)';

const script = (name: string) => join(ROOT, 'test/harness', name);

/** Started: `seen` gives the lines of each of `checks` as they are done. */
export function grpcioClient(
  port: number,
  authority: string,
  checks: readonly string[],
): NodeProcess {
  const args = [script('grpcio-client.py'), `127.0.0.1:${port}`, authority, ...checks];
  return new NodeProcess(args, { command: PYTHON });
}

export interface GrpcioServer {
  readonly port: number;
  /** Calls of `Hang` that have ended at their client. */
  readonly cancelled: () => number;
  stop(): Promise<unknown>;
}

export async function grpcioServer(): Promise<GrpcioServer> {
  const process = new NodeProcess([script('grpcio-server.py')], { command: PYTHON });
  const [, port] = await process.seen(/^(\d+)$/m);
  return {
    port: Number(port),
    cancelled: () => process.stdout.match(/^cancelled$/gm)?.length ?? 0,
    stop: () => process.stop(2000),
  };
}
