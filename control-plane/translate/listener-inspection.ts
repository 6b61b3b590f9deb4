import { packAny } from '../../proto/any.ts';
import { duration } from '../../proto/duration.ts';
import type { DeepPartial, Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { ListenerFilter } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import { HttpInspector } from '../../proto/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.ts';
import { TlsInspector } from '../../proto/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.ts';
import { TYPE_HTTP_INSPECTOR, TYPE_TLS_INSPECTOR } from '../../proto/type-urls.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';

/** What of a connection is looked at before its filter chain is chosen (PR-02). */
export interface Inspection {
  /** Look for a ClientHello. */
  readonly tls: boolean;
  /** Look for a request line or an HTTP/2 preface. */
  readonly http: boolean;
}

/**
 * The listener filters for it. After the timeout the connection goes on with what is known: a protocol where the server
 * speaks first is plain text to whom waits long enough.
 */
export function inspect(
  { tls, http }: Inspection,
  { protocolDetectionTimeoutMs }: Pick<MeshOptions, 'protocolDetectionTimeoutMs'>,
): DeepPartial<Listener> {
  return {
    listenerFilters: [...(tls ? [TLS_INSPECTOR] : []), ...(http ? [HTTP_INSPECTOR] : [])],
    listenerFiltersTimeout: duration(protocolDetectionTimeoutMs),
    continueOnListenerFiltersTimeout: true,
  };
}

const TLS_INSPECTOR: DeepPartial<ListenerFilter> = {
  name: 'envoy.filters.listener.tls_inspector',
  configType: { $case: 'typedConfig', value: packAny(TYPE_TLS_INSPECTOR, TlsInspector.create()) },
};

const HTTP_INSPECTOR: DeepPartial<ListenerFilter> = {
  name: 'envoy.filters.listener.http_inspector',
  configType: {
    $case: 'typedConfig',
    value: packAny(TYPE_HTTP_INSPECTOR, HttpInspector.create()),
  },
};
