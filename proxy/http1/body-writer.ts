import { isForbiddenTrailerName } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { Transport } from '../http/transport.ts';
import { BodyFraming } from './body.ts';

/** What became of a write. */
export const WriteResult = {
  /** Taken; write on. */
  Flowing: 0,
  /** Taken; the transport holds more than its high watermark. */
  Blocked: 1,
  /**
   * More or fewer bytes than the head announced. Nothing was written: the connection has to be
   * dropped, for the peer would read the next message out of this one (A2.6).
   */
  Broken: 2,
} as const;
export type WriteResult = (typeof WriteResult)[keyof typeof WriteResult];

/** Writes one message body after another in the framing that its head announced (RFC 9112 §6, §7). */
export class BodyWriter {
  framing: BodyFraming = BodyFraming.None;
  #remainingBytes = 0;

  /** `lengthBytes` counts for `Length` only. */
  begin(framing: BodyFraming, lengthBytes: number): void {
    this.framing = framing;
    this.#remainingBytes = framing === BodyFraming.Length ? lengthBytes : 0;
  }

  /** `Tunnel` and `UntilClose` leave the half-close at `endStream` to the caller. */
  write(transport: Transport, chunk: Buffer, endStream: boolean): WriteResult {
    const bytes = chunk.length;
    switch (this.framing) {
      case BodyFraming.None:
        // Content where none may be: for HEAD, 204 and 304 it is dropped, as Envoy does.
        return WriteResult.Flowing;
      case BodyFraming.Length: {
        const remaining = this.#remainingBytes - bytes;
        if (remaining < 0 || (endStream && remaining > 0)) return WriteResult.Broken;
        this.#remainingBytes = remaining;
        return bytes === 0 || transport.write(chunk) ? WriteResult.Flowing : WriteResult.Blocked;
      }
      case BodyFraming.Chunked: {
        if (bytes === 0) {
          if (!endStream || transport.write(LAST_CHUNK)) return WriteResult.Flowing;
          return WriteResult.Blocked;
        }
        transport.write(`${bytes.toString(16)}\r\n`);
        transport.write(chunk);
        const flowing = transport.write(endStream ? CRLF_LAST_CHUNK : CRLF);
        return flowing ? WriteResult.Flowing : WriteResult.Blocked;
      }
      case BodyFraming.UntilClose:
      case BodyFraming.Tunnel:
        return bytes === 0 || transport.write(chunk) ? WriteResult.Flowing : WriteResult.Blocked;
    }
  }

  /**
   * Ends the body with trailers where it is chunked; elsewhere it ends without. Fields that may not
   * stand in trailers (RFC 9110 §6.5.1) are left out.
   */
  writeTrailers(transport: Transport, trailers: HeaderBlock): WriteResult {
    if (this.framing !== BodyFraming.Chunked) return this.write(transport, NO_DATA, true);
    let text = '0\r\n';
    for (let at = 0; at < trailers.length; at += 2) {
      const name = trailers[at]!;
      if (!isForbiddenTrailerName(name)) text += `${name}: ${trailers[at + 1]!}\r\n`;
    }
    return transport.write(`${text}\r\n`) ? WriteResult.Flowing : WriteResult.Blocked;
  }
}

const CRLF = '\r\n';
const LAST_CHUNK = '0\r\n\r\n';
const CRLF_LAST_CHUNK = '\r\n0\r\n\r\n';
const NO_DATA = Buffer.alloc(0);
