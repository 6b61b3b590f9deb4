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

/** A static sidecar of `http2Resources`. */
export async function http2Proxy(
  upstreams: Readonly<Record<string, Upstream>>,
  files: TlsFiles,
  hcm: object = {},
): Promise<Http2Proxy> {
  const [plainPort, tlsPort] = await freePorts(2);
  const resources = http2Resources(upstreams, files, plainPort!, tlsPort!, hcm);
  const proxy = await staticProxy(resources, { args: ['--drain-time-s', '1'] });
  return {
    proxy,
    plain: `http://127.0.0.1:${plainPort}`,
    plainPort: plainPort!,
    tls: `https://127.0.0.1:${tlsPort}`,
    tlsPort: tlsPort!,
  };
}

/**
 * `static_resources` of a proxy, Envoy included, with a listener in clear text and one over TLS. `/NAME/x` leads to `/x`
 * of the upstream `NAME`, the authority `NAME.test` to all of it, everything else to the first upstream. `hcm` adds to
 * or replaces fields of both connection managers.
 */
export function http2Resources(
  upstreams: Readonly<Record<string, Upstream>>,
  files: TlsFiles,
  plainPort: number,
  tlsPort: number,
  hcm: object = {},
): object {
  const names = Object.keys(upstreams);
  // Envoy's default of 15 s is about the whole answer.
  const to = (cluster: string | undefined, extra: object = {}) => ({
    route: { cluster, timeout: '0s', ...extra },
  });
  const virtualHosts = [
    ...names.map((name) => ({
      name,
      domains: [`${name}.test`],
      routes: [{ match: { prefix: '/' }, ...to(name) }],
    })),
    {
      name: 'all',
      domains: ['*'],
      routes: [
        ...names.map((name) => ({
          match: { prefix: `/${name}/` },
          ...to(name, { prefix_rewrite: '/' }),
        })),
        { match: { prefix: '/' }, ...to(names[0]) },
      ],
    },
  ];
  const manager = {
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    http2_protocol_options: { allow_connect: true },
    ...hcm,
  };
  return {
    listeners: [
      httpListener(plainPort, virtualHosts, manager),
      httpListener(tlsPort, virtualHosts, manager, downstreamTls(files)),
    ],
    clusters: Object.entries(upstreams).map(([name, upstream]) =>
      staticCluster(name, [upstream.port], upstreamOptions(upstream)),
    ),
  };
}

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** Fields of a filter chain. */
function downstreamTls(files: TlsFiles): object {
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

/** Fields of a cluster. */
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
