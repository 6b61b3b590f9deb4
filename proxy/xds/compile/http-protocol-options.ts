import type { FieldPath } from '../../../proto/field-path.ts';
import type { Cluster } from '../../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type {
  Http1ProtocolOptions,
  HttpProtocolOptions,
} from '../../../proto/gen/envoy/config/core/v3/protocol.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import { HTTP_PROTOCOL_OPTIONS } from '../../../proto/type-urls.ts';
import type { MessageReader } from './message-reader.ts';

/** What a cluster's HTTP options come to. HTTP/1.1 is spoken upstream. */
export interface UpstreamHttpOptions {
  /** 0 = off. */
  readonly idleTimeoutMs: number;
  /** 0 = no limit. */
  readonly requestsPerConnectionMax: number;
}

const IDLE_TIMEOUT_MS = 3_600_000;
const DEFAULTS: UpstreamHttpOptions = {
  idleTimeoutMs: IDLE_TIMEOUT_MS,
  requestsPerConnectionMax: 0,
};

/** `typed_extension_protocol_options`, else the deprecated fields beside it (RS-11). */
export function compileUpstreamHttpOptions(reader: MessageReader<Cluster>): UpstreamHttpOptions {
  const deprecated = readCommon(reader.child('commonHttpProtocolOptions'));
  const requestsMax = reader.integer('maxRequestsPerConnection', { fallback: 0 });
  const http1 = reader.child('httpProtocolOptions');
  if (http1 !== undefined) readHttp1(http1);
  let options: UpstreamHttpOptions = {
    idleTimeoutMs: deprecated.idleTimeoutMs,
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
  const set = typed.oneof('upstreamProtocolOptions');
  switch (set?.$case) {
    case 'explicitHttpConfig': {
      const explicit = typed.caseReader(set);
      const protocol = explicit.oneof('protocolConfig');
      if (protocol?.$case === 'httpProtocolOptions') readHttp1(explicit.caseReader(protocol));
      else explicit.unsupportedCase(protocol, 'http_protocol_options (HTTP/1.1)');
      break;
    }
    case 'useDownstreamProtocolConfig':
    case 'autoConfig': {
      // Both come to HTTP/1.1, the one protocol that is spoken on either side; tuning of others is moot.
      const either = set.$case === 'autoConfig' ? typed.caseReader(set) : typed.caseReader(set);
      either.take('http2ProtocolOptions');
      either.take('http3ProtocolOptions');
      const http1 = either.child('httpProtocolOptions');
      if (http1 !== undefined) readHttp1(http1);
      break;
    }
    default:
      typed.unsupportedCase(
        set,
        'explicit_http_config, use_downstream_protocol_config or auto_config',
      );
  }
  for (const filter of typed.children('httpFilters')) {
    const config = filter.take('configType');
    filter.take('name');
    if (config?.$case === 'typedConfig' && /upstream_codec/.test(config.value.typeUrl)) continue;
    filter.problems.add(filter.path, 'upstream HTTP filters are not supported');
  }
  const common = typed.child('commonHttpProtocolOptions');
  return common === undefined ? fallback : readCommon(common);
}

function readCommon(reader: MessageReader<HttpProtocolOptions> | undefined): UpstreamHttpOptions {
  if (reader === undefined) return DEFAULTS;
  return {
    idleTimeoutMs: reader.durationMs('idleTimeout', IDLE_TIMEOUT_MS),
    requestsPerConnectionMax: reader.integer('maxRequestsPerConnection', { fallback: 0 }),
  };
}

function readHttp1(reader: MessageReader<Http1ProtocolOptions>): void {
  // Bears on requests that arrive; upstream HTTP/1.0 responses are always taken.
  reader.take('acceptHttp10');
}
