import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Runs a small mesh out of a bundle and stops it again, so that Node.js keeps what it compiled:
 * `node warm.ts DIRECTORY`, which gets `DIRECTORY/cache`. Fails where a role does not do its work. Needs loopback and
 * nothing of a clone: it runs in a stage of the image that has only the bundle.
 */

const [directory = '/opt/weft'] = process.argv.slice(2);
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const OUTBOUND_PORT = 15_001;
/** `weft run` ends as its app does. */
const EXIT_SIGTERM = 143;
const state = mkdtempSync(join(tmpdir(), 'weft-warm-'));
const data = join(state, 'data');
const running: ChildProcess[] = [];

try {
  await succeed('proxy', '--help');
  await succeed('redirect', '--dry-run');
  await succeed('version', '--client');
  const controlPlane = start('control-plane', '--data', data);
  await until('the control plane', () => get('http://127.0.0.1:15014/ready'));
  const app = createServer((_request, response) => response.end('warm\n'));
  await new Promise<void>((listening) => app.listen(0, '127.0.0.1', listening));
  const { port } = app.address() as { port: number };
  const sidecar = start(
    ...['run', '--service', 'warm', '--data', data, '--port', '80', '--app-port', String(port)],
    ...['--outbound', `127.0.0.1:${OUTBOUND_PORT}`],
    ...['--', process.execPath, '-e', 'setInterval(() => {}, 1000)'],
  );
  await until('a request through the sidecar', () => get('http://warm/', OUTBOUND_PORT));
  await succeed('proxy-status');
  await stop(sidecar, EXIT_SIGTERM);
  await stop(controlPlane);
  app.close();
  app.closeAllConnections();
  openToAll(join(directory, 'cache'));
} finally {
  for (const child of running) child.kill('SIGKILL');
  rmSync(state, { recursive: true, force: true });
}

/** Node.js keeps a directory for each user, closed to others; in the image root owns it, and `redirect` runs as root. */
function openToAll(cache: string): void {
  const [own] = readdirSync(cache);
  if (own === undefined) throw new Error(`Node.js kept nothing in ${cache}`);
  for (const file of readdirSync(join(cache, own))) chmodSync(join(cache, own, file), 0o644);
  const ofRoot = own.replace(/-\d+$/, '-0');
  if (ofRoot !== own) symlinkSync(own, join(cache, ofRoot));
}

function start(...words: string[]): ChildProcess {
  const child = spawn(process.execPath, [join(directory, 'weft.mjs'), ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
    // Of the environment nothing that would configure a sidecar.
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: join(directory, 'cache') },
  });
  running.push(child);
  return child;
}

/** Rejects where it ends with another code. */
async function ended(child: ChildProcess, code = 0): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise((resolve) => child.once('exit', resolve));
  }
  const { exitCode, signalCode, spawnargs } = child;
  if (exitCode !== code) {
    throw new Error(`${spawnargs.slice(1).join(' ')} ended with ${exitCode ?? signalCode}`);
  }
}

async function succeed(...words: string[]): Promise<void> {
  await ended(start(...words));
}

async function stop(child: ChildProcess, code = 0): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended(child, code).finally(() => clearTimeout(timer));
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited for ${what} in vain`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** True where the answer is 200; `proxyPort`: asked as an HTTP proxy. */
function get(url: string, proxyPort = 0): Promise<boolean> {
  const { hostname, port, pathname, host } = new URL(url);
  return new Promise((resolve) => {
    const outgoing = request(
      {
        host: proxyPort === 0 ? hostname : '127.0.0.1',
        port: proxyPort === 0 ? port : proxyPort,
        path: proxyPort === 0 ? pathname : url,
        headers: { host, connection: 'close' },
        timeout: 5000,
      },
      (response) => {
        response.resume();
        response.on('close', () => resolve(response.statusCode === 200));
      },
    );
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('error', () => resolve(false));
    outgoing.end();
  });
}
