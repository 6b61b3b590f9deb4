import type { HeaderBlock } from './header-block.ts';

/** `content-type: application/grpc`, alone or followed by `+` or `;` (gRPC over HTTP/2), of a request or a response. */
export function isGrpcContent(headers: HeaderBlock): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== 'content-type') continue;
    const value = headers[at + 1]!;
    if (!value.startsWith('application/grpc')) return false;
    const next = value.charCodeAt('application/grpc'.length);
    return Number.isNaN(next) || next === 0x2b || next === 0x3b || next === 0x20;
  }
  return false;
}
