import type { HeaderBlock } from '../http/header-block.ts';
import type { ResponseHead } from '../http/message.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import type { LocalOutcome } from './outcome.ts';

/** What the router needs of the downstream stream that it serves. */
export interface RouterHost {
  readonly record: RequestRecord;
  /** 1xx but 100 and 101. */
  onUpstreamInformational(head: ResponseHead): void;
  onUpstreamResponse(head: ResponseHead, endStream: boolean): void;
  onUpstreamData(chunk: Buffer, endStream: boolean): void;
  onUpstreamTrailers(trailers: HeaderBlock): void;
  /**
   * The exchange ended here. Before `onUpstreamResponse` it becomes a local reply; after it the
   * downstream stream is reset, so that the client sees a cut and not a clean end.
   */
  onLocalOutcome(outcome: LocalOutcome): void;
  /** Stop and go on reading the request body. Calls come in pairs. */
  pauseRequest(): void;
  resumeRequest(): void;
}
