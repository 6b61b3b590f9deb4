import { hasNoContent } from '../http/content-length.ts';
import { removeHeader } from '../http/header-block.ts';
import { ResponseHead } from '../http/message.ts';
import type { FieldSection } from './field-section.ts';
import {
  INVALID_CONTENT_LENGTH,
  INVALID_STATUS,
  NO_VIOLATION,
  UNEXPECTED_SWITCH,
  type Violation,
} from './violation.ts';
import { addWebSocketAccept } from './websocket-handshake.ts';

/**
 * Makes the response head from a field section (RFC 9113 §8.3.2) and judges it against the request it
 * answers. One per client connection; `take` gives the head where `read` gave NO_VIOLATION.
 */
export class ResponseHeadReader {
  #head: ResponseHead = NO_HEAD;

  /** The head read last; it is not kept, so that an idle connection holds none. */
  take(): ResponseHead {
    const head = this.#head;
    this.#head = NO_HEAD;
    return head;
  }

  /** `upgrade`: what the request asked for (`RequestHead.upgrade`); `webSocketKey`: its challenge. */
  read(fields: FieldSection, upgrade: string, webSocketKey: string): Violation {
    const status = parseStatus(fields.status);
    if (status < 0) return INVALID_STATUS;
    if (status === 101) return UNEXPECTED_SWITCH;
    const head = new ResponseHead(status, fields.headers, 'HTTP/2');
    head.contentLength = fields.contentLength;
    head.neverIndexed = fields.neverIndexed;
    this.#head = head;
    const tunnel = upgrade !== '' && status >= 200 && status < 300;
    if (status < 200 || status === 204 || tunnel) {
      // As in HTTP/1.1: what has no content has no length (RFC 9110 §8.6); an empty one harms nobody.
      if (fields.contentLength > 0) return INVALID_CONTENT_LENGTH;
      if (fields.contentLength === 0) removeHeader(head.headers, 'content-length');
      head.contentLength = -1;
    }
    if (!tunnel) return NO_VIOLATION;
    head.upgrade = true;
    if (upgrade === 'connect') return NO_VIOLATION;
    // RFC 8441 §4: 2xx is what 101 is in HTTP/1.1.
    head.status = 101;
    head.headers.push('upgrade', upgrade);
    addWebSocketAccept(head, webSocketKey);
    return NO_VIOLATION;
  }
}

/** Bytes of content that may come: 0 where there can be none, -1 where nothing is known. */
export function contentBytesOf(head: ResponseHead, requestMethod: string): number {
  if (head.upgrade) return -1;
  if (requestMethod === 'HEAD' || hasNoContent(head.status)) return 0;
  return head.contentLength;
}

/** Three digits from 100 on (RFC 9110 §15), or -1. */
function parseStatus(text: string): number {
  if (text === '200') return 200;
  if (text.length !== 3) return -1;
  let status = 0;
  for (let at = 0; at < 3; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    status = status * 10 + digit;
  }
  return status >= 100 ? status : -1;
}

const NO_HEAD = new ResponseHead(0, [], 'HTTP/2');
