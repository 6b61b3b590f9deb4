import type { FilterResult } from '../filter/http-filter.ts';
import type { ActiveStream } from './active-stream.ts';

/** What a stage decides: on to the next one, wait, or the request has been answered (taken over). */
export { FilterResult as StageResult } from '../filter/http-filter.ts';

/** One position of the request path. Made once per configuration; holds no state of a request. */
export interface RequestStage {
  /** As docs/architecture.md lists it. */
  readonly name: string;
  begin(stream: ActiveStream): FilterResult;
}
