import type { IncomingMessage } from 'node:http';

/**
 * The headers that an app must copy from the request it serves to the requests it makes, so that their spans join
 * up: a sidecar cannot know which outgoing request belongs to which incoming one. `end-user` is the app's own.
 */
const COPIED = [
  'x-request-id',
  'traceparent',
  'tracestate',
  'baggage',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'x-ot-span-context',
  'end-user',
] as const;

export function copiedHeaders(request: IncomingMessage): Record<string, string> {
  const copied: Record<string, string> = {};
  for (const name of COPIED) {
    const value = request.headers[name];
    if (typeof value === 'string') copied[name] = value;
  }
  return copied;
}
