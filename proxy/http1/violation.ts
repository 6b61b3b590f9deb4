/**
 * What a peer can do wrong. Each is one frozen constant: `status` is what the server role answers,
 * `code` is the detail for logs (`%RESPONSE_CODE_DETAILS%`, no blanks). The client role makes
 * `onReset('protocolError', code)` of every one of them (A3.1).
 */
export interface Violation {
  readonly status: number;
  readonly code: string;
}

function violation(status: number, code: string): Violation {
  return Object.freeze({ status, code });
}

/** No violation: what a parser's `violation` holds until there is one. */
export const NO_VIOLATION = violation(0, '');

/** RFC 9112 §2.2: a line ends with CRLF; a bare LF or CR is read differently by different parsers. */
export const BARE_LF = violation(400, 'http1.bare_line_feed');
export const BARE_CR = violation(400, 'http1.bare_carriage_return');
/** RFC 9112 §2.2: more than one empty line before the request line, or one before a status line. */
export const LEADING_EMPTY_LINES = violation(400, 'http1.leading_empty_lines');
/** RFC 9112 §2.2: white space between the start line and the first field line. */
export const SPACE_BEFORE_FIRST_FIELD = violation(400, 'http1.space_before_first_field');
/** RFC 9112 §5.2. */
export const OBSOLETE_LINE_FOLDING = violation(400, 'http1.obsolete_line_folding');
/** RFC 9112 §5.1: no white space between field name and colon. */
export const SPACE_BEFORE_COLON = violation(400, 'http1.space_before_colon');
export const INVALID_METHOD = violation(400, 'http1.invalid_method');
export const INVALID_TARGET = violation(400, 'http1.invalid_url');
export const INVALID_REQUEST_LINE = violation(400, 'http1.invalid_request_line');
export const INVALID_VERSION = violation(400, 'http1.invalid_version');
/** RFC 9110 §15.6.6: a well-formed version other than 1.0 and 1.1, the HTTP/2 preface among them. */
export const UNSUPPORTED_VERSION = violation(505, 'http1.unsupported_version');
export const INVALID_STATUS_LINE = violation(502, 'http1.invalid_status_line');
export const INVALID_FIELD_NAME = violation(400, 'http1.invalid_field_name');
/** RFC 9110 §5.5: NUL, other controls and DEL in a field value. */
export const INVALID_FIELD_VALUE = violation(400, 'http1.invalid_field_value');

/** Limits (`HttpLimits`). */
export const HEAD_TOO_LARGE = violation(431, 'http1.headers_too_large');
export const TOO_MANY_HEADERS = violation(431, 'http1.too_many_headers');
export const START_LINE_TOO_LONG = violation(414, 'http1.request_line_too_long');
export const TRAILERS_TOO_LARGE = violation(431, 'http1.trailers_too_large');
export const TOO_MANY_CONNECTION_OPTIONS = violation(400, 'http1.too_many_connection_options');
export const TOO_MANY_INFORMATIONAL = violation(502, 'http1.too_many_informational_responses');

/** RFC 9112 §3.2: HTTP/1.1 needs exactly one valid Host. */
export const MISSING_HOST = violation(400, 'http1.missing_host');
export const DUPLICATE_HOST = violation(400, 'http1.duplicate_host');
export const INVALID_HOST = violation(400, 'http1.invalid_host');
/** RFC 9112 §3.2.3, RFC 9110 §9.3.6. */
export const INVALID_CONNECT = violation(400, 'http1.invalid_connect');

/** RFC 9112 §6.3. */
export const INVALID_CONTENT_LENGTH = violation(400, 'http1.invalid_content_length');
export const DIFFERING_CONTENT_LENGTHS = violation(400, 'http1.multiple_content_lengths');
export const LENGTH_AND_TRANSFER_ENCODING = violation(
  400,
  'http1.content_length_and_chunked_not_allowed',
);
export const INVALID_TRANSFER_ENCODING = violation(400, 'http1.invalid_transfer_encoding');
/** RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0, 1xx, 204 or a 2xx to CONNECT. */
export const TRANSFER_ENCODING_NOT_ALLOWED = violation(400, 'http1.transfer_encoding_not_allowed');
/** RFC 9110 §8.6: Content-Length in 1xx, 204 or a 2xx to CONNECT. */
export const CONTENT_LENGTH_NOT_ALLOWED = violation(400, 'http1.content_length_not_allowed');

/** RFC 9112 §7.1. */
export const INVALID_CHUNK_SIZE = violation(400, 'http1.invalid_chunk_size');
export const CHUNK_EXTENSION_TOO_LONG = violation(400, 'http1.chunk_extension_too_long');
export const INVALID_CHUNK_EXTENSION = violation(400, 'http1.invalid_chunk_extension');
export const INVALID_CHUNK_END = violation(400, 'http1.invalid_chunk_end');
/** RFC 9110 §6.5.1. */
export const FORBIDDEN_TRAILER = violation(400, 'http1.forbidden_trailer');

/** PR-04: HTTP/1.0 where it is not accepted. */
export const HTTP10_NOT_ACCEPTED = violation(426, 'http1.http10_not_accepted');

/** A3.3: 101 nobody asked for, or to a protocol nobody asked for. */
export const UNEXPECTED_UPGRADE = violation(502, 'http1.unexpected_switching_protocols');
/** A3.2, D5: bytes that belong to no response. */
export const UNSOLICITED_BYTES = violation(502, 'http1.unsolicited_bytes');
/** More bytes behind an unanswered request than `pipelinedBytesMax`. */
export const TOO_MUCH_PIPELINED = violation(400, 'http1.too_much_pipelined');
