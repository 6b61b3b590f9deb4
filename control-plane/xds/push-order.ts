import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_EXTENSION,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
  TYPE_SECRET,
} from '../../proto/type-urls.ts';

/**
 * Make before break (xDS rule 13): clusters and their endpoints are there before a listener or a route names them, and
 * all of these before a name leads to them.
 */
export const PUSH_ORDER: readonly string[] = [
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_ROUTE,
  TYPE_NAME_TABLE,
];

/** Place of a type in `PUSH_ORDER`; types that are not in it come last, in the order of their first request. */
export function pushRank(typeUrl: string): number {
  const at = PUSH_ORDER.indexOf(typeUrl);
  return at < 0 ? PUSH_ORDER.length : at;
}

/**
 * What nothing names any more goes last, and whoever named it goes before it. Listeners are not here: a new one may
 * want the port of the old one, so both go in one response.
 */
export const REMOVAL_ORDER: readonly string[] = [TYPE_ROUTE, TYPE_CLUSTER, TYPE_ENDPOINT];

/** Types whose subscription may mean "all", and whose state-of-the-world responses are the whole world (rules 7, 9). */
export const WHOLE_WORLD_TYPES: ReadonlySet<string> = new Set([
  TYPE_LISTENER,
  TYPE_CLUSTER,
  TYPE_NAME_TABLE,
]);

const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  [TYPE_CLUSTER, 'CDS'],
  [TYPE_ENDPOINT, 'EDS'],
  [TYPE_LISTENER, 'LDS'],
  [TYPE_ROUTE, 'RDS'],
  [TYPE_NAME_TABLE, 'NDS'],
  [TYPE_SECRET, 'SDS'],
  [TYPE_EXTENSION, 'ECDS'],
]);

/** `CDS`, `EDS`, …; of another type the message's last name. Metric labels use `shortTypeLabel`. */
export function shortTypeName(typeUrl: string): string {
  return SHORT_NAMES.get(typeUrl) ?? typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

/** From a fixed set, because the type URL comes from the network (A7.4). */
export function shortTypeLabel(typeUrl: string): string {
  return SHORT_NAMES.get(typeUrl)?.toLowerCase() ?? 'other';
}

/** The type that `CDS`, `cds` or a type URL means. */
export function typeUrlOf(name: string): string | undefined {
  const upper = name.toUpperCase();
  for (const [typeUrl, short] of SHORT_NAMES) {
    if (short === upper || typeUrl === name) return typeUrl;
  }
  return undefined;
}
