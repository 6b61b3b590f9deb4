import { createHash, randomBytes } from 'node:crypto';
import { headerValue, setHeader } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';

/**
 * WebSocket has a challenge and its answer in HTTP/1.1 (RFC 6455 §4.2.2) and none in HTTP/2 (RFC 8441
 * §5). The head in `http/` is the HTTP/1.1 one whatever the version is, so the codec adds what
 * HTTP/2 leaves out and takes off what it has no use for: a stream can pass through any mix of versions.
 */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PROTOCOL = 'websocket';

/** Server role: a request by extended CONNECT gets a challenge for an HTTP/1.1 upstream. */
export function addWebSocketKey(head: RequestHead): void {
  if (head.upgrade !== PROTOCOL) return;
  setHeader(head.headers, 'sec-websocket-key', randomBytes(16).toString('base64'));
}

/** Client role: the challenge, which is not sent; '' where there is none. */
export function webSocketKey(head: RequestHead): string {
  return head.upgrade === PROTOCOL ? headerValue(head.headers, 'sec-websocket-key') : '';
}

/** Client role: the answer that the HTTP/1.1 client at the other end expects to its challenge. */
export function addWebSocketAccept(head: ResponseHead, key: string): void {
  if (key === '') return;
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  setHeader(head.headers, 'sec-websocket-accept', accept);
}
