import { randomInt } from 'node:crypto';
import { createServer, type ListenOptions, type Server } from 'node:net';

/** Below the ports that kernels hand out for outgoing connections (Linux 32768 up), so that none of those takes one meanwhile. */
const LOWEST = 16_000;
const ABOVE_HIGHEST = 32_000;
const TRIES_MAX = 200;

/**
 * Ports that were free a moment ago, all different. Needed where a port must be written into a file before the program
 * that will listen on it starts. On Linux they stay reserved against every other caller of this function, in any
 * process, until this process ends: seconds can pass before a program listens, and another one that starts beside it
 * must not choose the same port. Rejects where no free port is found.
 */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, () => holdFreePort(host)));
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return held.map(({ port }) => port);
}

/** Why a port cannot be listened on just now, or ''. */
export async function listenProblem(port: number, host: string): Promise<string> {
  const server = createServer();
  const problem = await listen(server, { port, host });
  await new Promise((resolve) => server.close(resolve));
  return problem === null ? '' : problem.message;
}

async function holdFreePort(host: string): Promise<{ server: Server; port: number }> {
  for (let attempt = 1; attempt <= TRIES_MAX; attempt += 1) {
    const port = randomInt(LOWEST, ABOVE_HIGHEST);
    if (!(await reserve(port))) continue;
    const server = createServer();
    const problem = await listen(server, { port, host });
    if (problem === null) return { server, port };
    if (problem.code !== 'EADDRINUSE') throw problem;
  }
  throw new Error(
    `no free port on ${host}: ${TRIES_MAX} ports from ${LOWEST} up were tried, and all are taken`,
  );
}

/**
 * False where another caller has the port. A reservation is a listening socket in Linux's abstract namespace (unix(7)):
 * like ports, such names belong to the network namespace, leave no file, and end with their process. Elsewhere nothing
 * is reserved.
 */
async function reserve(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const reservation = createServer((connection) => connection.destroy()).unref();
  const problem = await listen(reservation, { path: `\0weft-port-${port}` });
  return problem?.code !== 'EADDRINUSE';
}

function listen(server: Server, options: ListenOptions): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen(options, () => resolve(null));
  });
}
