import { freePorts } from '../../cli/run/free-port.ts';
import { httpListener, type StaticProxy, staticCluster, staticProxy } from './static-proxy.ts';
import type { TlsFiles } from './tls-files.ts';

/** How a cluster speaks to its app. */
export type Upstream =
  | { readonly port: number; readonly version: 'http1' | 'http2' }
  /** Over TLS, in what ALPN agrees on. */
  | { readonly port: number; readonly version: 'alpn'; readonly files: TlsFiles };

export interface Http2Proxy {
  readonly proxy: StaticProxy;
  /** `http://127.0.0.1:port`, where either version is taken. */
  readonly plain: string;
  readonly plainPort: number;
  /** `https://127.0.0.1:port`, with ALPN `h2` and `http/1.1`. */
  readonly tls: string;
  readonly tlsPort: number;
}

/**
 * A static sidecar with a listener in clear text and one over TLS. `/NAME/x` leads to `/x` of the upstream `NAME`, all
 * else to the first of them.
 */
export async function http2Proxy(
  upstreams: Readonly<Record<string, Upstream>>,
  files: TlsFiles,
  extra: { readonly hcm?: object; readonly args?: readonly string[] } = {},
): Promise<Http2Proxy> {
  const [plainPort, tlsPort] = await freePorts(2);
  const names = Object.keys(upstreams);
  // Envoy's default of 15 s is about the whole answer.
  const route = { timeout: '0s' };
  const virtualHosts = [
    {
      name: 'all',
      domains: ['*'],
      routes: [
        ...names.map((cluster) => ({
          match: { prefix: `/${cluster}/` },
          route: { cluster, prefix_rewrite: '/', ...route },
        })),
        { match: { prefix: '/' }, route: { cluster: names[0], ...route } },
      ],
    },
  ];
  const hcm = {
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    http2_protocol_options: { allow_connect: true },
    ...extra.hcm,
  };
  const proxy = await staticProxy(
    {
      listeners: [
        httpListener(plainPort!, virtualHosts, hcm),
        httpListener(tlsPort!, virtualHosts, hcm, downstreamTls(files)),
      ],
      clusters: Object.entries(upstreams).map(([name, upstream]) =>
        staticCluster(name, [upstream.port], upstreamOptions(upstream)),
      ),
    },
    { args: extra.args ?? ['--drain-time-s', '1'] },
  );
  return {
    proxy,
    plain: `http://127.0.0.1:${plainPort}`,
    plainPort: plainPort!,
    tls: `https://127.0.0.1:${tlsPort}`,
    tlsPort: tlsPort!,
  };
}

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** Fields of a filter chain, for Envoy as well. */
export function downstreamTls(files: TlsFiles): object {
  return {
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': `${TLS}.DownstreamTlsContext`,
        common_tls_context: {
          alpn_protocols: ['h2', 'http/1.1'],
          tls_certificates: [
            {
              certificate_chain: { filename: files.certificate },
              private_key: { filename: files.privateKey },
            },
          ],
        },
      },
    },
  };
}

/** Fields of a cluster, for Envoy as well. */
export function upstreamOptions(upstream: Upstream): object {
  const protocol = {
    http1: { explicit_http_config: { http_protocol_options: {} } },
    http2: { explicit_http_config: { http2_protocol_options: {} } },
    alpn: { auto_config: {} },
  }[upstream.version];
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    typed_extension_protocol_options: {
      [options]: { '@type': `type.googleapis.com/${options}`, ...protocol },
    },
    ...(upstream.version === 'alpn' && {
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': `${TLS}.UpstreamTlsContext`,
          sni: 'localhost',
          common_tls_context: {
            validation_context: { trusted_ca: { filename: upstream.files.authority } },
          },
        },
      },
    }),
  };
}
