/**
 * Field names (RFC 9110 §5.1): the interning table of known names and what each means to a codec.
 * A known name is one string for the whole process, so comparing names is comparing pointers.
 */

/** What a codec does with a field beyond passing it on. */
export const FieldRole = {
  /** Passed on. */
  EndToEnd: 0,
  Host: 1,
  ContentLength: 2,
  TransferEncoding: 3,
  Connection: 4,
  /** Belongs to one connection and is dropped (RFC 9110 §7.6.1; `http2-settings`, RFC 9113 §3.1). */
  HopByHop: 5,
  /** Hop-by-hop too, but `te: trailers` is passed on: gRPC needs it. */
  Te: 6,
  Upgrade: 7,
} as const;
export type FieldRole = (typeof FieldRole)[keyof typeof FieldRole];

const ROLES: readonly (readonly [string, FieldRole])[] = [
  ['host', FieldRole.Host],
  ['content-length', FieldRole.ContentLength],
  ['transfer-encoding', FieldRole.TransferEncoding],
  ['connection', FieldRole.Connection],
  ['keep-alive', FieldRole.HopByHop],
  ['proxy-connection', FieldRole.HopByHop],
  ['http2-settings', FieldRole.HopByHop],
  ['te', FieldRole.Te],
  ['upgrade', FieldRole.Upgrade],
];

/**
 * Fields that decide framing, routing or authentication, or the format of the content: a trailer
 * section may not bring them (RFC 9110 §6.5.1), because it arrives after policy has decided.
 */
const NOT_IN_TRAILERS: readonly string[] = [
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
  'x-forwarded-client-cert',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
];

const KNOWN: readonly string[] = [
  ...new Set([
    ...ROLES.map(([name]) => name),
    ...NOT_IN_TRAILERS,
    'accept',
    'accept-charset',
    'accept-encoding',
    'accept-language',
    'accept-ranges',
    'access-control-allow-credentials',
    'access-control-allow-headers',
    'access-control-allow-methods',
    'access-control-allow-origin',
    'access-control-expose-headers',
    'access-control-max-age',
    'access-control-request-headers',
    'access-control-request-method',
    'age',
    'allow',
    'alt-svc',
    'b3',
    'baggage',
    'content-disposition',
    'content-language',
    'content-location',
    'content-security-policy',
    'date',
    'dnt',
    'end-user',
    'etag',
    'expires',
    'from',
    'grpc-accept-encoding',
    'grpc-encoding',
    'grpc-message',
    'grpc-status',
    'grpc-status-details-bin',
    'grpc-timeout',
    'if-match',
    'if-modified-since',
    'if-none-match',
    'if-range',
    'if-unmodified-since',
    'last-modified',
    'link',
    'location',
    'origin',
    'pragma',
    'priority',
    'referer',
    'referrer-policy',
    'refresh',
    'retry-after',
    'sec-ch-ua',
    'sec-ch-ua-mobile',
    'sec-ch-ua-platform',
    'sec-fetch-dest',
    'sec-fetch-mode',
    'sec-fetch-site',
    'sec-fetch-user',
    'sec-websocket-accept',
    'sec-websocket-extensions',
    'sec-websocket-key',
    'sec-websocket-protocol',
    'sec-websocket-version',
    'server',
    'server-timing',
    'strict-transport-security',
    'traceparent',
    'tracestate',
    'upgrade-insecure-requests',
    'user-agent',
    'vary',
    'via',
    'x-b3-flags',
    'x-b3-parentspanid',
    'x-b3-sampled',
    'x-b3-spanid',
    'x-b3-traceid',
    'x-content-type-options',
    'x-envoy-attempt-count',
    'x-envoy-decorator-operation',
    'x-envoy-expected-rq-timeout-ms',
    'x-envoy-internal',
    'x-envoy-max-retries',
    'x-envoy-original-host',
    'x-envoy-original-path',
    'x-envoy-overloaded',
    'x-envoy-peer-metadata',
    'x-envoy-peer-metadata-id',
    'x-envoy-ratelimited',
    'x-envoy-retry-grpc-on',
    'x-envoy-retry-on',
    'x-envoy-upstream-rq-per-try-timeout-ms',
    'x-envoy-upstream-rq-timeout-ms',
    'x-envoy-upstream-service-time',
    'x-frame-options',
    'x-ot-span-context',
    'x-powered-by',
    'x-real-ip',
    'x-request-id',
    'x-xss-protection',
  ]),
];

/** Lower-case form of each byte of a token; 0 for a byte that no token holds (RFC 9110 §5.6.2). */
const TOKEN_LOWER_CASE: Uint8Array = (() => {
  const table = new Uint8Array(256);
  const rest = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
  for (let at = 0; at < rest.length; at++) table[rest.charCodeAt(at)] = rest.charCodeAt(at);
  for (let upper = 0x41; upper <= 0x5a; upper++) table[upper] = upper + 0x20;
  return table;
})();

const SLOTS = 1024;
const NO_FIELD = -1;

/** Open addressing over `slotOf`; the value is an index into `KNOWN`. */
const SLOT_TO_KNOWN: Int16Array = (() => {
  const table = new Int16Array(SLOTS).fill(NO_FIELD);
  KNOWN.forEach((name, index) => {
    const last = name.length - 1;
    let slot = slotOf(
      name.length,
      name.charCodeAt(0),
      name.charCodeAt(name.length >> 1),
      name.charCodeAt(last),
    );
    while (table[slot] !== NO_FIELD) slot = (slot + 1) % SLOTS;
    table[slot] = index;
  });
  return table;
})();

/** The bytes of all known names one after another, and where each begins. */
const KNOWN_BYTES: Uint8Array = Uint8Array.from(KNOWN.join(''), (char) => char.charCodeAt(0));
const KNOWN_START: Uint16Array = (() => {
  const starts = new Uint16Array(KNOWN.length + 1);
  KNOWN.forEach((name, index) => {
    starts[index + 1] = starts[index]! + name.length;
  });
  return starts;
})();

const ROLE_OF_KNOWN: Uint8Array = Uint8Array.from(
  KNOWN,
  (name) => ROLES.find(([known]) => known === name)?.[1] ?? FieldRole.EndToEnd,
);

const KEPT_OUT_OF_TRAILERS: Uint8Array = Uint8Array.from(KNOWN, (name) =>
  NOT_IN_TRAILERS.includes(name) ? 1 : 0,
);

function slotOf(length: number, first: number, middle: number, last: number): number {
  return (length * 37 + first * 5 + middle * 59 + last * 149) % SLOTS;
}

/**
 * The index of the known name spelt by `bytes[start, end)` in any case, or -1. The caller has
 * checked that the bytes are a token of at least one byte.
 */
export function knownFieldName(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let slot = slotOf(
    length,
    TOKEN_LOWER_CASE[bytes[start]!]!,
    TOKEN_LOWER_CASE[bytes[start + (length >> 1)]!]!,
    TOKEN_LOWER_CASE[bytes[end - 1]!]!,
  );
  for (;;) {
    const index = SLOT_TO_KNOWN[slot]!;
    if (index === NO_FIELD) return NO_FIELD;
    const known = KNOWN_START[index]!;
    if (KNOWN_START[index + 1]! - known === length) {
      let at = 0;
      while (at < length && TOKEN_LOWER_CASE[bytes[start + at]!] === KNOWN_BYTES[known + at]) at++;
      if (at === length) return index;
    }
    slot = (slot + 1) % SLOTS;
  }
}

/** The interned string of an index given by `knownFieldName`. */
export function fieldNameAt(index: number): string {
  return KNOWN[index]!;
}

/** The interned strings of all known names. */
export function knownFieldNames(): readonly string[] {
  return KNOWN;
}

/** The role of an index given by `knownFieldName`; a name that is not known is end-to-end. */
export function fieldRoleAt(index: number): FieldRole {
  return index === NO_FIELD ? FieldRole.EndToEnd : (ROLE_OF_KNOWN[index]! as FieldRole);
}

/** Whether a trailer section may not hold the field of this index (`knownFieldName`, -1 allowed). */
export function forbiddenInTrailers(index: number): boolean {
  return index !== NO_FIELD && KEPT_OUT_OF_TRAILERS[index] === 1;
}

const FORBIDDEN_TRAILER_NAMES: ReadonlySet<string> = new Set(NOT_IN_TRAILERS);

/** As `forbiddenInTrailers`, by lower-case name. */
export function isForbiddenTrailerName(name: string): boolean {
  return FORBIDDEN_TRAILER_NAMES.has(name);
}

/** Whether `name` is a token: what configuration may use as a field name (any case). */
export function isFieldName(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code > 0xff || TOKEN_LOWER_CASE[code] === 0) return false;
  }
  return name.length > 0;
}

/**
 * `value` with every code unit that could not stand in a field line turned into `?`, and without blanks at its
 * ends: HTTP/1.1 takes them off (RFC 9110 §5.5), an HTTP/2 message that has them is malformed (RFC 9113 §8.2.1).
 */
export function fieldValueOf(value: string): string {
  const inner = withoutOuterBlanks(value);
  if (isFieldValue(inner)) return inner;
  let out = '';
  for (const char of inner) out += isFieldValue(char) ? char : '?';
  return out;
}

function withoutOuterBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return end - start === value.length ? value : value.substring(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * Whether `value` can stand in a field line as it is: HTAB, SP, visible ASCII and obs-text
 * (RFC 9110 §5.5). Code units above 0xff are refused: a latin1 write would cut them to a byte, and
 * U+010A would become a line feed.
 */
export function isFieldValue(value: string): boolean {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code < 0x20 ? code !== 0x09 : code === 0x7f || code > 0xff) return false;
  }
  return true;
}
