import type { RouteConfiguration } from '../../../proto/gen/envoy/config/route/v3/route.ts';
import type {
  Route,
  VirtualHost,
} from '../../../proto/gen/envoy/config/route/v3/route_components.ts';
import { runToEnd, type Steps } from '../../../proto/steps.ts';
import type {
  RouteConfig,
  RouteEntryConfig,
  VirtualHostConfig,
} from '../../router/route-config.ts';
import type { CompileContext } from './compile-context.ts';
import { compileRequestHeaders, compileResponseHeaders } from './header-mutation.ts';
import { MessageReader } from './message-reader.ts';
import { compilePerFilterConfig } from './per-filter-config.ts';
import { type Compiled, Problems } from './problems.ts';
import { compileRetryPolicy } from './retry-policy.ts';
import { compileDirectResponse, compileRedirect, compileRouteAction } from './route-action.ts';
import { compileRouteMatch } from './route-match.ts';

/** An RDS resource, or an inline one by itself. */
export function compileRouteConfiguration(
  message: RouteConfiguration,
  version: string,
  context: CompileContext,
): Compiled<RouteConfig> {
  return runToEnd(compileRouteConfigurationSteps(message, version, context));
}

/** The same with a pause after each route: one resource, or one virtual host, may hold a whole mesh. */
export function* compileRouteConfigurationSteps(
  message: RouteConfiguration,
  version: string,
  context: CompileContext,
): Steps<Compiled<RouteConfig>> {
  const problems = new Problems();
  const reader = new MessageReader(
    problems,
    'envoy.config.route.v3.RouteConfiguration',
    message,
    context.root,
  );
  if (message.name === '') reader.problem('name', 'must be set');
  const config = yield* readSteps(reader, version, context);
  reader.finish();
  return problems.finish(config);
}

/** `envoy.config.route.v3.RouteConfiguration`, also as a part of a connection manager. */
export function readRouteConfiguration(
  reader: MessageReader<RouteConfiguration>,
  version: string,
  context: CompileContext,
): RouteConfig {
  return runToEnd(readSteps(reader, version, context));
}

function* readSteps(
  reader: MessageReader<RouteConfiguration>,
  version: string,
  context: CompileContext,
): Steps<RouteConfig> {
  const virtualHosts: VirtualHostConfig[] = [];
  const unique = new UniqueHosts(reader);
  for (const virtualHost of reader.eachChild('virtualHosts')) {
    const config = yield* virtualHostSteps(virtualHost, context);
    unique.check(config, virtualHosts.length);
    virtualHosts.push(config);
    yield;
  }
  return {
    name: reader.string('name'),
    version,
    virtualHosts,
    ignorePortInHost: reader.bool('ignorePortInHostMatching'),
    requestHeaders: compileRequestHeaders(reader),
    responseHeaders: compileResponseHeaders(reader),
  };
}

function* virtualHostSteps(
  reader: MessageReader<VirtualHost>,
  context: CompileContext,
): Steps<VirtualHostConfig> {
  const routes: RouteEntryConfig[] = [];
  for (const route of reader.eachChild('routes')) {
    routes.push(compileRoute(route, context));
    yield;
  }
  const retry = reader.child('retryPolicy');
  return {
    name: reader.required('name'),
    domains: compileDomains(reader),
    routes,
    requestHeaders: compileRequestHeaders(reader),
    responseHeaders: compileResponseHeaders(reader),
    retry: retry === undefined ? null : compileRetryPolicy(retry),
    includeAttemptCount: reader.bool('includeRequestAttemptCount'),
    ...compilePerFilterConfig(reader),
  };
}

function compileDomains(reader: MessageReader<VirtualHost>): string[] {
  const domains = reader.take('domains').map((domain) => domain.toLowerCase());
  if (domains.length === 0) reader.problem('domains', 'must not be empty');
  domains.forEach((domain, index) => {
    const star = domain.indexOf('*');
    const misplaced = star > 0 && star < domain.length - 1;
    if (domain === '' || misplaced || domain.indexOf('*', star + 1) > star) {
      const path = reader.at('domains', index);
      reader.problems.add(path, `"${domain}" must be a host, "*.suffix", "prefix.*" or "*"`);
    }
  });
  return domains;
}

/** Names and domains must be unique: which of two would win is nobody's to guess. */
class UniqueHosts {
  readonly #reader: MessageReader<RouteConfiguration>;
  readonly #names = new Set<string>();
  readonly #owners = new Map<string, string>();

  constructor(reader: MessageReader<RouteConfiguration>) {
    this.#reader = reader;
  }

  check({ name, domains }: VirtualHostConfig, index: number): void {
    const { problems } = this.#reader;
    if (this.#names.has(name)) {
      problems.add(this.#reader.at('virtualHosts', index, 'name'), `"${name}" stands here twice`);
    }
    this.#names.add(name);
    domains.forEach((domain, at) => {
      const owner = this.#owners.get(domain);
      if (owner !== undefined) {
        const path = this.#reader.at('virtualHosts', index, 'domains', at);
        problems.add(path, `"${domain}" belongs to virtual host "${owner}" already`);
      }
      this.#owners.set(domain, name);
    });
  }
}

function compileRoute(reader: MessageReader<Route>, context: CompileContext): RouteEntryConfig {
  const match = reader.child('match');
  if (match === undefined) reader.problem('match', 'must be set');
  return {
    name: reader.string('name'),
    match: match === undefined ? NO_MATCH : compileRouteMatch(match),
    action: compileAction(reader, context),
    requestHeaders: compileRequestHeaders(reader),
    responseHeaders: compileResponseHeaders(reader),
    ...compilePerFilterConfig(reader),
  };
}

const NO_MATCH: RouteEntryConfig['match'] = {
  path: { kind: 'exact', value: '', ignoreCase: false },
  headers: [],
  queryParameters: [],
  grpc: false,
  fractionPerMillion: 0,
};

function compileAction(
  reader: MessageReader<Route>,
  context: CompileContext,
): RouteEntryConfig['action'] {
  const set = reader.oneof('action');
  switch (set?.$case) {
    case 'route':
      return compileRouteAction(reader.caseReader(set));
    case 'redirect':
      return compileRedirect(reader.caseReader(set));
    case 'directResponse':
      return compileDirectResponse(reader.caseReader(set), context);
    default:
      reader.unsupportedCase(set, 'route, redirect or direct_response');
      return { kind: 'directResponse', status: 500, body: Buffer.alloc(0) };
  }
}
