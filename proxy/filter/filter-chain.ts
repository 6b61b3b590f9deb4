import type { FaultConfig } from '../router/route-config.ts';
import { FaultFilterFactory } from './fault.ts';
import { GrpcWebFilterFactory } from './grpc-web.ts';
import type { HttpFilterFactory } from './http-filter.ts';

/** A configured filter other than the router, as `ConnectionManagerConfig.httpFilters` lists it. */
export type FilterConfig =
  | { readonly kind: 'fault'; readonly name: string; readonly fault: FaultConfig | null }
  | { readonly kind: 'grpcWeb'; readonly name: string };

/** The factory of a configured filter: a new kind of filter gets its line here. */
export function filterFactory(config: FilterConfig): HttpFilterFactory {
  switch (config.kind) {
    case 'fault':
      return new FaultFilterFactory(config.name, config.fault);
    case 'grpcWeb':
      return new GrpcWebFilterFactory(config.name);
  }
}
