import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findEnvoy } from './envoy.ts';
import type { MeshResponse } from './mesh-request.ts';
import { NodeProcess } from './node-process.ts';
import { until } from './until.ts';

/** Why no network namespace can be made here, or false. */
export function noNetworkNamespace(): string | false {
  return spawnSync('unshare', [...UNSHARE, 'true']).status === 0
    ? false
    : 'no network namespace here (unshare --net needs root or user namespaces)';
}

/** As root of a user namespace of its own, so that it works for everybody where the kernel allows it at all. */
const UNSHARE = ['--net', '--map-root-user'];

export interface EnvoyOptions {
  readonly bootstrap: object;
  /** In a network namespace of its own every port is free; it is reached by unix sockets alone. */
  readonly networkNamespace?: boolean;
}

/** A stock Envoy. Its admin endpoint is a unix socket in its own directory, `directory/admin`. */
export class EnvoyProcess {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-envoy-'));
  process!: NodeProcess;

  /** `describe` is given the directory, where sockets may be put. Started, not waited for. */
  constructor(describe: (directory: string) => EnvoyOptions) {
    const { bootstrap, networkNamespace = false } = describe(this.directory);
    const file = join(this.directory, 'envoy.json');
    const admin = { address: { pipe: { path: join(this.directory, 'admin') } } };
    writeFileSync(file, JSON.stringify({ ...bootstrap, admin }));
    const envoy = [findEnvoy(), '-c', file, '--concurrency', '1', '--disable-hot-restart'];
    const [command, ...args] = networkNamespace
      ? ['unshare', ...UNSHARE, 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', ...envoy]
      : envoy;
    this.process = new NodeProcess([...args, '-l', 'warn', '--drain-time-s', '1'], {
      command: command!,
    });
  }

  /** `/ready` says LIVE: the first clusters and listeners are there. */
  async untilLive(): Promise<void> {
    await until(
      'Envoy to be live',
      async () => {
        if (this.process.exitCode !== undefined) throw new Error(`Envoy: ${this.process.output}`);
        return (await this.admin('/ready').catch(() => undefined)) === 'LIVE\n';
      },
      60_000,
    );
  }

  async admin(path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
    return (await this.request('admin', path, 'admin', {}, method)).body;
  }

  /** Over the unix socket `name` of its directory. */
  request(
    name: string,
    path: string,
    host: string,
    headers: Readonly<Record<string, string>> = {},
    method = 'GET',
  ): Promise<MeshResponse> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: join(this.directory, name),
          path,
          method,
          agent: false,
          headers: { host, ...headers },
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (text: string) => {
            body += text;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
          );
          response.on('error', reject);
        },
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  async stop(): Promise<void> {
    await this.process.stop(2000);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
