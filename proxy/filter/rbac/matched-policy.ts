import { pathWithoutQuery } from '../../router/path-match.ts';
import type { RbacCondition, RbacPolicy, RbacRules } from '../../router/rbac-config.ts';
import type { StringMatcher } from '../../router/route-config.ts';
import { matchString } from '../../router/string-match.ts';
import { inPrefix, ipBytes } from '../../tcp/ip-prefix.ts';
import { parseAddress } from '../../tcp/socket-address.ts';
import type { DownstreamConnectionInfo } from '../../tls/peer-certificate.ts';
import type { FilterContext } from '../http-filter.ts';
import { headerHolds } from './header-condition.ts';

/** What rules may ask of one request; addresses are read once, when the first rule asks for them. */
export class RbacRequest {
  readonly context: FilterContext;
  #path: string | null = null;
  #destination: Uint8Array | null = null;
  #destinationPort = -1;
  #directRemote: Uint8Array | null = null;
  #remote: Uint8Array | null = null;

  constructor(context: FilterContext) {
    this.context = context;
  }

  get downstream(): DownstreamConnectionInfo {
    return this.context.downstream;
  }

  get path(): string {
    this.#path ??= pathWithoutQuery(this.context.head.path);
    return this.#path;
  }

  get destination(): Uint8Array {
    this.#destination ??= addressBytes(this.downstream.localAddress);
    return this.#destination;
  }

  get destinationPort(): number {
    if (this.#destinationPort < 0) {
      this.#destinationPort = parseAddress(this.downstream.localAddress)?.port ?? 0;
    }
    return this.#destinationPort;
  }

  get directRemote(): Uint8Array {
    this.#directRemote ??= addressBytes(this.downstream.remoteAddress);
    return this.#directRemote;
  }

  get remote(): Uint8Array {
    this.#remote ??= addressBytes(this.context.clientAddress());
    return this.#remote;
  }
}

/** The first policy that holds, or null. */
export function matchedPolicy(rules: RbacRules, request: RbacRequest): RbacPolicy | null {
  const { policies } = rules;
  const certain = rules.action === 'ALLOW';
  for (let at = 0; at < policies.length; at++) {
    const policy = policies[at]!;
    if (holds(policy.permissions, request, certain) && holds(policy.principals, request, certain)) {
      return policy;
    }
  }
  return null;
}

/** Whether the rules let the request pass: `matched` is what `matchedPolicy` found. */
export function isAllowed(rules: RbacRules, matched: RbacPolicy | null): boolean {
  return (rules.action === 'ALLOW') === (matched !== null);
}

/** `certain`: of fields with several values every one must fit, see `headerHolds`. */
function holds(condition: RbacCondition, request: RbacRequest, certain: boolean): boolean {
  switch (condition.kind) {
    case 'any':
      return true;
    case 'and':
      return everyHolds(condition.conditions, request, certain);
    case 'or':
      return someHolds(condition.conditions, request, certain);
    case 'not':
      return !holds(condition.condition, request, !certain);
    case 'header':
      return headerHolds(condition.header, request.context.head, certain);
    case 'urlPath':
      return matchString(condition.path, request.path);
    case 'destinationIp':
      return inPrefix(request.destination, condition.prefix);
    case 'destinationPort':
      return isBetween(request.destinationPort, condition.start, condition.end);
    case 'requestedServerName':
      return matchString(condition.name, request.downstream.requestedServerName);
    case 'authenticated':
      return isAuthenticated(condition.name, request.downstream);
    case 'peerPrincipal': {
      const { peerPrincipal } = request.downstream;
      return peerPrincipal !== '' && matchString(condition.principal, peerPrincipal);
    }
    case 'directRemoteIp':
      return inPrefix(request.directRemote, condition.prefix);
    case 'remoteIp':
      return inPrefix(request.remote, condition.prefix);
  }
}

function everyHolds(
  conditions: readonly RbacCondition[],
  request: RbacRequest,
  certain: boolean,
): boolean {
  for (let at = 0; at < conditions.length; at++) {
    if (!holds(conditions[at]!, request, certain)) return false;
  }
  return true;
}

function someHolds(
  conditions: readonly RbacCondition[],
  request: RbacRequest,
  certain: boolean,
): boolean {
  for (let at = 0; at < conditions.length; at++) {
    if (holds(conditions[at]!, request, certain)) return true;
  }
  return false;
}

function isBetween(port: number, start: number, end: number): boolean {
  return port >= start && port < end;
}

/**
 * Envoy tries the URI SANs, the DNS SANs, then the subject. Where it takes TLS alone for authentication, a client
 * without a verified certificate is nobody here.
 */
function isAuthenticated(
  name: StringMatcher | null,
  { peerCertificate, mutualTls }: DownstreamConnectionInfo,
): boolean {
  if (peerCertificate === null || !mutualTls) return false;
  if (name === null) return true;
  return (
    peerCertificate.uriSans.some((san) => matchString(name, san)) ||
    peerCertificate.dnsSans.some((san) => matchString(name, san)) ||
    matchString(name, peerCertificate.subject)
  );
}

/** Of `ip:port`, `[ip]:port` or an address alone; empty, which lies in no range, where it is none. */
function addressBytes(address: string): Uint8Array {
  return ipBytes(parseAddress(address)?.host ?? address) ?? NO_ADDRESS;
}

const NO_ADDRESS = new Uint8Array(0);
