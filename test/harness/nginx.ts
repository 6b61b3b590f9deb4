import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts } from './accepts.ts';
import { NodeProcess } from './node-process.ts';
import { hasProgram } from './program.ts';

const NGINX = hasProgram('nginx', ['-v']) ? 'nginx' : '/usr/sbin/nginx';

export const noNginx = () =>
  hasProgram(NGINX, ['-v']) ? false : 'nginx is not installed (Debian: nginx-light)';

export interface Nginx {
  readonly directory: string;
  stop(): Promise<void>;
}

/** One that serves `http` (the inside of nginx's `http { }`); resolves once `port` accepts. */
export async function nginx(port: number, http: (directory: string) => string): Promise<Nginx> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-nginx-'));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join('\n');
  const file = join(directory, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr warn;
events { worker_connections 1024; }
http { access_log off; ${temporary} ${http(directory)} }`,
  );
  const process = new NodeProcess(['-p', directory, '-e', 'stderr', '-c', file], {
    command: NGINX,
  });
  const stop = async () => {
    await process.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await accepts(process, port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { directory, stop };
}
