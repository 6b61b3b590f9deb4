/** What the client made of the responses of one type so far. */
export type Acknowledgement = 'none' | 'ack' | 'nack' | 'stale';

/**
 * The conversation about one type on one stream: one response at a time is on the way, its nonce says which answer
 * belongs to it (xDS rules 1, 2, 14). A request is a refusal exactly when it carries an error, whatever its version.
 *
 *   idle ──sent(nonce)──▶ outstanding ──answer with this nonce──▶ idle (accepted or refused)
 */
export class Delivery {
  /** The text of the refusal that still stands, or ''. */
  error = '';
  /** Responses sent on this stream. */
  sentCount = 0;
  /** Of the latest response; '' before the first. */
  nonce = '';
  /** When the outstanding response left; 0 = none is outstanding. */
  outstandingSinceMs = 0;
  /** When the latest answer came; 0 = none yet. */
  answeredAtMs = 0;
  acceptedCount = 0;
  refusedCount = 0;

  get isOutstanding(): boolean {
    return this.outstandingSinceMs !== 0;
  }

  sent(nonce: string, nowMs: number): void {
    this.nonce = nonce;
    this.outstandingSinceMs = nowMs;
    this.sentCount++;
  }

  /** `error`: the refusal's text, null where the request carries none. */
  answered(nonce: string, error: string | null, nowMs: number): Acknowledgement {
    if (nonce === '') return error === null ? 'none' : 'stale';
    if (nonce !== this.nonce) return 'stale';
    // The nonce of a response that was answered before: a later change of the subscription carries it again.
    if (!this.isOutstanding) return error === null ? 'none' : 'stale';
    this.outstandingSinceMs = 0;
    this.answeredAtMs = nowMs;
    if (error === null) {
      this.acceptedCount++;
      return 'ack';
    }
    this.refusedCount++;
    this.error = error === '' ? 'refused without a reason' : error.slice(0, ERROR_CHARS_MAX);
    return 'nack';
  }
}

/** The peer chooses the text, and it is kept for `proxy-status`. */
const ERROR_CHARS_MAX = 4096;
