import { atMostOne, exactlyOne } from './field-rules.ts';
import { MATCH_HEADER } from './header-format.ts';
import { DNS_LABEL, LABEL_KEY, LABEL_VALUE } from './name-format.ts';
import { REGEX } from './regex.ts';
import {
  type Fields,
  flag,
  integer,
  list,
  map,
  object,
  optional,
  type Report,
  type Schema,
  type TextFormat,
  text,
  withDefault,
} from './schema.ts';
import type { HTTPMatchRequest, StringMatch } from './virtual-service.ts';

/** One entry of `VirtualService.spec.http[].match` (TM-03, TM-04, TM-05). */

const PATH: TextFormat = {
  name: 'path',
  check: (path) => {
    if (!path.startsWith('/')) return 'must begin with /';
    if (/[?#]/.test(path))
      return 'must be a path without query; use queryParams to match on the query';
    return /[\u0000-\u0020\u007f]/.test(path) ? 'holds a blank or control character' : undefined;
  },
};

/** A name of a query parameter: compared with what the request sends. */
const PARAMETER: TextFormat = {
  name: 'query-parameter',
  check: (name) =>
    /^[^&=#\u0000-\u0020]{1,256}$/.test(name) ? undefined : 'is not a parameter name',
};

/** The name of a Gateway, or `mesh`. */
export const MESH_GATEWAY: Schema<string> = {
  type: 'string',
  format: { name: 'gateway', check: () => undefined },
};

const presenceMatch = stringMatch(false);
const valueMatch = stringMatch(true);
const pathMatch = object<StringMatch>(
  {
    exact: optional(text({ format: PATH }), 'The whole path.'),
    prefix: optional(text({ format: PATH }), 'Its beginning: /foo takes /foobar too (TM-03).'),
    regex: optional(text({ format: REGEX }), 'The whole path, in RE2 syntax.'),
  },
  { rules: [exactlyOne(['exact', 'prefix', 'regex'])] },
);

export const httpMatch: Schema<HTTPMatchRequest> = object<HTTPMatchRequest>(
  {
    name: optional(text({ charsMax: 256 }), 'Name in logs.'),
    uri: optional(pathMatch, 'Path, without the query.'),
    scheme: optional(valueMatch, 'http or https.'),
    method: optional(valueMatch, 'HTTP method.'),
    authority: optional(valueMatch, 'Host header.'),
    headers: withDefault(map(MATCH_HEADER, presenceMatch), {}, 'Headers, all of which must match.'),
    withoutHeaders: withDefault(
      map(MATCH_HEADER, presenceMatch),
      {},
      'Headers, none of which may match.',
    ),
    queryParams: withDefault(map(PARAMETER, presenceMatch), {}, 'Query parameters, all of them.'),
    ignoreUriCase: withDefault(flag(), false, 'For uri.exact and uri.prefix.'),
    port: optional(integer(1, 65535), 'Port that the caller dialled.'),
    sourceLabels: withDefault(
      map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true })),
      {},
      'Labels of the calling workload (TM-05).',
    ),
    sourceNamespace: optional(text({ format: DNS_LABEL }), 'Namespace of the calling workload.'),
    gateways: withDefault(list(MESH_GATEWAY, { itemsMax: 256 }), [], 'Only mesh.'),
  },
  {
    unsupported: { statPrefix: 'statistics of single routes are not there yet' },
    rules: [({ gateways = [] }, report) => checkGateways(gateways, report)],
    complete: (match) => ({
      ...match,
      headers: lowerCaseKeys(match['headers'] as Fields),
      withoutHeaders: lowerCaseKeys(match['withoutHeaders'] as Fields),
    }),
  },
);

/** Any gateway but `mesh` is refused by its name: that part of the object would do nothing. */
export function checkGateways(gateways: readonly string[], report: Report): void {
  gateways.forEach((gateway, index) => {
    if (gateway === 'mesh') return;
    const message = `gateways: [${gateway}]: Gateway is not supported by Weft yet; only mesh (the sidecars) is`;
    report(['gateways', index], message, 'unsupportedValue');
  });
}

function stringMatch(valueNeeded: boolean): Schema<StringMatch> {
  return object<StringMatch>(
    {
      exact: optional(text({ mayBeEmpty: !valueNeeded }), 'The whole value.'),
      prefix: optional(text(), 'Its beginning.'),
      regex: optional(text({ format: REGEX }), 'The whole value, in RE2 syntax.'),
    },
    {
      rules: [
        valueNeeded
          ? exactlyOne(['exact', 'prefix', 'regex'])
          : atMostOne(['exact', 'prefix', 'regex']),
      ],
    },
  );
}

function lowerCaseKeys(fields: Fields): Fields {
  const copy: Fields = Object.create(null);
  for (const [key, value] of Object.entries(fields)) copy[key.toLowerCase()] = value;
  return Object.freeze(copy);
}
