import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import { startNginxProcess } from '../proxies/nginx.ts';
import { untilListening } from '../proxies/ready.ts';

/** nginx as the app behind the proxies, HTTP/1.1 in clear text: `/<bytes>` answers with so many of them. */
export async function startNginxBackend(bench: Bench, sizes: readonly number[]): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  const name = `backend-${port}`;
  const files = join(bench.directory, name, 'files');
  mkdirSync(files, { recursive: true });
  for (const bytes of sizes) writeFileSync(join(files, `${bytes}`), 'x'.repeat(bytes));
  const http = `
  access_log off;
  sendfile on;
  open_file_cache max=100;
  server {
    listen ${port} backlog=4096;
    root ${files};
    default_type text/plain;
  }`;
  const process = startNginxProcess(bench, name, http, 'beside');
  await untilListening('the backend (nginx)', process, port);
  return port;
}
