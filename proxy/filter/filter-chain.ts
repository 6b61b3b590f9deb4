import type { StatsScope } from '../observe/stats.ts';
import type { RbacConfig } from '../router/rbac-config.ts';
import type { FaultConfig } from '../router/route-config.ts';
import { FaultFilterFactory } from './fault.ts';
import { GrpcWebFilterFactory } from './grpc-web.ts';
import type { HttpFilterFactory } from './http-filter.ts';
import { RbacFilterFactory } from './rbac/rbac-filter.ts';
import type { RbacStatsConfig } from './rbac/rbac-stats.ts';

/** A configured filter other than the router, as `ConnectionManagerConfig.httpFilters` lists it. */
export type FilterConfig =
  | { readonly kind: 'fault'; readonly name: string; readonly fault: FaultConfig | null }
  | { readonly kind: 'grpcWeb'; readonly name: string }
  | {
      readonly kind: 'rbac';
      readonly name: string;
      readonly rbac: RbacConfig;
      readonly stats: RbacStatsConfig;
    };

/** The factory of a configured filter: a new kind of filter gets its line here. `scope` is the connection manager's. */
export function filterFactory(config: FilterConfig, scope: StatsScope): HttpFilterFactory {
  switch (config.kind) {
    case 'fault':
      return new FaultFilterFactory(config.name, config.fault);
    case 'grpcWeb':
      return new GrpcWebFilterFactory(config.name);
    case 'rbac':
      return new RbacFilterFactory(config.name, config.rbac, config.stats, scope);
  }
}
