import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import { type Hop, IDLE_SECONDS, type RunningProxy } from './hop.ts';
import { untilListening } from './ready.ts';

/** A reverse proxy with one worker, keep-alive to the backend and a request id as the mesh proxies give one. HTTP/1.1 in and out. */
export async function startNginx(bench: Bench, hop: Hop): Promise<RunningProxy> {
  if (hop.downstream.protocol !== 'http1' || hop.upstream.protocol !== 'http1') {
    throw new Error('nginx proxies HTTP/1.1 alone: it speaks no HTTP/2 to a backend');
  }
  const [port] = (await freePorts(1)) as [number];
  const { tls } = hop.downstream;
  const log = join(bench.directory, `nginx-${port}.access.log`);
  const server = `
  log_format like_envoy '[$time_iso8601] "$request" $status $request_length $body_bytes_sent '
    '$request_time "$http_x_forwarded_for" "$http_user_agent" "$request_id" "$http_host" "$upstream_addr"';
  access_log ${hop.accessLog ? `${log} like_envoy buffer=64k flush=1s` : 'off'};
  upstream backend {
    server 127.0.0.1:${hop.backendPort};
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout ${IDLE_SECONDS}s;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096${tls === null ? '' : ' ssl'};
    ${tls === null ? '' : `ssl_certificate ${tls.files.certificate}; ssl_certificate_key ${tls.files.key};`}
    location / {
      ${hop.authorization ? 'limit_except GET POST { deny all; }' : ''}
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Request-Id $request_id;
      ${hop.retries ? 'proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 3;' : ''}
    }
  }`;
  const process = startNginxProcess(bench, `nginx-${port}`, server, 'proxy');
  await untilListening('nginx', process, port);
  return { subject: 'nginx', port, pids: [process.pid] };
}

/** Runs nginx with an `http` block of one's own, in a directory of its own, as the user that runs the bench. */
export function startNginxProcess(
  bench: Bench,
  name: string,
  http: string,
  place: 'proxy' | 'beside',
) {
  const prefix = join(bench.directory, name);
  for (const part of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) {
    mkdirSync(join(prefix, part), { recursive: true });
  }
  const file = join(prefix, 'nginx.conf');
  const root = process.getuid?.() === 0 ? 'user root;\n' : '';
  writeFileSync(
    file,
    `${root}daemon off;
worker_processes 1;
pid ${prefix}/pid;
error_log ${prefix}/error.log;
events { worker_connections 12000; }
http {
  client_body_temp_path ${prefix}/body;
  proxy_temp_path ${prefix}/proxy;
  fastcgi_temp_path ${prefix}/fastcgi;
  uwsgi_temp_path ${prefix}/uwsgi;
  scgi_temp_path ${prefix}/scgi;
  keepalive_timeout ${IDLE_SECONDS}s;
  keepalive_requests 1000000000;
  tcp_nodelay on;${http}
}
`,
  );
  const args = ['-c', file, '-p', prefix, '-e', join(prefix, 'error.log')];
  const command = bench.programs.command('nginx');
  return place === 'proxy' ? bench.startProxy(command, args) : bench.startBeside(command, args);
}
