import type { JsonObject, JsonValue } from './admin-source.ts';

/** Takes private keys, passwords and tokens out of a configuration dump (A5.1), as Envoy's `[redacted]`. */
export function redact(value: JsonObject): JsonObject {
  return redactValue(value, 0) as JsonObject;
}

const REDACTED = '[redacted]';

/** proto names and their JSON spelling. */
const SECRET_KEYS = new Set(
  [
    'private_key',
    'password',
    'session_ticket_keys',
    'token',
    'token_secret',
    'hmac_secret',
    'generic_secret',
    'pkcs12',
    'secret_key',
  ].flatMap((name) => [
    name,
    name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
  ]),
);

/** A DataSource says where a secret is; only what it holds itself is secret. */
const PLACE_KEYS = new Set([
  'filename',
  'environment_variable',
  'environmentVariable',
  'watched_directory',
  'watchedDirectory',
]);

/** A metadata or header entry whose value lets somebody in. */
const CREDENTIAL_HEADERS = /^(authorization|proxy-authorization|cookie|x-api-key)$/i;

/** Deeper than any message that the compilers accept. */
const DEPTH_MAX = 128;

function redactValue(value: JsonValue, depth: number): JsonValue {
  if (typeof value === 'string') return value.includes('PRIVATE KEY-----') ? REDACTED : value;
  if (value === null || typeof value !== 'object' || depth > DEPTH_MAX) {
    return depth > DEPTH_MAX ? REDACTED : value;
  }
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1));
  const object = value as JsonObject;
  const isCredential =
    typeof object['key'] === 'string' &&
    CREDENTIAL_HEADERS.test(object['key']) &&
    'value' in object;
  const copy: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>;
  for (const [key, member] of Object.entries(object)) {
    if (isCredential && /^(value|raw_value|rawValue)$/.test(key)) copy[key] = REDACTED;
    else if (SECRET_KEYS.has(key)) copy[key] = redactSecret(member);
    else copy[key] = redactValue(member, depth + 1);
  }
  return copy;
}

/** Keeps the shape of a DataSource, so that one sees that a key is there and from where. */
function redactSecret(value: JsonValue): JsonValue {
  if (value === null || typeof value !== 'object') return REDACTED;
  if (Array.isArray(value)) return value.map(redactSecret);
  const copy: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>;
  for (const [key, member] of Object.entries(value as JsonObject)) {
    copy[key] = PLACE_KEYS.has(key) ? member : redactSecret(member);
  }
  return copy;
}
