import {
  type HeaderBlock,
  headerValue,
  removeHeader,
  setHeader,
  setOwnHeader,
} from '../http/header-block.ts';
import { type TextBuffer, writeRandomHex } from './random-hex.ts';

/**
 * The trace context of one request (OB-10): W3C `traceparent` / `tracestate`, B3 single and multi.
 * What is malformed is dropped and made anew (A7.5); a valid one is continued as a child span; the
 * caller's sampling decision is honoured.
 */
export interface TraceContext {
  /** 32 lower-case hex digits, '' where there is no trace. */
  traceId: string;
  /** 16 lower-case hex digits: the span of this proxy's request. */
  spanId: string;
  /** The caller's span, '' at the root. */
  parentSpanId: string;
  /** 1 sampled, 0 not sampled, -1 where the caller left it open. */
  sampled: number;
  /** What the upstream is told of it, from `beginSpan` on. */
  traceparent: string;
  /** Which formats the caller used, to be answered in: OR of `Format`. */
  formats: number;
}

export const Format = { W3C: 1, B3_SINGLE: 2, B3_MULTI: 4 } as const;

export function newTraceContext(): TraceContext {
  return { traceId: '', spanId: '', parentSpanId: '', sampled: -1, traceparent: '', formats: 0 };
}

const B3_MULTI_NAMES = [
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
] as const;
/** A bit for each length that a name below has: few other fields are as long, and those alone are compared. */
const NAME_LENGTHS = ['traceparent', 'tracestate', 'baggage', 'b3', ...B3_MULTI_NAMES].reduce(
  (lengths, name) => lengths | (1 << name.length),
  0,
);
/** W3C Trace Context §3.3.1.1: at most 32 list members; propagate at least 512 characters. */
const TRACESTATE_MEMBERS_MAX = 32;
const TRACESTATE_LENGTH_MAX = 512;
/** W3C Baggage §3.3.2: limits beyond which a platform may drop it. */
const BAGGAGE_BYTES_MAX = 8192;

/**
 * Reads the context of a request into `context`, in the order W3C, B3 single, B3 multi; takes
 * malformed fields off. A request without any leaves `traceId` ''.
 */
export function readTraceContext(headers: HeaderBlock, context: TraceContext): void {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!;
    if (((NAME_LENGTHS >>> name.length) & 1) === 0) continue;
    switch (name) {
      case 'traceparent':
      case 'tracestate':
      case 'baggage':
        context.formats |= Format.W3C;
        break;
      case 'b3':
        context.formats |= Format.B3_SINGLE;
        break;
      case 'x-b3-traceid':
      case 'x-b3-spanid':
      case 'x-b3-parentspanid':
      case 'x-b3-sampled':
      case 'x-b3-flags':
        context.formats |= Format.B3_MULTI;
        break;
    }
  }
  const present = context.formats;
  if (present === 0) return;
  context.formats = 0;
  if ((present & Format.W3C) !== 0) readW3c(headers, context);
  if ((present & Format.B3_SINGLE) !== 0) readB3Single(headers, context);
  if ((present & Format.B3_MULTI) !== 0) readB3Multi(headers, context);
}

function readW3c(headers: HeaderBlock, context: TraceContext): void {
  const parent = soleValue(headers, 'traceparent');
  if (parent !== null && isTraceparent(parent)) {
    adopt(context, parent.slice(3, 35), parent.slice(36, 52), hexDigit(parent, 54) & 1);
    context.formats |= Format.W3C;
    limitTracestate(headers);
  } else {
    removeHeader(headers, 'traceparent');
    // §3.3: without its parent the state says nothing.
    removeHeader(headers, 'tracestate');
  }
  if (totalLength(headers, 'baggage') > BAGGAGE_BYTES_MAX) removeHeader(headers, 'baggage');
}

/** `b3: {trace}-{span}[-{sampled}[-{parent}]]`, or `0`, `1`, `d` alone. */
function readB3Single(headers: HeaderBlock, context: TraceContext): void {
  const value = soleValue(headers, 'b3');
  if (value === null || !readB3Value(value, context)) removeHeader(headers, 'b3');
  else context.formats |= Format.B3_SINGLE;
}

function readB3Value(value: string, context: TraceContext): boolean {
  const alone = b3Sampled(value);
  if (alone >= 0) {
    if (context.sampled < 0) context.sampled = alone;
    return true;
  }
  if (value.length > B3_LENGTH_MAX) return false;
  const [trace = '', span = '', state = '', parent = '', excess] = value.split('-');
  if (excess !== undefined || !isTraceId(trace) || !isSpanId(span)) return false;
  if (state !== '' && b3Sampled(state) < 0) return false;
  if (parent !== '' && !isSpanId(parent)) return false;
  adopt(context, trace, span, b3Sampled(state));
  return true;
}

function readB3Multi(headers: HeaderBlock, context: TraceContext): void {
  const trace = soleValue(headers, 'x-b3-traceid');
  const span = soleValue(headers, 'x-b3-spanid');
  const sampled = headerValue(headers, 'x-b3-flags') === '1' ? 1 : b3Multi(headers);
  if (trace !== null && span !== null && isTraceId(trace) && isSpanId(span)) {
    adopt(context, trace, span, sampled);
    context.formats |= Format.B3_MULTI;
    return;
  }
  for (const name of B3_MULTI_NAMES) removeHeader(headers, name);
  // A decision may travel alone (`x-b3-sampled: 0`).
  if (trace === null && span === null && sampled >= 0) {
    if (context.sampled < 0) context.sampled = sampled;
    context.formats |= Format.B3_MULTI;
  }
}

/** `x-b3-sampled`; some old tracers write `true`. */
function b3Multi(headers: HeaderBlock): number {
  const value = headerValue(headers, 'x-b3-sampled');
  if (value === 'true') return 1;
  return value === 'false' ? 0 : b3Sampled(value);
}

/** The first valid format wins; what another one says about sampling fills a gap. */
function adopt(context: TraceContext, trace: string, span: string, sampled: number): void {
  if (context.traceId === '') {
    context.traceId = trace.length === 16 ? `0000000000000000${trace}` : trace;
    context.parentSpanId = span;
  }
  if (context.sampled < 0) context.sampled = sampled;
}

/**
 * Makes this proxy's span, a child of the caller's or the root of a new trace, and its `traceparent`: one flat string, of
 * which new ids are parts.
 */
export function beginSpan(context: TraceContext, sampled: boolean): void {
  const { traceId } = context;
  if (traceId === '') writeRandomHex(parentText, TRACE_AT, 16);
  else for (let at = 0; at < 32; at++) parentText[TRACE_AT + at] = traceId.charCodeAt(at);
  writeRandomHex(parentText, SPAN_AT, 8);
  parentText[TRACEPARENT_LENGTH - 1] = sampled ? 0x31 : 0x30;
  const traceparent = parentText.latin1Slice(0, TRACEPARENT_LENGTH);
  context.traceparent = traceparent;
  if (traceId === '') context.traceId = traceparent.slice(TRACE_AT, TRACE_AT + 32);
  context.spanId = traceparent.slice(SPAN_AT, SPAN_AT + 16);
}

/**
 * Writes the context for the upstream: `traceparent` always, B3 where the caller spoke it. The
 * caller's `tracestate` and `baggage` stay as they are.
 */
export function writeTraceContext(
  headers: HeaderBlock,
  context: TraceContext,
  sampled: boolean,
): void {
  const { traceId, spanId, parentSpanId, formats } = context;
  setOwnHeader(headers, 'traceparent', context.traceparent);
  const decision = sampled ? '1' : '0';
  if ((formats & Format.B3_SINGLE) !== 0) {
    const parent = parentSpanId === '' ? '' : `-${parentSpanId}`;
    setHeader(headers, 'b3', `${traceId}-${spanId}-${decision}${parent}`);
  }
  if ((formats & Format.B3_MULTI) !== 0) {
    setHeader(headers, 'x-b3-traceid', traceId);
    setHeader(headers, 'x-b3-spanid', spanId);
    if (parentSpanId !== '') setHeader(headers, 'x-b3-parentspanid', parentSpanId);
    setHeader(headers, 'x-b3-sampled', decision);
  }
}

/**
 * `version-traceid-parentid-flags` (W3C Trace Context §3.2). Version `ff` is invalid; a later version
 * may go on after a dash, and is read as 00; ids of zeros are invalid.
 */
function isTraceparent(value: string): boolean {
  if (value.length < TRACEPARENT_LENGTH || value.length > TRACEPARENT_LENGTH_MAX) return false;
  if (value[2] !== '-' || value[35] !== '-' || value[52] !== '-') return false;
  if (!isLowerHex(value, 0, 2) || !isLowerHex(value, 53, 55)) return false;
  if (value.startsWith('ff')) return false;
  if (value.length > TRACEPARENT_LENGTH && (value.startsWith('00') || value[55] !== '-')) {
    return false;
  }
  return (
    isLowerHex(value, 3, 35) &&
    isLowerHex(value, 36, 52) &&
    !isZero(value, 3, 35) &&
    !isZero(value, 36, 52)
  );
}

const TRACEPARENT_LENGTH = 55;
const TRACEPARENT_LENGTH_MAX = 256;
/** 32 + 16 + 1 + 16 digits and their dashes. */
const B3_LENGTH_MAX = 68;

/** Keeps the first members within the limits ("drop from the right"). */
function limitTracestate(headers: HeaderBlock): void {
  let joined = '';
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== 'tracestate') continue;
    joined = joined === '' ? headers[at + 1]! : `${joined},${headers[at + 1]!}`;
  }
  if (joined === '') return;
  if (
    joined.length <= TRACESTATE_LENGTH_MAX &&
    joined.split(',').length <= TRACESTATE_MEMBERS_MAX
  ) {
    return;
  }
  const kept: string[] = [];
  let length = 0;
  for (const member of joined.split(',', TRACESTATE_MEMBERS_MAX)) {
    length += member.length + 1;
    if (length > TRACESTATE_LENGTH_MAX + 1) break;
    kept.push(member);
  }
  if (kept.length === 0) removeHeader(headers, 'tracestate');
  else setHeader(headers, 'tracestate', kept.join(','));
}

/** The value of a field that may stand only once; null where it is absent or repeated. */
function soleValue(headers: HeaderBlock, name: string): string | null {
  let value: string | null = null;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== name) continue;
    if (value !== null) return null;
    value = headers[at + 1]!;
  }
  return value;
}

function totalLength(headers: HeaderBlock, name: string): number {
  let length = 0;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === name) length += headers[at + 1]!.length + 1;
  }
  return length;
}

function b3Sampled(state: string): number {
  if (state === '1' || state === 'd') return 1;
  return state === '0' ? 0 : -1;
}

function isTraceId(text: string): boolean {
  const { length } = text;
  return (
    (length === 32 || length === 16) && isLowerHex(text, 0, length) && !isZero(text, 0, length)
  );
}

function isSpanId(text: string): boolean {
  return text.length === 16 && isLowerHex(text, 0, 16) && !isZero(text, 0, 16);
}

function isLowerHex(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

function isZero(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text.charCodeAt(at) !== 0x30) return false;
  return true;
}

function hexDigit(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code <= 0x39 ? code - 0x30 : code - 0x57;
}

/** Version 00, two ids of zeros and flags: written over for each span. */
const parentText = Buffer.from(`00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`) as TextBuffer;
const TRACE_AT = 3;
const SPAN_AT = 36;
