import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/** Below the ports that kernels hand out for outgoing connections (Linux 32768 up), so that none of those takes one meanwhile. */
const LOWEST = 16_000;
const ABOVE_HIGHEST = 32_000;
const TRIES_MAX = 200;

/**
 * Ports that were free a moment ago, all different: held open together until all are known. Needed where a port must
 * be written into a file before the program that will listen on it starts.
 */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, () => holdFreePort(host)));
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return held.map(({ port }) => port);
}

/** Why a port cannot be listened on just now, or ''. */
export async function listenProblem(port: number, host: string): Promise<string> {
  const server = createServer();
  const problem = await listen(server, port, host);
  await new Promise((resolve) => server.close(resolve));
  return problem === null ? '' : problem.message;
}

async function holdFreePort(host: string): Promise<{ server: Server; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = randomInt(LOWEST, ABOVE_HIGHEST);
    const server = createServer();
    const problem = await listen(server, port, host);
    if (problem === null) return { server, port };
    if (problem.code !== 'EADDRINUSE' || attempt === TRIES_MAX) throw problem;
  }
}

function listen(server: Server, port: number, host: string): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen(port, host, () => resolve(null));
  });
}
