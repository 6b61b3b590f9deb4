import { isIP } from 'node:net';
import type { TextFormat } from './schema.ts';

/** Names as Kubernetes and RFC 1123 have them, and the host names that policies use. */

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL_ANY_CASE = /^[A-Za-z0-9_](?:[-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?$/;
const QUALIFIED = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

function isDnsName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label));
}

/** A name inside a host: upper case and `_` are met in the wild, and hosts compare case-insensitively (TM-07). */
function isHostName(text: string): boolean {
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  return name.length <= 253 && name.split('.').every((label) => LABEL_ANY_CASE.test(label));
}

/** Namespaces: RFC 1123 label. */
export const DNS_LABEL: TextFormat = {
  name: 'dns-label',
  check: (text) =>
    LABEL.test(text)
      ? undefined
      : 'must be lower-case letters, digits and - (at most 63 characters)',
};

/** Object names: RFC 1123 subdomain. */
export const DNS_SUBDOMAIN: TextFormat = {
  name: 'dns-subdomain',
  check: (text) =>
    isDnsName(text)
      ? undefined
      : 'must be lower-case letters, digits, - and . (at most 253 characters)',
};

/** Label and annotation keys: `[prefix/]name`. */
export const LABEL_KEY: TextFormat = {
  name: 'label-key',
  check: (text) => {
    const slash = text.indexOf('/');
    const prefix = slash < 0 ? 'x' : text.slice(0, slash);
    return isDnsName(prefix) && QUALIFIED.test(text.slice(slash + 1))
      ? undefined
      : 'must be [prefix/]name of letters, digits, -, _ and . (at most 63 characters after the prefix)';
  },
};

export const LABEL_VALUE: TextFormat = {
  name: 'label-value',
  check: (text) =>
    QUALIFIED.test(text)
      ? undefined
      : 'must be letters, digits, -, _ and . (at most 63 characters)',
};

/** Subset and port names, sourceNamespace and the like. */
export const PORT_NAME: TextFormat = {
  name: 'port-name',
  check: (text) =>
    LABEL_ANY_CASE.test(text)
      ? undefined
      : 'must be letters, digits, - and _ (at most 63 characters)',
};

/** A host of a rule: DNS name, `*.suffix`, or IP address; `*` alone too. */
export const RULE_HOST: TextFormat = {
  name: 'host',
  check: (text) => {
    if (text === '*' || isIP(text) !== 0) return undefined;
    return isHostName(text.startsWith('*.') ? text.slice(2) : text)
      ? undefined
      : 'is not a host: use a DNS name, *.suffix, or an IP address, without scheme, port or path';
  },
};

/** A destination: one service, so no wildcard. */
export const SERVICE_HOST: TextFormat = {
  name: 'service-host',
  check: (text) => {
    if (text.includes('*')) return 'must name one service; a wildcard cannot be called';
    return RULE_HOST.check(text);
  },
};

/** `host[:port]` as an authority to send. */
export const AUTHORITY: TextFormat = {
  name: 'authority',
  check: (text) => {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text);
    const host = match?.[1] ?? '';
    const bare = host.startsWith('[') ? host.slice(1, -1) : host;
    const port = Number(match?.[2] ?? 1);
    return (isIP(bare) !== 0 || isHostName(bare)) && port >= 1 && port <= 65535
      ? undefined
      : 'is not a host or host:port';
  },
};

/** `.` own namespace, `*` all, `~` nobody (ServiceEntry of Istio), or a namespace (TM-22). */
export const EXPORT_TO: TextFormat = {
  name: 'export-to',
  check: (text) =>
    text === '.' || text === '*' || text === '~' || LABEL.test(text)
      ? undefined
      : 'must be . (own namespace), * (all) or a namespace',
};

export function isWildcardHost(host: string): boolean {
  return host.startsWith('*');
}
