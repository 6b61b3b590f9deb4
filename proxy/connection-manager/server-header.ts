import { type HeaderBlock, hasHeader, setHeader } from '../http/header-block.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';

/** The `server` field (PR-17, `server_header_transformation`): Envoy's name unless the app's is to stay. */
export function applyServerHeader(config: ConnectionManagerConfig, headers: HeaderBlock): void {
  switch (config.serverHeader) {
    case 'OVERWRITE':
      setHeader(headers, 'server', config.serverName);
      return;
    case 'APPEND_IF_ABSENT':
      if (!hasHeader(headers, 'server')) setHeader(headers, 'server', config.serverName);
      return;
    case 'PASS_THROUGH':
      return;
  }
}
