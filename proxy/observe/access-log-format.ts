import { type FormatProblem, parseFormat } from './format-parser.ts';
import { jsonLine, OmittingJsonLine } from './json-line.ts';
import { compileJsonTemplate, type JsonFormatTemplate } from './json-template.ts';
import { compilePieces, LineBuilder, type LineFormat } from './line-format.ts';

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

export interface AccessLogFormatOptions {
  /** `omit_empty_values`: text leaves absent values out instead of `-`, JSON leaves out their keys. */
  readonly omitEmptyValues?: boolean;
}

/** `text_format_source`. No line feed is added: the format brings its own, as in Envoy. */
export function compileTextAccessLog(
  source: string,
  { omitEmptyValues = false }: AccessLogFormatOptions = {},
): LineFormat | FormatProblem {
  const parts = parseFormat(source);
  const pieces = 'problem' in parts ? parts : compilePieces(parts);
  if ('problem' in pieces) return pieces;
  const line = new LineBuilder('text');
  line.pieces(pieces, omitEmptyValues ? '' : '-');
  return line.finish();
}

/**
 * `json_format`: one object a line, keys in the order given. A string that is one command keeps its
 * type (numbers stay numbers, absent is null); other strings render as text with `-` for absent.
 */
export function compileJsonAccessLog(
  template: { readonly [key: string]: JsonFormatTemplate },
  { omitEmptyValues = false }: AccessLogFormatOptions = {},
): LineFormat | FormatProblem {
  const json = compileJsonTemplate(template);
  if ('problem' in json) return json;
  return omitEmptyValues ? new OmittingJsonLine(json) : jsonLine(json);
}
