import { RE2JS } from 're2js';
import { DURATION, DURATION_OR_OFF } from './duration.ts';
import { atLeastOne, exactlyOne } from './field-rules.ts';
import { GRPC_STATUSES } from './grpc-status.ts';
import { HEADER_VALUE, isAuthorityHeader, PLAIN_HEADER, REQUEST_HEADER } from './header-format.ts';
import { httpMatch } from './http-match-schema.ts';
import { AUTHORITY, DNS_LABEL, SERVICE_HOST } from './name-format.ts';
import { REGEX } from './regex.ts';
import { RETRY_ON } from './retry-on.ts';
import {
  choice,
  decimal,
  integer,
  integerChoice,
  list,
  map,
  object,
  optional,
  type Report,
  required,
  type Schema,
  type TextFormat,
  text,
  withDefault,
} from './schema.ts';
import type {
  Destination,
  HeaderOperations,
  Headers,
  HTTPDirectResponse,
  HTTPFaultInjection,
  HTTPRedirect,
  HTTPRetry,
  HTTPRewrite,
  HTTPRoute,
  HTTPRouteDestination,
} from './virtual-service.ts';

/** One entry of `VirtualService.spec.http`: the schema of its parts, and Istio's rules between them. */

/** Bytes of a direct response (TM-11). */
const DIRECT_RESPONSE_BYTES_MAX = 1024 * 1024;

/** Tries of one request after the first: sidecars refuse more (one request must not cost a thousand). */
const RETRIES_MAX = 100;

/** A path that the proxy writes, so it has to be right on the wire. */
const PATH_TO_SEND: TextFormat = {
  name: 'path',
  check: (path) => {
    if (!path.startsWith('/')) return 'must begin with /';
    return /[^\x21-\x7e]/.test(path) ? 'holds characters that must be percent-encoded' : undefined;
  },
};

const destination = object<Destination>({
  host: required(
    text({ format: SERVICE_HOST }),
    'The service; short names expand with the namespace.',
  ),
  subset: optional(text({ format: DNS_LABEL }), 'A subset of its DestinationRule.'),
  port: optional(
    object<{ readonly number: number }>({
      number: required(integer(1, 65535), 'Port of the service.'),
    }),
    'Port; may be left out where the service has one only.',
  ),
});

const headers = object<Headers>(
  {
    request: optional(headerOperations(REQUEST_HEADER), 'Towards the service.'),
    response: optional(headerOperations(PLAIN_HEADER), 'Towards the caller.'),
  },
  { rules: [({ request }, report) => checkAuthority(request, undefined, report)] },
);

const routeDestination = object<HTTPRouteDestination>({
  destination: required(destination, 'Where to send the request.'),
  weight: withDefault(integer(0, 2 ** 31 - 1), 0, 'Relative share (TM-08).'),
  headers: optional(headers, 'Header changes for this destination only.'),
});

const redirect = object<HTTPRedirect>(
  {
    uri: optional(text({ format: PATH_TO_SEND }), 'Path of the new address; absent = the same.'),
    authority: optional(text({ format: AUTHORITY }), 'Host of the new address; absent = the same.'),
    port: optional(integer(1, 65535), 'Port of the new address.'),
    derivePort: optional(
      choice(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']),
      'Where to take the port from.',
    ),
    scheme: optional(choice(['http', 'https']), 'Scheme of the new address; absent = the same.'),
    redirectCode: withDefault(integerChoice([301, 302, 303, 307, 308]), 301, 'Status (TM-10).'),
  },
  {
    rules: [
      atLeastOne(['uri', 'authority', 'port', 'derivePort', 'scheme']),
      ({ port, derivePort }, report) => {
        if (port !== undefined && derivePort !== undefined) {
          report(['derivePort'], 'cannot be used together with port');
        }
      },
    ],
  },
);

const directResponse = object<HTTPDirectResponse>({
  status: required(integer(200, 599), 'Status.'),
  body: optional(
    object<NonNullable<HTTPDirectResponse['body']>>(
      {
        string: optional(
          text({ charsMax: DIRECT_RESPONSE_BYTES_MAX, mayBeEmpty: true }),
          'Text, sent as UTF-8.',
        ),
        bytes: optional(
          text({ charsMax: 2 * DIRECT_RESPONSE_BYTES_MAX, mayBeEmpty: true }),
          'Base64.',
        ),
      },
      { rules: [exactlyOne(['string', 'bytes']), checkBody] },
    ),
    'Body; absent = empty.',
  ),
});

const rewrite = object<HTTPRewrite>(
  {
    uri: optional(text({ format: PATH_TO_SEND }), 'Replaces the matched prefix or path (TM-12).'),
    authority: optional(text({ format: AUTHORITY }), 'Replaces Host.'),
    uriRegexRewrite: optional(
      object<NonNullable<HTTPRewrite['uriRegexRewrite']>>(
        {
          match: required(text({ format: REGEX }), 'What to replace in the path, in RE2 syntax.'),
          rewrite: required(text(), 'The replacement; \\1 is what the first group matched.'),
        },
        { rules: [checkSubstitution] },
      ),
      'Replaces what a regular expression finds.',
    ),
  },
  {
    rules: [
      atLeastOne(['uri', 'authority', 'uriRegexRewrite']),
      ({ uri, uriRegexRewrite }, report) => {
        if (uri !== undefined && uriRegexRewrite !== undefined) {
          report(['uriRegexRewrite'], 'cannot be used together with uri');
        }
      },
    ],
  },
);

const retries = object<HTTPRetry>(
  {
    attempts: withDefault(
      integer(0, RETRIES_MAX),
      0,
      'Tries after the first; 0 turns retries off (RS-02).',
    ),
    perTryTimeout: optional(text({ format: DURATION }), 'Of each try; absent = that of the route.'),
    retryOn: optional(text({ format: RETRY_ON }), 'Conditions, comma-separated; absent = RS-01.'),
    backoff: optional(
      text({ format: DURATION }),
      'Base of the jittered wait before a retry, at most ten times it; absent = 25ms (RS-03).',
    ),
  },
  {
    unsupported: {
      retryRemoteLocalities: 'localities (LB-08) are not there yet',
      retryIgnorePreviousHosts: 'tried endpoints are always skipped where others are left',
    },
    rules: [
      ({ attempts = 0, perTryTimeout, retryOn, backoff }, report) => {
        if (attempts > 0 || (perTryTimeout ?? retryOn ?? backoff) === undefined) return;
        report(
          [],
          'attempts is 0 or missing, which turns retries off: set it, or remove the other fields',
        );
      },
    ],
  },
);

const percentage = object<{ readonly value: number }>({
  value: withDefault(decimal(0, 100), 0, '0 to 100.'),
});

const fault = object<HTTPFaultInjection>(
  {
    delay: optional(
      object<NonNullable<HTTPFaultInjection['delay']>>(
        {
          fixedDelay: required(text({ format: DURATION }), 'How long to hold a request.'),
          percentage: withDefault(
            percentage,
            { value: 0 },
            'Share of the requests; absent = none.',
          ),
        },
        {
          inputOnly: {
            percent: optional(integer(0, 100), 'Old spelling of percentage.value.') as never,
          },
          unsupported: { exponentialDelay: 'Istio has never implemented it either' },
          rules: [
            (delay, report) => {
              if (Object.hasOwn(delay, 'percent') && delay.percentage !== undefined) {
                report(['percent'], 'cannot be used together with percentage');
              }
            },
          ],
          complete: ({ percent, ...delay }) =>
            percent === undefined
              ? delay
              : { ...delay, percentage: Object.freeze({ value: percent }) },
        },
      ),
      'Delay before the request is sent (TM-18).',
    ),
    abort: optional(
      object<NonNullable<HTTPFaultInjection['abort']>>(
        {
          httpStatus: optional(integer(200, 599), 'Status of the answer.'),
          grpcStatus: optional(choice(GRPC_STATUSES.slice(1)), 'gRPC status of the answer.'),
          percentage: withDefault(
            percentage,
            { value: 0 },
            'Share of the requests; absent = none.',
          ),
        },
        {
          unsupported: { http2Error: 'Istio has never implemented it either' },
          rules: [exactlyOne(['httpStatus', 'grpcStatus'])],
        },
      ),
      'Answer instead of sending the request (TM-18).',
    ),
  },
  { rules: [atLeastOne(['delay', 'abort'])] },
);

const MIRROR = 'mirroring (TM-14) is not there yet';

export const httpRoute: Schema<HTTPRoute> = object<HTTPRoute>(
  {
    name: optional(text({ charsMax: 256 }), 'Name in logs.'),
    match: withDefault(list(httpMatch), [], 'Any of these; absent = every request.'),
    route: withDefault(list(routeDestination, { itemsMax: 1024 }), [], 'Destinations, by weight.'),
    redirect: optional(redirect, 'Answer with another address.'),
    directResponse: optional(directResponse, 'Answer with a fixed response.'),
    rewrite: optional(rewrite, 'Change path or host before sending.'),
    timeout: optional(
      text({ format: DURATION_OR_OFF }),
      'Of the whole exchange; absent or 0s = none (TM-17).',
    ),
    retries: optional(retries, 'Absent = the mesh default (RS-01).'),
    fault: optional(fault, 'Faults to inject; turns timeout and retries of the route off.'),
    headers: optional(headers, 'Header changes.'),
  },
  {
    unsupported: {
      mirror: MIRROR,
      mirrors: MIRROR,
      mirrorPercent: MIRROR,
      mirror_percent: MIRROR,
      mirrorPercentage: MIRROR,
      corsPolicy: 'CORS (TM-15) is not there yet',
      delegate: 'delegation (TM-16) is not there yet',
    },
    rules: [
      checkAction,
      checkWeights,
      ({ headers, rewrite }, report) => {
        checkAuthority(headers?.request, rewrite?.authority, report);
      },
    ],
    complete: (route) => {
      const destinations = route['route'] as readonly HTTPRouteDestination[];
      if (destinations.length !== 1) return route;
      return {
        ...route,
        route: Object.freeze([Object.freeze({ ...destinations[0]!, weight: 100 })]),
      };
    },
  },
);

function headerOperations(names: TextFormat): Schema<HeaderOperations> {
  const values = text({ format: HEADER_VALUE, mayBeEmpty: true });
  return object<HeaderOperations>({
    set: withDefault(map(names, values), {}, 'Overwrite, or add where there is none.'),
    add: withDefault(map(names, values), {}, 'Add beside those that are there.'),
    remove: withDefault(list(text({ format: PLAIN_HEADER }), { itemsMax: 256 }), [], 'Take away.'),
  });
}

function checkAction(route: Partial<HTTPRoute>, report: Report): void {
  const { route: destinations = [], redirect, directResponse, fault, rewrite } = route;
  const actions = [
    ...(destinations.length > 0 ? ['route'] : []),
    ...(redirect === undefined ? [] : ['redirect']),
    ...(directResponse === undefined ? [] : ['directResponse']),
  ];
  if (actions.length === 0) report([], 'needs one of route, redirect, directResponse');
  for (const extra of actions.slice(1))
    report([extra], `cannot be used together with ${actions[0]}`);
  for (const answer of actions.filter((action) => action !== 'route')) {
    if (fault !== undefined) report(['fault'], `cannot be used together with ${answer}`);
    if (rewrite !== undefined) report(['rewrite'], `cannot be used together with ${answer}`);
  }
}

function checkWeights({ route = [] }: Partial<HTTPRoute>, report: Report): void {
  if (route.length < 2) return;
  const total = route.reduce((sum, { weight }) => sum + (weight ?? 0), 0);
  if (total === 0) report(['route'], 'the weights of the destinations are all 0 or missing');
  if (total > 2 ** 32 - 1)
    report(['route'], `the weights add up to ${total}, more than ${2 ** 32 - 1}`);
}

/** One writer only for Host: which one would win is anybody's guess. */
function checkAuthority(
  request: Partial<HeaderOperations> | undefined,
  rewritten: string | undefined,
  report: Report,
): void {
  const writers = rewritten === undefined ? [] : ['rewrite.authority'];
  for (const operation of ['set', 'add'] as const) {
    for (const name of Object.keys(request?.[operation] ?? {})) {
      if (isAuthorityHeader(name)) writers.push(`headers.request.${operation}.${name}`);
    }
  }
  if (writers.length > 1) report([], `the authority is set more than once: ${writers.join(', ')}`);
}

function checkBody(
  { string, bytes }: NonNullable<HTTPDirectResponse['body']>,
  report: Report,
): void {
  if (string !== undefined && Buffer.byteLength(string) > DIRECT_RESPONSE_BYTES_MAX) {
    report(['string'], `is longer than ${DIRECT_RESPONSE_BYTES_MAX} bytes`, 'tooLarge');
  }
  if (bytes === undefined) return;
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(bytes) || bytes.length % 4 !== 0)
    report(['bytes'], 'is not base64');
  else if ((bytes.length / 4) * 3 > DIRECT_RESPONSE_BYTES_MAX + 2) {
    report(['bytes'], `is longer than ${DIRECT_RESPONSE_BYTES_MAX} bytes`, 'tooLarge');
  }
}

/** `\N` must name a group of the pattern; any other escape but `\\` has no meaning in RE2. */
function checkSubstitution(
  { match, rewrite }: Partial<NonNullable<HTTPRewrite['uriRegexRewrite']>>,
  report: Report,
): void {
  const groups = RE2JS.compile(match ?? '').groupCount();
  for (const [sequence, digit] of (rewrite ?? '').matchAll(/\\(\d|\\|.|$)/gs)) {
    if (sequence === '\\\\') continue;
    if (digit === undefined || !/^\d$/.test(digit)) {
      report(
        ['rewrite'],
        `"${sequence}" has no meaning: write \\\\ for a backslash, \\1 for a group`,
      );
    } else if (Number(digit) > groups) {
      report(
        ['rewrite'],
        `\\${digit} refers to a group that match does not have (it has ${groups})`,
      );
    }
  }
}
