import { headerValue, removeHeader } from '../http/header-block.ts';
import { UNKNOWN_WORKLOAD } from '../observe/request-record.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { PeerMetadataCache } from './peer-metadata.ts';
import { type RequestStage, StageResult } from './request-stage.ts';

/**
 * Takes the sidecars' own fields off the request. Inbound they name the caller, and are believed on
 * mutual TLS only; outbound the app may not set them, the router does for mesh endpoints.
 */
export function readPeer(config: ConnectionManagerConfig): RequestStage {
  const inbound = config.direction === 'INBOUND';
  const concerned = config.direction !== 'UNSPECIFIED';
  const cache = new PeerMetadataCache();
  return {
    name: 'peer',
    begin(stream) {
      if (!concerned) return StageResult.Continue;
      const { headers } = stream.head;
      const { info } = stream.connection;
      if (inbound) {
        stream.record.peer = info.mutualTls
          ? cache.lookup(headerValue(headers, 'x-envoy-peer-metadata'), info.peerPrincipal)
          : UNKNOWN_WORKLOAD;
      }
      removeHeader(headers, 'x-envoy-peer-metadata');
      removeHeader(headers, 'x-envoy-peer-metadata-id');
      return StageResult.Continue;
    },
  };
}
