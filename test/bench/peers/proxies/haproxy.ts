import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import { type Hop, IDLE_SECONDS, type RunningProxy, type Side } from './hop.ts';
import { untilListening } from './ready.ts';

/** One thread, connections to the backend shared, and a request id as the mesh proxies give one. */
export async function startHaproxy(
  bench: Bench,
  hop: Hop,
  subject = 'HAProxy',
): Promise<RunningProxy> {
  const command = bench.programs.command('HAProxy');
  const [port] = (await freePorts(1)) as [number];
  const file = join(bench.directory, `haproxy-${port}.cfg`);
  writeFileSync(file, haproxyConfiguration(hop, port));
  // HAProxy writes to no file itself: its standard output is one.
  const log = join(bench.directory, `haproxy-${port}.log`);
  const process = bench.startProxy('sh', [
    '-c',
    'exec "$0" -db -f "$1" > "$2"',
    ...[command, file, log],
  ]);
  await untilListening('HAProxy', process, port);
  return { subject, port, pids: [process.pid] };
}

function haproxyConfiguration(hop: Hop, port: number): string {
  const tcp = hop.downstream.protocol === 'tcp';
  const log = hop.accessLog
    ? [
        '  log global',
        `  log-format "${tcp ? '[%t] %ci:%cp %s %U %B %Tt' : '[%t] \\"%r\\" %ST %U %B %Ta %ci \\"%[var(txn.agent)]\\" \\"%ID\\" \\"%[var(txn.host)]\\" %si:%sp'}"`,
        ...(tcp
          ? []
          : [
              '  http-request set-var(txn.agent) req.hdr(user-agent)',
              '  http-request set-var(txn.host) req.hdr(host)',
            ]),
      ]
    : [];
  return `global
  nbthread 1
  tune.h2.initial-window-size 262144
  log stdout format raw local0
defaults
  mode ${tcp ? 'tcp' : 'http'}
  timeout connect 5s
  timeout client ${IDLE_SECONDS}s
  timeout server ${IDLE_SECONDS}s
  timeout http-keep-alive ${IDLE_SECONDS}s
frontend in
  bind 127.0.0.1:${port} backlog 4096${bindSide(hop.downstream)}
${log.join('\n')}
${tcp || !hop.authorization ? '' : AUTHORIZATION}${tcp ? '' : '  unique-id-format %[uuid()]\n  unique-id-header x-request-id\n'}  default_backend out
backend out
${tcp ? '' : `  http-reuse always\n${hop.retries ? RETRIES : ''}`}  server one 127.0.0.1:${hop.backendPort} maxconn 0${serverSide(hop.upstream)}
`;
}

const AUTHORIZATION = '  http-request deny unless METH_GET or METH_POST\n';
const RETRIES = '  retry-on conn-failure 503\n  retries 2\n  option redispatch\n';

function bindSide({ protocol, tls }: Side): string {
  if (tls === null) return protocol === 'http2' ? ' proto h2' : '';
  const verify = tls.mutual ? ` ca-file ${tls.files.ca} verify required` : '';
  return ` ssl crt ${tls.files.both}${alpn(protocol)}${verify}`;
}

function serverSide({ protocol, tls }: Side): string {
  if (tls === null) return protocol === 'http2' ? ' proto h2' : '';
  const own = tls.mutual ? ` crt ${tls.files.both}` : '';
  const sni = ' sni str(server.default.svc.cluster.local)';
  return ` ssl ca-file ${tls.files.ca} verify required${own}${alpn(protocol)}${sni}`;
}

function alpn(protocol: Side['protocol']): string {
  if (protocol === 'tcp') return '';
  return ` alpn ${protocol === 'http2' ? 'h2' : 'http/1.1'}`;
}
