import type { HeaderBlock } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import type { LocalOutcome } from '../router/outcome.ts';
import type { Route } from '../router/route-table.ts';
import type { TimerLists } from '../tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';

/** What a filter decides about a request head. */
export const FilterResult = {
  /** On to the next one. */
  Continue: 0,
  /** The request waits, its body unread, until `context.resume()` or `context.answer()`. */
  Wait: 1,
  /** `context.answer()` has been called. */
  Answered: 2,
} as const;
export type FilterResult = (typeof FilterResult)[keyof typeof FilterResult];

/** What a filter sees of the request. */
export interface FilterContext {
  readonly head: RequestHead;
  readonly record: RequestRecord;
  readonly downstream: DownstreamConnectionInfo;
  /** null where nothing matched: the request ends in 404 after the filters. */
  readonly route: Route | null;
  readonly timers: TimerLists;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** `ip:port`, or the address alone, of the client: behind proxies as far as they are trusted (PR-16). */
  clientAddress(): string;
  /** Goes on with the next filter after `Wait`. */
  resume(): void;
  /** Ends the request here. */
  answer(outcome: LocalOutcome): void;
}

/**
 * One HTTP filter as the listener configures it; made once per configuration. To add a filter: one
 * file here, one kind in `HttpFilterConfig`, one line in `filter-chain.ts`.
 */
export interface HttpFilterFactory {
  readonly name: string;
  /** The filter for one request, or null where it has nothing to do for it. */
  create(context: FilterContext): HttpFilter | null;
}

/** One request in one filter. Requests pass the filters in order, responses in reverse order. */
export interface HttpFilter {
  /** What it does with bodies; null leaves them alone, and costs them nothing. */
  readonly body: BodyFilter | null;
  onRequest(endStream: boolean): FilterResult;
  /** The response head, also of a local reply, before it is sent. */
  onResponse(head: ResponseHead): void;
  /** The request is over, however it ended. Called exactly once. */
  destroy(): void;
}

/**
 * Changes bodies as they pass, chunk by chunk; holds at most a few bytes of them. An empty chunk that is not the last
 * goes no further.
 */
export interface BodyFilter {
  /** What goes on in the chunk's place. It may call `context.answer()`, and the rest of the request is dropped. */
  onRequestData(chunk: Buffer, endStream: boolean): Buffer;
  /** Not asked about the body of a local reply. */
  onResponseData(chunk: Buffer, endStream: boolean): Buffer;
  /** The last bytes of the body where they take the trailers' place; null: the trailers go on. */
  onResponseTrailers(trailers: HeaderBlock): Buffer | null;
}
