import { filterFactory } from '../filter/filter-chain.ts';
import type { HttpFilterFactory } from '../filter/http-filter.ts';
import type { StatsScope } from '../observe/stats.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { forwardedFields } from './forwarded-fields.ts';
import { openInnerTunnel } from './inner-tunnel-stage.ts';
import { sanitisePath } from './path-stage.ts';
import { readPeer } from './peer-stage.ts';
import { identifyRequest } from './request-id-stage.ts';
import { type RequestStage, StageResult } from './request-stage.ts';
import { answerExpect, checkTarget, checkUpgrade, forward, matchRoute } from './route-stages.ts';

/**
 * The request path: a request goes down this list; its outcome comes back up through
 * `ActiveStream`, which makes local replies (`local-reply.ts`), runs the filters' response side in
 * reverse and writes metrics and access log once. The order is part of the contract.
 */
export function requestStages(
  config: ConnectionManagerConfig,
  stats: StatsScope,
): readonly RequestStage[] {
  return [
    checkTarget(config), //      badRequest: no host; default port of a CONNECT tunnel
    sanitisePath(config), //     badRequest, pathRedirect: what routing sees is what the app gets
    forwardedFields(config), //  drops forged proxy fields before anything reads them; XFF, XFCC
    readPeer(config), //         the caller's workload, for metrics
    identifyRequest(config), //  x-request-id, trace context, sampling
    matchRoute(config), //       per-route settings exist from here on
    openInnerTunnel(config), //  CONNECT without a route: what is inside comes back to the top
    checkUpgrade(config), //     upgradeRefused
    ...httpFilters(config, stats), // in the order the listener lists them: rbacDenied, faultAbort, …
    answerExpect(), //           100 Continue, once nothing but the upstream can refuse
    forward(), //                noRouteFound; the router and all of its outcomes
  ];
}

function httpFilters(config: ConnectionManagerConfig, stats: StatsScope): RequestStage[] {
  const stages: RequestStage[] = [];
  for (const filter of config.httpFilters) {
    if (filter.kind !== 'router') stages.push(filterStage(filterFactory(filter, stats)));
  }
  return stages;
}

function filterStage(factory: HttpFilterFactory): RequestStage {
  return {
    name: factory.name,
    begin(stream) {
      const filter = factory.create(stream);
      if (filter === null) return StageResult.Continue;
      stream.addFilter(filter);
      return filter.onRequest(stream.requestEnded);
    },
  };
}
