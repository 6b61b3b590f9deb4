import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { InnerTunnel } from './inner-tunnel.ts';
import { type RequestStage, StageResult } from './request-stage.ts';

/**
 * Explicit-proxy mode: CONNECT to a host that has no connect route is answered 200, and what is
 * inside decides: HTTP is served by this same manager, anything else goes to the host as it is.
 */
export function openInnerTunnel(config: ConnectionManagerConfig): RequestStage {
  return {
    name: 'inner tunnel',
    begin(stream) {
      if (!config.explicitProxy || stream.head.upgrade !== 'connect' || stream.route !== null) {
        return StageResult.Continue;
      }
      // A tunnel within a tunnel has no use but to hide one.
      if (stream.connection.tunnelPort > 0) return StageResult.Continue;
      stream.openTunnel(new InnerTunnel(stream));
      return StageResult.Answered;
    },
  };
}
