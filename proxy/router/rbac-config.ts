import type { IpPrefix } from '../tcp/ip-prefix.ts';
import type { HeaderMatcher, StringMatcher } from './route-config.ts';

/** Compiled `envoy.extensions.filters.http.rbac.v3.RBAC` (SC-08, SC-09): what a listener, or one route, allows. */
export interface RbacConfig {
  /** null: nothing is enforced. */
  readonly rules: RbacRules | null;
  /** Evaluated and counted, never enforced (SC-12); null = none. */
  readonly shadowRules: RbacRules | null;
  /** `track_per_rule_stats`: each policy is counted by itself, too. */
  readonly countsPolicies: boolean;
}

export interface RbacRules {
  /** ALLOW: one policy must match. DENY: none may. */
  readonly action: 'ALLOW' | 'DENY';
  /** By name in ascending order: the first that matches is the one that is named. */
  readonly policies: readonly RbacPolicy[];
}

/** Holds where one permission and one principal hold. */
export interface RbacPolicy {
  readonly name: string;
  readonly permissions: RbacCondition;
  readonly principals: RbacCondition;
}

/** `envoy.config.rbac.v3.Permission` and `.Principal`, which differ only in what they may ask about. */
export type RbacCondition =
  | { readonly kind: 'any' }
  | { readonly kind: 'and' | 'or'; readonly conditions: readonly RbacCondition[] }
  | { readonly kind: 'not'; readonly condition: RbacCondition }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  /** The path without query and fragment. */
  | { readonly kind: 'urlPath'; readonly path: StringMatcher }
  | { readonly kind: 'destinationIp'; readonly prefix: IpPrefix }
  /** [start, end). */
  | { readonly kind: 'destinationPort'; readonly start: number; readonly end: number }
  | { readonly kind: 'requestedServerName'; readonly name: StringMatcher }
  /** A verified client certificate; where `name` is set, with such a URI or DNS name or subject. */
  | { readonly kind: 'authenticated'; readonly name: StringMatcher | null }
  /** The SPIFFE id of the client's verified certificate. */
  | { readonly kind: 'peerPrincipal'; readonly principal: StringMatcher }
  /** The other end of the connection. */
  | { readonly kind: 'directRemoteIp'; readonly prefix: IpPrefix }
  /** The client as the trusted part of `x-forwarded-for` tells it, else the other end of the connection. */
  | { readonly kind: 'remoteIp'; readonly prefix: IpPrefix };
