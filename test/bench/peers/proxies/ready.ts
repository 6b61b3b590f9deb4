import { connect } from 'node:net';
import type { NodeProcess } from '../../../harness/node-process.ts';
import { until } from '../../../harness/until.ts';

/** `/ready` of the admin port answers 200. */
export async function untilAdminLive(
  name: string,
  process: NodeProcess,
  adminPort: number,
): Promise<void> {
  await untilReady(name, process, async () => {
    const response = await fetch(`http://127.0.0.1:${adminPort}/ready`).catch(() => undefined);
    return response?.status === 200;
  });
}

/** The port takes connections. */
export async function untilListening(
  name: string,
  process: NodeProcess,
  port: number,
): Promise<void> {
  await untilReady(name, process, () => accepts(port));
}

async function untilReady(name: string, process: NodeProcess, ready: () => Promise<boolean>) {
  await until(`${name} to be ready`, () => {
    if (process.exitCode !== undefined) throw new Error(`${name} ended: ${process.output.trim()}`);
    return ready();
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
