import { connect, type Socket } from 'node:net';
import { freePorts } from '../../cli/run/free-port.ts';
import { echoApp } from '../harness/echo-app.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import { everything, httpListener, staticCluster, staticProxy } from '../harness/static-proxy.ts';

/**
 * Private memory (RssAnon) of a sidecar process per idle downstream connection, fresh and after one request each.
 * Garbage that V8 has not collected yet counts. Needs /proc and 2 × COUNT open files.
 *
 *   node test/bench/idle-connections.bench.ts [COUNT = 5000]
 */

const count = Number(process.argv[2] ?? 5000);
const app = await echoApp();
const [port] = await freePorts(1);
const proxy = await staticProxy({
  listeners: [httpListener(port!, [everything('echo')])],
  clusters: [staticCluster('echo', [app.port])],
});
const sockets: Socket[] = [];
await exchange(await open(50));
const baseBytes = await settledBytes();
const idle = await open(count);
report('fresh', await settledBytes());
await exchange(idle);
report('after one request', await settledBytes());
for (const socket of sockets) socket.destroy();
await proxy.stop();
await app.close();

function report(what: string, bytes: number): void {
  console.log(`${what}: ${((bytes - baseBytes) / count / 1024).toFixed(1)} KiB a connection`);
}

async function open(wanted: number): Promise<Socket[]> {
  const opened: Socket[] = [];
  // By hundreds, so that the backlog of the listener is never full.
  while (opened.length < wanted) {
    const some = Array.from({ length: Math.min(100, wanted - opened.length) }, connected);
    opened.push(...(await Promise.all(some)));
  }
  return opened;
}

function connected(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: port!, host: '127.0.0.1' }, () => resolve(socket));
    socket.once('error', reject);
    sockets.push(socket);
  });
}

async function exchange(on: readonly Socket[]): Promise<void> {
  for (let at = 0; at < on.length; at += 100) {
    const answers = on.slice(at, at + 100).map((socket) => {
      socket.write('GET /status/204 HTTP/1.1\r\nhost: a\r\n\r\n');
      return new Promise((resolve) => socket.once('data', resolve));
    });
    await Promise.all(answers);
  }
}

/** Once it has not grown for a second. */
async function settledBytes(): Promise<number> {
  for (let before = -1; ; ) {
    const now = residentBytes(proxy.process.pid, 'RssAnon');
    if (now === before) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
