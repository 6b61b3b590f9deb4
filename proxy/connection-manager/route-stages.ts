import { portOfAuthority } from '../http/authority.ts';
import { headerValue, removeHeader } from '../http/header-block.ts';
import { ResponseHead } from '../http/message.ts';
import { withoutPort } from '../router/host-match.ts';
import type { Route } from '../router/route-table.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { type RequestStage, StageResult } from './request-stage.ts';
import { streamDurationMs } from './stream-duration.ts';

/** Authority: present, without its port where configured; inside a tunnel the tunnel's port is the default. */
export function checkTarget(config: ConnectionManagerConfig): RequestStage {
  return {
    name: 'target',
    begin(stream) {
      const { head } = stream;
      if (head.authority === '') {
        stream.answer({ kind: 'badRequest', details: 'missing_host_header' });
        return StageResult.Answered;
      }
      if (config.stripAnyHostPort) head.authority = withoutPort(head.authority);
      stream.routeAuthority = head.authority;
      const { tunnelPort } = stream.connection;
      if (tunnelPort > 0 && tunnelPort !== 80 && portOfAuthority(head.authority, 0) === 0) {
        stream.routeAuthority = `${head.authority}:${tunnelPort}`;
      }
      return StageResult.Continue;
    },
  };
}

/** Virtual host and route of the table in force now; the request keeps them. */
export function matchRoute(config: ConnectionManagerConfig): RequestStage {
  return {
    name: 'route match',
    begin(stream) {
      const table = stream.connection.manager.routeTable();
      stream.table = table ?? null;
      const virtualHost = table?.findVirtualHost(stream.routeAuthority) ?? null;
      const route = virtualHost?.findRoute(stream.head, stream.random) ?? null;
      stream.route = route;
      const { record } = stream;
      if (virtualHost !== null) record.virtualHost = virtualHost.config.name;
      if (route === null) return StageResult.Continue;
      record.routeName = route.entry.name;
      const action = route.entry.action.kind === 'route' ? route.entry.action : null;
      const ofRoute = action !== null && action.idleTimeoutMs >= 0;
      stream.setIdleTimeout(ofRoute ? action.idleTimeoutMs : config.streamIdleTimeoutMs);
      const durationMs = streamDurationMs(action, config, stream.head, record.grpc);
      if (durationMs === 0) {
        stream.answer({ kind: 'durationTimeout', requestComplete: stream.requestEnded });
        return StageResult.Answered;
      }
      if (durationMs > 0) stream.limitDuration(durationMs);
      return StageResult.Continue;
    },
  };
}

/** Upgrades that the route, else the listener, allows (PR-09): the first of those asked for. */
export function checkUpgrade(config: ConnectionManagerConfig): RequestStage {
  return {
    name: 'upgrade',
    begin(stream) {
      const { head, route } = stream;
      if (head.upgrade === '') return StageResult.Continue;
      const allowed = head.upgrade
        .split(',')
        .find((protocol) => isAllowed(config, route, protocol));
      if (allowed === undefined) {
        stream.answer({ kind: 'upgradeRefused' });
        return StageResult.Answered;
      }
      head.upgrade = allowed;
      return StageResult.Continue;
    },
  };
}

function isAllowed(
  config: ConnectionManagerConfig,
  route: Route | null,
  protocol: string,
): boolean {
  const action = route?.entry.action;
  const ofRoute = action?.kind === 'route' ? action.upgrades.get(protocol) : undefined;
  // An explicit proxy that has a connect route was given it to be used.
  const byRoute = protocol === 'connect' && config.explicitProxy && route !== null;
  return ofRoute ?? config.upgrades.get(protocol) ?? byRoute;
}

/**
 * `Expect: 100-continue` is answered here and taken off, as Envoy does: the upstream may be picked,
 * and picked again, while the body is on its way. It stands behind the filters, so that a request
 * they refuse is refused before its body is sent.
 */
export function answerExpect(): RequestStage {
  return {
    name: 'expect',
    begin(stream) {
      // An answer that is made here needs no body.
      if (stream.route?.entry.action.kind !== 'route') return StageResult.Continue;
      const { headers } = stream.head;
      const expect = headerValue(headers, 'expect');
      if (expect !== '' && expect.toLowerCase() === '100-continue') {
        removeHeader(headers, 'expect');
        stream.stream.writeInformational(new ResponseHead(100, []));
      }
      return StageResult.Continue;
    },
  };
}

/** The end of the list: the router, or 404. */
export function forward(): RequestStage {
  return {
    name: 'router',
    begin(stream) {
      if (stream.route === null) {
        stream.answer({ kind: stream.table === null ? 'noRouteConfiguration' : 'noRouteFound' });
      } else {
        stream.startRouter(stream.route);
      }
      return StageResult.Answered;
    },
  };
}
