import { constants } from 'node:http2';
import { innerCall } from './inner-call.ts';

/**
 * Cuts a call's HTTP/2 stream at once. A gRPC status is queued behind the data before it, so that a client that reads
 * nothing would never be rid of, nor its memory. gRPC for Node has no public way for this; where its insides have
 * changed, the stream ends with its connection's age instead (a test tells).
 */
export function resetCall(call: object): boolean {
  const inner = innerCall(call);
  inner?.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  return inner !== null;
}
