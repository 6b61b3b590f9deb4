import { removeHeader } from '../http/header-block.ts';
import { ResponseHead } from '../http/message.ts';
import type { FieldSection } from './field-section.ts';
import type { HeadParser } from './head-parser.ts';
import {
  CONTENT_LENGTH_NOT_ALLOWED,
  LENGTH_AND_TRANSFER_ENCODING,
  NO_VIOLATION,
  TRANSFER_ENCODING_NOT_ALLOWED,
  UNEXPECTED_UPGRADE,
  type Violation,
} from './violation.ts';

/**
 * Makes the response head from a parsed section and judges it against the request it answers
 * (RFC 9112 §6.3, RFC 9110 §7.8). One per client connection; `take` gives the head where `read`
 * gave NO_VIOLATION.
 */
export class ResponseHeadReader {
  #head: ResponseHead = NO_HEAD;

  /** The head read last; it is not kept, so that an idle connection holds none. */
  take(): ResponseHead {
    const head = this.#head;
    this.#head = NO_HEAD;
    return head;
  }

  /** `upgrade`: what the request asked for (`RequestHead.upgrade`). */
  read(parser: HeadParser, fields: FieldSection, upgrade: string): Violation {
    const { status, minor } = parser;
    if (fields.chunked) {
      if (minor === 0) return TRANSFER_ENCODING_NOT_ALLOWED;
      if (fields.contentLength >= 0) return LENGTH_AND_TRANSFER_ENCODING;
    }
    const head = new ResponseHead(status, fields.headers, minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0');
    head.contentLength = fields.contentLength;
    this.#head = head;

    const toConnect = upgrade === 'connect' && status >= 200 && status < 300;
    if (status < 200 || status === 204 || toConnect) {
      // A sender must not frame what has no content (RFC 9112 §6.1, RFC 9110 §8.6). An empty length
      // harms nobody and is taken out.
      if (fields.chunked) return TRANSFER_ENCODING_NOT_ALLOWED;
      if (fields.contentLength > 0) return CONTENT_LENGTH_NOT_ALLOWED;
      if (fields.contentLength === 0) removeHeader(head.headers, 'content-length');
      head.contentLength = -1;
    }
    if (status === 101) {
      if (!fields.upgradeOption || !isAskedFor(fields.upgrade, upgrade)) return UNEXPECTED_UPGRADE;
      head.upgrade = true;
      head.headers.push('upgrade', fields.upgrade);
    } else if (toConnect) {
      head.upgrade = true;
    }
    return NO_VIOLATION;
  }
}

const NO_HEAD = new ResponseHead(0, []);

/** Whether a 101 switches to one of the protocols asked for (A3.3). CONNECT asks for none. */
function isAskedFor(chosen: string, asked: string): boolean {
  if (chosen === '' || asked === '' || asked === 'connect') return false;
  return chosen === asked || asked.split(',').includes(chosen);
}
