import { connect } from 'node:net';
import type { NodeProcess } from './node-process.ts';
import { until } from './until.ts';

/** Resolves once `process` accepts connections at a port of 127.0.0.1; rejects when it ends before. */
export async function accepts(process: NodeProcess, port: number): Promise<void> {
  await until(`port ${port} to accept`, () => {
    if (process.exitCode !== undefined) {
      throw new Error(`it ended with ${process.exitCode}: ${process.output}`);
    }
    return new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
  });
}
