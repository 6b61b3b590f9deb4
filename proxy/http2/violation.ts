import { ErrorCode } from './error-code.ts';

/**
 * What a peer can do wrong. Each is one frozen constant; `code` is the detail for logs
 * (`%RESPONSE_CODE_DETAILS%`, no blanks), and of the debug data of a GOAWAY.
 */
export interface Violation {
  /** What has to go: this stream (RST_STREAM) or all of them (GOAWAY), RFC 9113 §5.4. */
  readonly reach: 'stream' | 'connection';
  readonly errorCode: ErrorCode;
  /** What the server role answers where the request can still be answered, else 0. */
  readonly status: number;
  readonly code: string;
}

function violation(
  reach: Violation['reach'],
  errorCode: ErrorCode,
  code: string,
  status = 0,
): Violation {
  return Object.freeze({ reach, errorCode, status, code: code === '' ? '' : `http2.${code}` });
}

const connection = (code: string, errorCode: ErrorCode = ErrorCode.PROTOCOL_ERROR) =>
  violation('connection', errorCode, code);
const stream = (code: string, errorCode: ErrorCode = ErrorCode.PROTOCOL_ERROR) =>
  violation('stream', errorCode, code);
const malformed = (code: string, status = 400) =>
  violation('stream', ErrorCode.PROTOCOL_ERROR, code, status);
const calm = (code: string) => violation('connection', ErrorCode.ENHANCE_YOUR_CALM, code);

export const NO_VIOLATION = violation('connection', ErrorCode.NO_ERROR, '');

/** RFC 9113 §3.4: the connection preface and its SETTINGS. */
export const BAD_PREFACE = connection('bad_connection_preface');
export const SETTINGS_EXPECTED = connection('settings_expected');
/** §4.1, §4.2, §6: frames that cannot be. */
export const FRAME_TOO_LARGE = connection('frame_too_large', ErrorCode.FRAME_SIZE_ERROR);
export const BAD_FRAME_SIZE = connection('bad_frame_size', ErrorCode.FRAME_SIZE_ERROR);
export const STREAM_ID_MISSING = connection('stream_id_missing');
export const STREAM_ID_NOT_ALLOWED = connection('stream_id_not_allowed');
export const BAD_PADDING = connection('padding_exceeds_frame');
/** §4.3, §6.10. */
export const CONTINUATION_EXPECTED = connection('continuation_expected');
export const UNEXPECTED_CONTINUATION = connection('unexpected_continuation');
export const HEADER_COMPRESSION = connection('header_compression', ErrorCode.COMPRESSION_ERROR);
/** §5.1: frames in the wrong state. */
export const FRAME_ON_IDLE_STREAM = connection('frame_on_idle_stream');
export const FRAME_ON_CLOSED_STREAM = connection('frame_on_closed_stream', ErrorCode.STREAM_CLOSED);
export const FRAME_AFTER_END_STREAM = stream('frame_after_end_stream', ErrorCode.STREAM_CLOSED);
/** §5.1.1. */
export const BAD_STREAM_ID = connection('bad_stream_id');
export const STREAM_ID_NOT_ASCENDING = connection('stream_id_not_ascending');
/** RFC 7540 §5.3.1; RFC 9113 ignores priorities, and a stream that waits for itself is no priority. */
export const DEPENDS_ON_ITSELF = stream('stream_depends_on_itself');
/** §6.5.2. */
export const BAD_ENABLE_PUSH = connection('bad_enable_push');
export const BAD_INITIAL_WINDOW = connection('bad_initial_window', ErrorCode.FLOW_CONTROL_ERROR);
export const BAD_MAX_FRAME_SIZE = connection('bad_max_frame_size');
export const BAD_ENABLE_CONNECT = connection('bad_enable_connect_protocol');
export const SETTINGS_NOT_ACKED = connection('settings_timeout', ErrorCode.SETTINGS_TIMEOUT);
/** §6.6, §8.4: push is off in both roles. */
export const PUSH_REFUSED = connection('push_promise_refused');
/** §6.9. */
export const ZERO_INCREMENT = stream('zero_window_increment');
export const ZERO_CONNECTION_INCREMENT = connection('zero_window_increment');
export const WINDOW_OVERFLOW = stream('window_overflow', ErrorCode.FLOW_CONTROL_ERROR);
export const CONNECTION_WINDOW_OVERFLOW = connection(
  'window_overflow',
  ErrorCode.FLOW_CONTROL_ERROR,
);
export const WINDOW_EXCEEDED = stream('window_exceeded', ErrorCode.FLOW_CONTROL_ERROR);
export const CONNECTION_WINDOW_EXCEEDED = connection(
  'window_exceeded',
  ErrorCode.FLOW_CONTROL_ERROR,
);

/** §8.1.1, §8.2, §8.3: malformed messages. */
export const INVALID_FIELD = malformed('invalid_field');
export const CONNECTION_SPECIFIC_FIELD = malformed('connection_specific_field');
export const INVALID_TE = malformed('invalid_te');
export const UNEXPECTED_PSEUDO_HEADER = malformed('unexpected_pseudo_header');
export const DUPLICATE_PSEUDO_HEADER = malformed('duplicate_pseudo_header');
export const PSEUDO_HEADER_AFTER_FIELD = malformed('pseudo_header_after_field');
export const MISSING_PSEUDO_HEADER = malformed('missing_pseudo_header');
export const INVALID_METHOD = malformed('invalid_method');
export const INVALID_SCHEME = malformed('invalid_scheme');
export const INVALID_PATH = malformed('invalid_url');
export const INVALID_AUTHORITY = malformed('invalid_authority');
export const MISSING_AUTHORITY = malformed('missing_authority');
export const HOST_DIFFERS = malformed('host_differs_from_authority');
export const INVALID_CONNECT = malformed('invalid_connect');
export const INVALID_STATUS = malformed('invalid_status');
/** RFC 9113 §8.6: 101 does not exist. */
export const UNEXPECTED_SWITCH = malformed('unexpected_switching_protocols');
export const INVALID_CONTENT_LENGTH = malformed('invalid_content_length');
export const CONTENT_LENGTH_MISMATCH = malformed('content_length_mismatch');
/** §8.1: a field section behind the head that does not end the stream. */
export const TRAILERS_WITHOUT_END = malformed('trailers_without_end_stream');
export const INFORMATIONAL_WITH_END = malformed('informational_with_end_stream');
export const DATA_BEFORE_HEAD = malformed('data_before_response_head');
export const TOO_MANY_INFORMATIONAL = malformed('too_many_informational_responses');

/** Limits (`HttpLimits`): refused for this message only. */
export const HEADERS_TOO_LARGE = malformed('headers_too_large', 431);
export const TOO_MANY_HEADERS = malformed('too_many_headers', 431);
export const TRAILERS_TOO_LARGE = malformed('trailers_too_large', 431);
/** A block so large that not even its coding is taken in. */
export const HEADER_BLOCK_TOO_LARGE = calm('header_block_too_large');

/** The preface or a field block was not completed in time (A1.9). */
export const HEADERS_TIMEOUT = calm('request_header_timeout');

/** §10.5: what is allowed but not in such numbers; one for each kind of `FloodKind`. */
export const FLOOD_RAPID_RESET = calm('flood_rapid_reset');
export const FLOOD_PROVOKED_RESET = calm('flood_provoked_reset');
export const FLOOD_REFUSED_STREAM = calm('flood_refused_stream');
export const FLOOD_CONTINUATION = calm('flood_continuation');
export const FLOOD_SETTINGS = calm('flood_settings');
export const FLOOD_PING = calm('flood_ping');
export const FLOOD_EMPTY_DATA = calm('flood_empty_data');
export const FLOOD_WINDOW_UPDATE = calm('flood_window_update');
export const FLOOD_PRIORITY = calm('flood_priority');
export const FLOOD_UNKNOWN_FRAME = calm('flood_unknown_frame');
export const FLOOD_UNREAD_REPLIES = calm('flood_unread_replies');
export const FLOOD_GOAWAY = calm('flood_goaway');
export const FLOOD_CLOSED_STREAM = calm('flood_closed_stream');
export const FLOOD_WINDOW_DRIBBLE = calm('flood_window_dribble');
