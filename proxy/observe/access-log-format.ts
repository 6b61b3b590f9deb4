import { escapeJson } from './escape.ts';
import {
  compileFormat,
  compileParts,
  cut,
  type Format,
  type FormatProblem,
  rememberLast,
} from './format.ts';
import { compileOperator, type Operator } from './format-operators.ts';
import { parseFormat } from './format-parser.ts';
import type { RequestRecord } from './request-record.ts';

/** Access-log lines: text or JSON, compiled once, one request one line whatever its values hold (A7.3). */

/** Envoy's default line. */
export const ENVOY_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ' +
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** Istio's default for `accessLogEncoding: TEXT`. */
export const ISTIO_TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ' +
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ' +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% ' +
  '%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ' +
  '%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** Istio's default for `accessLogEncoding: JSON`. */
export const ISTIO_JSON_FORMAT: Readonly<Record<string, string>> = Object.freeze({
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
});

/** `json_format`, as google.protobuf.Struct decodes: strings are formats, the rest is literal. */
export type JsonFormatTemplate =
  | string
  | number
  | boolean
  | null
  | readonly JsonFormatTemplate[]
  | { readonly [key: string]: JsonFormatTemplate };

export interface AccessLogFormatOptions {
  /** `omit_empty_values`: text leaves absent values out instead of `-`, JSON leaves out their keys. */
  readonly omitEmptyValues?: boolean;
}

/** `text_format_source`. No line feed is added: the format brings its own, as in Envoy. */
export function compileTextAccessLog(
  source: string,
  { omitEmptyValues = false }: AccessLogFormatOptions = {},
): Format | FormatProblem {
  return compileFormat(source, { escaping: 'text', absent: omitEmptyValues ? '' : '-' });
}

/**
 * `json_format`: one object a line, keys in the order given. A string that is one command keeps its
 * type (numbers stay numbers, absent is null); other strings render as text with `-` for absent.
 */
export function compileJsonAccessLog(
  template: { readonly [key: string]: JsonFormatTemplate },
  { omitEmptyValues = false }: AccessLogFormatOptions = {},
): Format | FormatProblem {
  const node = compileNode(template, '', 0, omitEmptyValues);
  if ('problem' in node) return node;
  return {
    source: 'json',
    constant: false,
    render: (record) => `${node.write(record) || '{}'}\n`,
  };
}

/** Nesting of a template; Envoy has none, a real log two or three. */
const DEPTH_MAX = 16;

/** Writes one JSON value, or '' where it is absent and is to be left out. */
interface JsonNode {
  write(record: RequestRecord): string;
}

function compileNode(
  template: JsonFormatTemplate,
  path: string,
  depth: number,
  omit: boolean,
): JsonNode | FormatProblem {
  if (depth > DEPTH_MAX) return { problem: `${path}: nested deeper than ${DEPTH_MAX}` };
  if (typeof template === 'string') return compileString(template, path, omit);
  if (template === null || typeof template !== 'object') {
    const text = JSON.stringify(template);
    return { write: () => text };
  }
  return Array.isArray(template)
    ? compileList(template, path, depth, omit)
    : compileObject(template as Record<string, JsonFormatTemplate>, path, depth, omit);
}

function compileString(source: string, path: string, omit: boolean): JsonNode | FormatProblem {
  const parts = parseFormat(source);
  if ('problem' in parts) return { problem: `${path}: ${parts.problem}` };
  const only = parts.length === 1 ? parts[0]! : null;
  if (only?.kind === 'command') {
    const operator = compileOperator(only);
    if ('problem' in operator) return { problem: `${path}: ${operator.problem}` };
    return { write: typedWriter(operator, only.lengthMax, omit ? '' : 'null') };
  }
  const escaped = parts.map((part) =>
    part.kind === 'text' ? { ...part, text: JSON.stringify(part.text).slice(1, -1) } : part,
  );
  const format = compileParts(source, escaped, { escaping: 'json', absent: omit ? '' : '-' });
  if ('problem' in format) return { problem: `${path}: ${format.problem}` };
  return { write: (record) => `"${format.render(record)}"` };
}

function typedWriter(operator: Operator, lengthMax: number, absent: string): JsonNode['write'] {
  if (operator.kind === 'number') {
    const { read } = operator;
    return (record) => {
      const value = read(record);
      return value < 0 ? absent : String(value);
    };
  }
  const { read } = operator;
  const quoted = rememberLast((value) => `"${escapeJson(cut(value, lengthMax))}"`);
  return (record) => {
    const value = read(record);
    return value === '' ? absent : quoted(value);
  };
}

function compileList(
  template: readonly JsonFormatTemplate[],
  path: string,
  depth: number,
  omit: boolean,
): JsonNode | FormatProblem {
  const items: JsonNode[] = [];
  for (const [index, item] of template.entries()) {
    const node = compileNode(item, `${path}[${index}]`, depth + 1, omit);
    if ('problem' in node) return node;
    items.push(node);
  }
  return {
    write(record) {
      let text = '';
      for (let at = 0; at < items.length; at += 1) {
        // A place in a list is never left out: the others would move.
        text += `${at === 0 ? '' : ','}${items[at]!.write(record) || 'null'}`;
      }
      return `[${text}]`;
    },
  };
}

function compileObject(
  template: Readonly<Record<string, JsonFormatTemplate>>,
  path: string,
  depth: number,
  omit: boolean,
): JsonNode | FormatProblem {
  const keys: string[] = [];
  const values: JsonNode[] = [];
  for (const [key, value] of Object.entries(template)) {
    const node = compileNode(value, path === '' ? key : `${path}.${key}`, depth + 1, omit);
    if ('problem' in node) return node;
    keys.push(`${JSON.stringify(key)}:`);
    values.push(node);
  }
  return {
    write(record) {
      let text = '';
      for (let at = 0; at < values.length; at += 1) {
        const value = values[at]!.write(record);
        if (value !== '') text += `${text === '' ? '' : ','}${keys[at]!}${value}`;
      }
      return text === '' && omit ? '' : `{${text}}`;
    },
  };
}
