import { checkGateways, MESH_GATEWAY } from './http-match-schema.ts';
import { httpRoute } from './http-route-schema.ts';
import { AGE, type Kind } from './kind.ts';
import { EXPORT_TO, RULE_HOST } from './name-format.ts';
import type { StringMap } from './resource.ts';
import { list, object, type Report, required, text, withDefault } from './schema.ts';

/** networking.istio.io/v1 VirtualService, with defaults applied. Field names are Istio's; durations are Istio's strings. */
export interface VirtualServiceSpec {
  /** Short names expand with the object's namespace (TM-07). */
  readonly hosts: readonly string[];
  /** Default `[mesh]`, which is all that is supported. */
  readonly gateways: readonly string[];
  /** Default `[*]`: `.` own namespace, `*` all, else a namespace (TM-22). */
  readonly exportTo: readonly string[];
  /** In order, first hit wins (TM-01). Default none. */
  readonly http: readonly HTTPRoute[];
}

/** Exactly one of `route` (not empty), `redirect`, `directResponse`. */
export interface HTTPRoute {
  readonly name?: string;
  /** Entries OR; empty = every request. */
  readonly match: readonly HTTPMatchRequest[];
  readonly route: readonly HTTPRouteDestination[];
  readonly redirect?: HTTPRedirect;
  readonly directResponse?: HTTPDirectResponse;
  readonly rewrite?: HTTPRewrite;
  /** Duration string. Absent or 0 = none (TM-17). */
  readonly timeout?: string;
  /** Absent = the mesh default of RS-01. */
  readonly retries?: HTTPRetry;
  readonly fault?: HTTPFaultInjection;
  readonly headers?: Headers;
}

/** All that is given must hold (AND). */
export interface HTTPMatchRequest {
  readonly name?: string;
  readonly uri?: StringMatch;
  readonly scheme?: StringMatch;
  readonly method?: StringMatch;
  readonly authority?: StringMatch;
  /** Keys are lower-case header names. A match with no field set asks for presence. */
  readonly headers: StringMatchMap;
  readonly withoutHeaders: StringMatchMap;
  readonly queryParams: StringMatchMap;
  /** Applies to `uri.exact` and `uri.prefix` only. */
  readonly ignoreUriCase: boolean;
  /** Destination port the caller dialled. */
  readonly port?: number;
  /** Labels of the calling workload; evaluated when the caller's configuration is built (TM-05). */
  readonly sourceLabels: StringMap;
  readonly sourceNamespace?: string;
  /** Empty = those of the VirtualService. */
  readonly gateways: readonly string[];
}

/** At most one field is set; none = presence (headers and query parameters only). */
export interface StringMatch {
  readonly exact?: string;
  readonly prefix?: string;
  /** RE2, the whole value. Checked with the engine that will run it. */
  readonly regex?: string;
}

export type StringMatchMap = Readonly<Record<string, StringMatch>>;

export interface HTTPRouteDestination {
  readonly destination: Destination;
  /** Relative (TM-08). A single destination always has 100 here. */
  readonly weight: number;
  readonly headers?: Headers;
}

export interface Destination {
  readonly host: string;
  readonly subset?: string;
  readonly port?: { readonly number: number };
}

export interface HTTPRedirect {
  readonly uri?: string;
  readonly authority?: string;
  /** At most one of `port`, `derivePort`. */
  readonly port?: number;
  readonly derivePort?: 'FROM_PROTOCOL_DEFAULT' | 'FROM_REQUEST_PORT';
  readonly scheme?: string;
  /** 301 (default), 302, 303, 307 or 308. */
  readonly redirectCode: number;
}

export interface HTTPDirectResponse {
  readonly status: number;
  /** One of text and base64 (`bytes`), at most 1 MiB decoded. */
  readonly body?: { readonly string?: string; readonly bytes?: string };
}

export interface HTTPRewrite {
  /** Replaces the matched prefix, or the whole path for an exact match. */
  readonly uri?: string;
  readonly authority?: string;
  readonly uriRegexRewrite?: { readonly match: string; readonly rewrite: string };
}

export interface HTTPRetry {
  /** Tries after the first; 0 turns retries off. */
  readonly attempts: number;
  readonly perTryTimeout?: string;
  /** Comma-separated; absent = the tokens of RS-01. */
  readonly retryOn?: string;
  /** Base of the back-off (RS-03); absent = 25ms. */
  readonly backoff?: string;
}

export interface HTTPFaultInjection {
  readonly delay?: {
    readonly fixedDelay: string;
    /** 0–100, Istio's `percent` folded in. Absent in the policy = 0, as in Istio. */
    readonly percentage: { readonly value: number };
  };
  /** Exactly one of the statuses. */
  readonly abort?: {
    readonly httpStatus?: number;
    /** Name of the code, for example `UNAVAILABLE`. */
    readonly grpcStatus?: string;
    readonly percentage: { readonly value: number };
  };
}

export interface Headers {
  readonly request?: HeaderOperations;
  readonly response?: HeaderOperations;
}

/** Removal comes before additions (TM-13). */
export interface HeaderOperations {
  readonly set: StringMap;
  readonly add: StringMap;
  readonly remove: readonly string[];
}

export const virtualService: Kind<VirtualServiceSpec> = {
  group: 'networking.istio.io',
  kind: 'VirtualService',
  plural: 'virtualservices',
  singular: 'virtualservice',
  shortNames: ['vs'],
  versions: ['v1', 'v1beta1', 'v1alpha3'],
  doc: 'Where requests for a host go, and how (TM-01 to TM-18).',
  spec: object<VirtualServiceSpec>(
    {
      hosts: required(
        list(text({ format: RULE_HOST }), { itemsMin: 1, itemsMax: 256 }),
        'What the caller asks for: a service, a DNS name or *.suffix (TM-07).',
      ),
      gateways: withDefault(list(MESH_GATEWAY, { itemsMax: 256 }), ['mesh'], 'Only mesh.'),
      exportTo: withDefault(
        list(text({ format: EXPORT_TO }), { itemsMax: 256, distinct: true }),
        ['*'],
        'Namespaces whose callers follow it (TM-22).',
      ),
      http: withDefault(list(httpRoute), [], 'In order; the first that matches is taken (TM-01).'),
    },
    {
      unsupported: {
        tls: 'routes by SNI (TM-20) are not there yet',
        tcp: 'routes of TCP connections (TM-20) are not there yet',
      },
      rules: [
        ({ gateways = [] }, report) => checkGateways(gateways, report),
        checkHosts,
        checkHttp,
      ],
      // Empty lists are the defaults, as in Istio.
      complete: (spec) => ({
        ...spec,
        gateways: (spec['gateways'] as unknown[]).length === 0 ? MESH : spec['gateways'],
        exportTo: (spec['exportTo'] as unknown[]).length === 0 ? EVERYWHERE : spec['exportTo'],
      }),
    },
  ),
  specOptional: false,
  printerColumns: [
    {
      name: 'Gateways',
      type: 'string',
      doc: 'Gateways that follow it',
      path: ['spec', 'gateways'],
      priority: 0,
    },
    {
      name: 'Hosts',
      type: 'string',
      doc: 'Hosts that it is about',
      path: ['spec', 'hosts'],
      priority: 0,
    },
    AGE,
  ],
};

const MESH: readonly string[] = Object.freeze(['mesh']);
const EVERYWHERE: readonly string[] = Object.freeze(['*']);

function checkHosts(spec: Partial<VirtualServiceSpec>, report: Report): void {
  const { hosts = [], gateways = [] } = spec;
  const bindsMesh = gateways.length === 0 || gateways.includes('mesh');
  const seen = new Set<string>();
  hosts.forEach((host, index) => {
    const name = host.toLowerCase();
    if (seen.has(name)) report(['hosts', index], `"${host}" is listed twice`);
    seen.add(name);
    if (host === '*' && bindsMesh) {
      report(
        ['hosts', index],
        '"*" would take every request of the mesh; name the hosts, or use *.suffix',
      );
    }
  });
}

function checkHttp({ http = [] }: Partial<VirtualServiceSpec>, report: Report): void {
  if (http.length === 0)
    report([], 'http is required: a VirtualService without routes does nothing');
}
