import type { HttpLimits } from '../http/limits.ts';
import { COLON, CR, FIELD_CONTENT, HTAB, LF, SP, TARGET, TCHAR } from './grammar.ts';
import {
  BARE_CR,
  BARE_LF,
  HEAD_TOO_LARGE,
  INVALID_FIELD_NAME,
  INVALID_FIELD_VALUE,
  INVALID_METHOD,
  INVALID_REQUEST_LINE,
  INVALID_STATUS_LINE,
  INVALID_TARGET,
  INVALID_VERSION,
  LEADING_EMPTY_LINES,
  NO_VIOLATION,
  OBSOLETE_LINE_FOLDING,
  SPACE_BEFORE_COLON,
  SPACE_BEFORE_FIRST_FIELD,
  START_LINE_TOO_LONG,
  TOO_MANY_HEADERS,
  TRAILERS_TOO_LARGE,
  UNSUPPORTED_VERSION,
  type Violation,
} from './violation.ts';

/** What a section begins with. */
export const SectionKind = { Request: 0, Response: 1, Trailers: 2 } as const;
export type SectionKind = (typeof SectionKind)[keyof typeof SectionKind];

export const ParseResult = { NeedMore: 0, Complete: 1, Failed: 2 } as const;
export type ParseResult = (typeof ParseResult)[keyof typeof ParseResult];

/**
 *            ┌ Method ─ Target ─ Version ┐
 *   Start ───┤                           ├─ StartLf ─ FirstField ┬ Name ─ ValueStart ─ Value ─ ValueLf ─ NextField ┬ EndLf
 *            └ Version ─ Status ─ Reason ┘                       └───────────────── EndLf                          └ Name
 */
const State = {
  Start: 0,
  LeadingLf: 1,
  Method: 2,
  Target: 3,
  Version: 4,
  VersionEnd: 5,
  Status: 6,
  StatusEnd: 7,
  Reason: 8,
  StartLf: 9,
  FirstField: 10,
  Name: 11,
  ValueStart: 12,
  Value: 13,
  ValueLf: 14,
  NextField: 15,
  EndLf: 16,
  Done: 17,
} as const;
type State = (typeof State)[keyof typeof State];

/** `HTTP/1.` */
const VERSION_PREFIX = Uint8Array.from([0x48, 0x54, 0x54, 0x50, 0x2f, 0x31, 0x2e]);
const VERSION_BYTES = 8;
const ZERO = 0x30;
const NINE = 0x39;

/** Offsets per field line in `spans`: start and end of the name, start and end of the value. */
const SPAN_OFFSETS = 4;

const NO_BYTES = Buffer.alloc(0);

/**
 * The grammar of a start line and of field lines (RFC 9112 §2 to §5), without their meaning. Each
 * byte is judged once. A head that arrives in one piece is read where it lies; one that is cut is
 * gathered in a buffer of its own (at most `headBytesMax`) and the automaton goes on where it stopped,
 * so that the cutting changes nothing. Holds no socket and no timer; throws nothing.
 *
 * After `Complete`, `spans` and the other results are offsets into `text` until the next `begin`.
 */
export class HeadParser {
  /** Offset in the latest `parse` argument just after the last byte taken. */
  consumed = 0;
  violation: Violation = NO_VIOLATION;
  /** The whole section as latin1; the strings of the head are cut out of it. */
  text = '';
  /** Name start, name end, value start, value end of each field line, as offsets into `text`. */
  readonly spans: number[] = [];
  fieldCount = 0;
  /** The bytes of the section and where in them it begins: valid until the next `parse`. */
  bytes: Uint8Array = NO_BYTES;
  origin = 0;
  /** Request: the method is `text[0, methodEnd)`, the target `text[methodEnd + 1, targetEnd)`. */
  methodEnd = 0;
  targetEnd = 0;
  /** Minor version: 0 or 1. */
  minor = 1;
  /** Response: the status code, 100 to 999. */
  status = 0;

  readonly #limits: HttpLimits;
  #kind: SectionKind;
  #state: State = State.Start;
  #leadingLine = false;
  /** Offset from the origin at which the automaton goes on. */
  #at = 0;
  /** Offset from the origin of the token being read, and of the value being read. */
  #mark = 0;
  /** The section so far where it was cut, and how much of the buffer that is. */
  #gathered: Buffer = NO_BYTES;
  #gatheredBytes = 0;
  #bytesMax = 0;
  #fieldsMax = 0;
  #startLineMax = 0;

  constructor(kind: SectionKind, limits: HttpLimits) {
    this.#limits = limits;
    this.#kind = kind;
    this.begin(kind);
  }

  /** Prepares for the next section and frees what the last one held. */
  begin(kind: SectionKind): void {
    this.#kind = kind;
    this.#state = kind === SectionKind.Trailers ? State.FirstField : State.Start;
    this.#leadingLine = false;
    this.#at = 0;
    this.#mark = 0;
    this.#gatheredBytes = 0;
    this.#gathered = NO_BYTES;
    this.bytes = NO_BYTES;
    this.text = '';
    this.fieldCount = 0;
    this.methodEnd = 0;
    this.targetEnd = 0;
    this.minor = 1;
    this.status = 0;
    this.violation = NO_VIOLATION;
    const trailers = kind === SectionKind.Trailers;
    this.#bytesMax = trailers ? this.#limits.trailerBytesMax : this.#limits.headBytesMax;
    this.#fieldsMax = trailers ? this.#limits.trailerCountMax : this.#limits.headerCountMax;
    this.#startLineMax = Math.min(this.#bytesMax, this.#limits.startLineBytesMax);
  }

  /** Whether bytes of this section have arrived; an empty line before a request line does not count. */
  get started(): boolean {
    return this.#at > 0;
  }

  /** Takes bytes from `start` on. After `Complete` or `Failed`, `begin` has to come first. */
  parse(chunk: Buffer, start: number): ParseResult {
    if (this.#gatheredBytes > 0) return this.#parseGathered(chunk, start);
    this.bytes = chunk;
    this.origin = start;
    const result = this.#scan(chunk, start, start, chunk.length);
    // An empty line before the request line moves the origin.
    this.consumed = this.origin + this.#at;
    if (result === ParseResult.NeedMore) {
      this.#gather(chunk, this.origin, chunk.length);
      this.consumed = chunk.length;
    } else if (result === ParseResult.Complete) {
      this.text = chunk.toString('latin1', this.origin, this.consumed);
    }
    return result;
  }

  #parseGathered(chunk: Buffer, start: number): ParseResult {
    const before = this.#gatheredBytes;
    this.#gather(chunk, start, chunk.length);
    const bytes = this.#gathered;
    this.bytes = bytes;
    this.origin = 0;
    const result = this.#scan(bytes, this.#at, 0, this.#gatheredBytes);
    if (result === ParseResult.NeedMore) {
      this.consumed = chunk.length;
      return result;
    }
    this.consumed = start + this.#at - before;
    if (result === ParseResult.Complete) this.text = bytes.toString('latin1', 0, this.#at);
    return result;
  }

  /** Copies as much as the limit allows: the scan fails at the limit and never asks for the rest. */
  #gather(chunk: Buffer, start: number, end: number): void {
    const held = this.#gatheredBytes;
    const total = Math.min(held + end - start, this.#bytesMax);
    if (total > this.#gathered.length) {
      const grown = Buffer.allocUnsafe(Math.min(Math.max(total * 2, 1024), this.#bytesMax));
      this.#gathered.copy(grown, 0, 0, held);
      this.#gathered = grown;
    }
    chunk.copy(this.#gathered, held, start, start + total - held);
    this.#gatheredBytes = total;
  }

  /** Runs the automaton over `bytes[from, end)`; `sectionStart` is where the section begins in them. */
  #scan(bytes: Uint8Array, from: number, sectionStart: number, end: number): ParseResult {
    let at = from;
    let origin = sectionStart;
    if (this.#state <= State.StartLf) {
      at = this.#scanStartLine(bytes, from, origin, end);
      if (at < 0) return ParseResult.Failed;
      origin = this.origin;
    }
    if (this.#state >= State.FirstField) {
      at = this.#scanFields(bytes, at, origin, end);
      if (at < 0) return ParseResult.Failed;
    }
    this.#at = at - origin;
    if (this.#state === State.Done) return ParseResult.Complete;
    // The window ends where the limit does, so that a limit is met at the same byte however it is cut.
    if (this.#at < this.#windowBytes(this.#state)) return ParseResult.NeedMore;
    this.violation = this.#limitViolation();
    return ParseResult.Failed;
  }

  /** Leaves the offset where it stopped, or -1 for a violation; moves `origin` past an empty line. */
  #scanStartLine(bytes: Uint8Array, from: number, sectionStart: number, end: number): number {
    let origin = sectionStart;
    let at = from;
    let state = this.#state;
    let limit = Math.min(end, origin + this.#startLineMax);
    while (at < limit && state <= State.StartLf) {
      const byte = bytes[at]!;
      switch (state) {
        case State.Start:
          if (byte === CR && this.#kind === SectionKind.Request && !this.#leadingLine) {
            // RFC 9112 §2.2: one empty line before a request line is ignored.
            this.#leadingLine = true;
            state = State.LeadingLf;
            at++;
            origin++;
            break;
          }
          if (byte === CR) return this.#fail(LEADING_EMPTY_LINES);
          if (byte === LF) return this.#fail(BARE_LF);
          state = this.#kind === SectionKind.Request ? State.Method : State.Version;
          break;
        case State.LeadingLf:
          if (byte !== LF) return this.#fail(BARE_CR);
          at++;
          origin = at;
          limit = Math.min(end, origin + this.#startLineMax);
          state = State.Start;
          break;
        case State.Method:
          while (at < limit && TCHAR[bytes[at]!] === 1) at++;
          if (at === limit) break;
          if (bytes[at] !== SP || at === origin) return this.#fail(INVALID_METHOD);
          this.methodEnd = at - origin;
          at++;
          state = State.Target;
          break;
        case State.Target: {
          while (at < limit && TARGET[bytes[at]!] === 1) at++;
          if (at === limit) break;
          const stop = bytes[at]!;
          if (stop !== SP) {
            // `GET /path` CRLF is HTTP/0.9.
            return this.#fail(stop === CR || stop === LF ? INVALID_REQUEST_LINE : INVALID_TARGET);
          }
          this.targetEnd = at - origin;
          if (this.targetEnd === this.methodEnd + 1) return this.#fail(INVALID_REQUEST_LINE);
          at++;
          this.#mark = at - origin;
          state = State.Version;
          break;
        }
        case State.Version: {
          const index = at - origin - this.#mark;
          if (index === VERSION_BYTES - 1) {
            if (byte < ZERO || byte > NINE) return this.#fail(INVALID_VERSION);
            if (byte > ZERO + 1) return this.#fail(UNSUPPORTED_VERSION);
            this.minor = byte - ZERO;
            state = State.VersionEnd;
          } else if (byte !== VERSION_PREFIX[index]) {
            const otherMajor = index === 5 && byte >= ZERO && byte <= NINE;
            return this.#fail(otherMajor ? UNSUPPORTED_VERSION : INVALID_VERSION);
          }
          at++;
          break;
        }
        case State.VersionEnd:
          if (this.#kind === SectionKind.Request) {
            if (byte !== CR) return this.#fail(byte === LF ? BARE_LF : INVALID_VERSION);
            state = State.StartLf;
          } else {
            if (byte !== SP) return this.#fail(INVALID_STATUS_LINE);
            this.#mark = at + 1 - origin;
            state = State.Status;
          }
          at++;
          break;
        case State.Status:
          if (byte < ZERO || byte > NINE) return this.#fail(INVALID_STATUS_LINE);
          this.status = this.status * 10 + byte - ZERO;
          at++;
          if (at - origin - this.#mark < 3) break;
          if (this.status < 100) return this.#fail(INVALID_STATUS_LINE);
          state = State.StatusEnd;
          break;
        case State.StatusEnd:
          // RFC 9112 §4 wants the blank even before an empty reason; servers leave it out, and nobody
          // reads the line differently without it.
          if (byte === SP) state = State.Reason;
          else if (byte === CR) state = State.StartLf;
          else return this.#fail(byte === LF ? BARE_LF : INVALID_STATUS_LINE);
          at++;
          break;
        case State.Reason:
          if (FIELD_CONTENT[byte] !== 1) {
            if (byte !== CR) return this.#fail(byte === LF ? BARE_LF : INVALID_STATUS_LINE);
            state = State.StartLf;
          }
          at++;
          break;
        case State.StartLf:
          if (byte !== LF) return this.#fail(BARE_CR);
          at++;
          state = State.FirstField;
          break;
      }
    }
    this.#state = state;
    this.origin = origin;
    return at;
  }

  /**
   * Leaves the offset where it stopped, or -1 for a violation. The states of one field line stand in
   * their order, so that a line at hand is read straight through.
   */
  #scanFields(bytes: Uint8Array, from: number, origin: number, end: number): number {
    const limit = Math.min(end, origin + this.#bytesMax);
    const spans = this.spans;
    let at = from;
    let state = this.#state;
    while (at < limit) {
      if (state === State.NextField || state === State.FirstField) {
        const byte = bytes[at]!;
        if (byte === CR) {
          at++;
          state = State.EndLf;
          continue;
        }
        if (byte === SP || byte === HTAB) {
          const first = state === State.FirstField;
          return this.#fail(first ? SPACE_BEFORE_FIRST_FIELD : OBSOLETE_LINE_FOLDING);
        }
        if (byte === LF) return this.#fail(BARE_LF);
        if (this.fieldCount === this.#fieldsMax) return this.#fail(TOO_MANY_HEADERS);
        this.#mark = at - origin;
        state = State.Name;
      }
      if (state === State.Name) {
        while (at < limit && TCHAR[bytes[at]!] === 1) at++;
        if (at === limit) break;
        const byte = bytes[at]!;
        const nameEnd = at - origin;
        if (byte !== COLON || nameEnd === this.#mark) {
          const blank = (byte === SP || byte === HTAB) && nameEnd > this.#mark;
          return this.#fail(blank ? SPACE_BEFORE_COLON : INVALID_FIELD_NAME);
        }
        const span = this.fieldCount * SPAN_OFFSETS;
        spans[span] = this.#mark;
        spans[span + 1] = nameEnd;
        at++;
        state = State.ValueStart;
      }
      if (state === State.ValueStart) {
        while (at < limit && isBlank(bytes[at]!)) at++;
        if (at === limit) break;
        this.#mark = at - origin;
        state = State.Value;
      }
      if (state === State.Value) {
        while (at < limit && FIELD_CONTENT[bytes[at]!] === 1) at++;
        if (at === limit) break;
        const byte = bytes[at]!;
        if (byte !== CR) return this.#fail(byte === LF ? BARE_LF : INVALID_FIELD_VALUE);
        const valueStart = origin + this.#mark;
        let valueEnd = at;
        while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd--;
        const span = this.fieldCount * SPAN_OFFSETS;
        spans[span + 2] = this.#mark;
        spans[span + 3] = valueEnd - origin;
        this.fieldCount++;
        at++;
        state = State.ValueLf;
        if (at === limit) break;
      }
      if (bytes[at] !== LF) return this.#fail(BARE_CR);
      at++;
      if (state === State.EndLf) {
        state = State.Done;
        break;
      }
      state = State.NextField;
    }
    this.#state = state;
    return at;
  }

  #limitViolation(): Violation {
    if (this.#kind === SectionKind.Trailers) return TRAILERS_TOO_LARGE;
    const inStartLine = this.#state <= State.StartLf && this.#startLineMax < this.#bytesMax;
    return inStartLine ? START_LINE_TOO_LONG : HEAD_TOO_LARGE;
  }

  #windowBytes(state: State): number {
    return state <= State.StartLf ? this.#startLineMax : this.#bytesMax;
  }

  /** -1, for the scans. */
  #fail(violation: Violation): number {
    this.violation = violation;
    return -1;
  }
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
