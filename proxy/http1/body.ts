import { hasNoContent } from '../http/content-length.ts';
import type { FieldSection } from './field-section.ts';

/** How the end of a body is found or shown. */
export const BodyFraming = {
  /** No content. */
  None: 0,
  /** `content-length` bytes. */
  Length: 1,
  /** Chunked transfer coding. */
  Chunked: 2,
  /** Up to the end of the connection: responses only. */
  UntilClose: 3,
  /** No message any more: 101, or 2xx to CONNECT. */
  Tunnel: 4,
} as const;
export type BodyFraming = (typeof BodyFraming)[keyof typeof BodyFraming];

/** RFC 9112 §6.3 for a request that `RequestHeadReader` has accepted. */
export function requestBodyFraming(fields: FieldSection): BodyFraming {
  if (fields.chunked) return BodyFraming.Chunked;
  return fields.contentLength > 0 ? BodyFraming.Length : BodyFraming.None;
}

/** RFC 9112 §6.3 for a final response that `ResponseHeadReader` has accepted. */
export function responseBodyFraming(
  fields: FieldSection,
  status: number,
  requestMethod: string,
): BodyFraming {
  if (requestMethod === 'HEAD' || hasNoContent(status)) return BodyFraming.None;
  if (fields.chunked) return BodyFraming.Chunked;
  if (fields.contentLength < 0) return BodyFraming.UntilClose;
  return fields.contentLength > 0 ? BodyFraming.Length : BodyFraming.None;
}
