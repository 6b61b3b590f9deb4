import type { FieldPath } from '../../../proto/field-path.ts';
import type { Cluster } from '../../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type {
  Http1ProtocolOptions,
  HttpProtocolOptions,
} from '../../../proto/gen/envoy/config/core/v3/protocol.ts';
import type {
  HttpProtocolOptions_AutoHttpConfig,
  HttpProtocolOptions_UseDownstreamHttpConfig,
  HttpProtocolOptions as TypedOptions,
} from '../../../proto/gen/envoy/extensions/upstreams/http/v3/http_protocol_options.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import { HTTP_PROTOCOL_OPTIONS } from '../../../proto/type-urls.ts';
import { DEFAULT_HTTP2_SETTINGS, type Http2Settings } from '../../http2/http2-settings.ts';
import type { ClusterConfig } from '../../upstream/cluster-config.ts';
import { compileHttp2Options } from './http2-protocol-options.ts';
import type { MessageReader } from './message-reader.ts';

/** What a cluster's HTTP options come to. */
export interface UpstreamHttpOptions {
  readonly httpProtocol: ClusterConfig['httpProtocol'];
  readonly http2: Http2Settings;
  /** 0 = off. */
  readonly idleTimeoutMs: number;
  /** 0 = no limit. */
  readonly requestsPerConnectionMax: number;
  /** 0 = no limit. */
  readonly streamDurationMaxMs: number;
}

const IDLE_TIMEOUT_MS = 3_600_000;
const DEFAULT_COMMON: Common = {
  idleTimeoutMs: IDLE_TIMEOUT_MS,
  requestsPerConnectionMax: 0,
  streamDurationMaxMs: 0,
};

/** `typed_extension_protocol_options`, else the deprecated fields beside it (RS-11). */
export function compileUpstreamHttpOptions(reader: MessageReader<Cluster>): UpstreamHttpOptions {
  const deprecated = readCommon(reader.child('commonHttpProtocolOptions'));
  const requestsMax = reader.integer('maxRequestsPerConnection', { fallback: 0 });
  const http1 = reader.child('httpProtocolOptions');
  if (http1 !== undefined) readHttp1(http1);
  const http2 = reader.child('http2ProtocolOptions');
  const followsCaller = reader.choice(
    'protocolSelection',
    [
      [0, 'USE_CONFIGURED_PROTOCOL', false],
      [1, 'USE_DOWNSTREAM_PROTOCOL', true],
    ],
    false,
  );
  let options: UpstreamHttpOptions = {
    httpProtocol: followsCaller ? 'DOWNSTREAM' : http2 === undefined ? 'HTTP1' : 'HTTP2',
    http2: compileHttp2Options(http2),
    ...deprecated,
    requestsPerConnectionMax: deprecated.requestsPerConnectionMax || requestsMax,
  };
  for (const [name, any] of reader.take('typedExtensionProtocolOptions')) {
    const path = reader.at('typedExtensionProtocolOptions', name);
    if (name === HTTP_PROTOCOL_OPTIONS) options = readTyped(reader, any, path, options);
    else reader.problems.add(path, `not supported; use ${HTTP_PROTOCOL_OPTIONS}`);
  }
  return options;
}

function readTyped(
  reader: MessageReader<Cluster>,
  any: Any,
  path: FieldPath,
  fallback: UpstreamHttpOptions,
): UpstreamHttpOptions {
  const found = reader.unpack(any, path, [HTTP_PROTOCOL_OPTIONS]);
  if (found === undefined) return fallback;
  const typed = found.reader;
  const protocol = readProtocol(typed);
  for (const filter of typed.children('httpFilters')) {
    const config = filter.take('configType');
    filter.take('name');
    if (config?.$case === 'typedConfig' && /upstream_codec/.test(config.value.typeUrl)) continue;
    filter.problems.add(filter.path, 'upstream HTTP filters are not supported');
  }
  const common = typed.child('commonHttpProtocolOptions');
  return { ...(common === undefined ? fallback : readCommon(common)), ...protocol };
}

type Protocol = Pick<UpstreamHttpOptions, 'httpProtocol' | 'http2'>;

/**
 * `auto_config` takes what ALPN agrees on. Envoy refuses it beside a plain-text transport socket; here such an
 * endpoint is spoken to in HTTP/1.1, so that one cluster can hold endpoints with and without a sidecar.
 */
function readProtocol(typed: MessageReader<TypedOptions>): Protocol {
  const set = typed.oneof('upstreamProtocolOptions');
  switch (set?.$case) {
    case 'explicitHttpConfig': {
      const explicit = typed.caseReader(set);
      const protocol = explicit.oneof('protocolConfig');
      if (protocol?.$case === 'httpProtocolOptions') readHttp1(explicit.caseReader(protocol));
      else if (protocol?.$case === 'http2ProtocolOptions') {
        const http2 = compileHttp2Options(explicit.caseReader(protocol));
        return { httpProtocol: 'HTTP2', http2 };
      } else {
        explicit.unsupportedCase(protocol, 'http_protocol_options or http2_protocol_options');
      }
      break;
    }
    case 'useDownstreamProtocolConfig': {
      const either = typed.caseReader(set);
      readUnspoken(either);
      return {
        httpProtocol: 'DOWNSTREAM',
        http2: compileHttp2Options(either.child('http2ProtocolOptions')),
      };
    }
    case 'autoConfig': {
      const either = typed.caseReader(set);
      readUnspoken(either);
      return {
        httpProtocol: 'ALPN',
        http2: compileHttp2Options(either.child('http2ProtocolOptions')),
      };
    }
    default:
      typed.unsupportedCase(
        set,
        'explicit_http_config, use_downstream_protocol_config or auto_config',
      );
  }
  return DEFAULT_PROTOCOL;
}

const DEFAULT_PROTOCOL: Protocol = { httpProtocol: 'HTTP1', http2: DEFAULT_HTTP2_SETTINGS };

/** Tuning of HTTP/1.1, and of HTTP/3, which no side speaks. */
function readUnspoken(
  either: MessageReader<
    HttpProtocolOptions_AutoHttpConfig | HttpProtocolOptions_UseDownstreamHttpConfig
  >,
): void {
  either.take('http3ProtocolOptions');
  const http1 = either.child('httpProtocolOptions');
  if (http1 !== undefined) readHttp1(http1);
}

type Common = Pick<
  UpstreamHttpOptions,
  'idleTimeoutMs' | 'requestsPerConnectionMax' | 'streamDurationMaxMs'
>;

function readCommon(reader: MessageReader<HttpProtocolOptions> | undefined): Common {
  if (reader === undefined) return DEFAULT_COMMON;
  return {
    idleTimeoutMs: reader.durationMs('idleTimeout', IDLE_TIMEOUT_MS),
    requestsPerConnectionMax: reader.integer('maxRequestsPerConnection', { fallback: 0 }),
    streamDurationMaxMs: reader.durationMs('maxStreamDuration', 0),
  };
}

function readHttp1(reader: MessageReader<Http1ProtocolOptions>): void {
  // Bears on requests that arrive; upstream HTTP/1.0 responses are always taken.
  reader.take('acceptHttp10');
}
