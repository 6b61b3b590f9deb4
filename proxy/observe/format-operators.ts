import { hostname } from 'node:os';
import { nearest } from '../../proto/nearest.ts';
import type { FormatCommand, FormatProblem } from './format-parser.ts';
import type { RequestRecord } from './request-record.ts';
import { responseFlags } from './request-record.ts';
import { compileTimeFormat } from './time-format.ts';

/**
 * The commands of Envoy's access-log formats that Weft knows, each as a reader of the request
 * record. An unknown or unsupported command is a problem with its position, so that a log never
 * misses a field in silence.
 */

/** '' stands for absent: `-` in text, null in typed JSON. */
export type TextReader = (record: RequestRecord) => string;

/** A number, -1 for absent. */
export type NumberReader = (record: RequestRecord) => number;

export type Operator =
  | { readonly kind: 'text'; readonly read: TextReader }
  | { readonly kind: 'number'; readonly read: NumberReader };

/** What a command reads, or why it cannot be had. */
export function compileOperator(command: FormatCommand): Operator | FormatProblem {
  const { name, argument, hasArgument } = command;
  const header = HEADER_OPERATORS.get(name);
  if (header !== undefined) {
    const read = header(argument);
    return typeof read === 'string' ? at(command, read) : { kind: 'text', read };
  }
  if (name === 'START_TIME') {
    const format = compileTimeFormat(argument);
    if (typeof format !== 'function') return at(command, format.problem);
    return text((record) => format(record.startTimeMs));
  }
  if (name === 'GRPC_STATUS') return grpcStatus(command);
  const simple = SIMPLE_OPERATORS.get(name);
  if (simple === undefined) return at(command, unknownCommand(name));
  if (hasArgument) return at(command, 'takes no argument');
  return simple;
}

const HEADER_OPERATORS: ReadonlyMap<string, (argument: string) => TextReader | string> = new Map([
  ['REQ', (argument: string) => headerReader(argument, requestHeader)],
  ['REQ_WITHOUT_QUERY', (argument: string) => headerReader(argument, requestHeaderWithoutQuery)],
  ['RESP', (argument: string) => headerReader(argument, responseHeader)],
  ['TRAILER', (argument: string) => headerReader(argument, responseTrailer)],
]);

type HeaderSource = (name: string) => TextReader;

/** `A` or `A?B`: B where A is absent. */
function headerReader(argument: string, source: HeaderSource): TextReader | string {
  const [first = '', second, ...rest] = argument.split('?');
  if (rest.length > 0) return `'${argument}' names more than two headers`;
  for (const name of second === undefined ? [first] : [first, second]) {
    if (!HEADER_NAME.test(name)) return `'${name}' is no header name; write e.g. (X-REQUEST-ID)`;
  }
  const main = source(first.toLowerCase());
  if (second === undefined) return main;
  const alternative = source(second.toLowerCase());
  return (record) => main(record) || alternative(record);
}
const HEADER_NAME = /^:?[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;

function requestHeader(name: string): TextReader {
  switch (name) {
    case ':method':
      return (record) => record.method;
    case ':path':
      return (record) => record.path;
    case ':authority':
    case 'host':
      return (record) => record.authority;
    case ':scheme':
      return (record) => record.scheme;
    case 'x-request-id':
      return (record) => record.requestId || first(record.requestHeaders, name);
    default:
      return (record) => first(record.requestHeaders, name);
  }
}

function requestHeaderWithoutQuery(name: string): TextReader {
  const read = requestHeader(name);
  return (record) => {
    const value = read(record);
    const query = value.indexOf('?');
    return query < 0 ? value : value.slice(0, query);
  };
}

function responseHeader(name: string): TextReader {
  if (name === ':status') return (record) => (record.status === 0 ? '' : String(record.status));
  return (record) => first(record.responseHeaders, name);
}

function responseTrailer(name: string): TextReader {
  return (record) => first(record.responseTrailers, name);
}

/** The first value of `name` (lower case) in a header block, or ''. */
function first(block: readonly string[], name: string): string {
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] === name) return block[at + 1]!;
  }
  return '';
}

function text(read: TextReader): Operator {
  return { kind: 'text', read };
}

function number(read: NumberReader): Operator {
  return { kind: 'number', read };
}

/** Whole milliseconds, cut as Envoy does, between two moments; -1 where either was not reached. */
function between(from: number, to: number): number {
  return from === 0 || to === 0 ? -1 : Math.max(0, Math.floor(to - from));
}

const thisHost = hostname();

const SIMPLE_OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ['PROTOCOL', text((record) => record.protocol)],
  ['RESPONSE_CODE', number((record) => record.status)],
  ['RESPONSE_CODE_DETAILS', text((record) => record.responseCodeDetails)],
  ['CONNECTION_TERMINATION_DETAILS', text((record) => record.connectionTerminationDetails)],
  ['RESPONSE_FLAGS', text((record) => responseFlags(record.flags))],
  ['BYTES_RECEIVED', number((record) => record.bytesReceived)],
  ['BYTES_SENT', number((record) => record.bytesSent)],
  ['DURATION', number((record) => between(record.startMs, record.endMs))],
  ['REQUEST_DURATION', number((record) => between(record.startMs, record.requestEndMs))],
  ['RESPONSE_DURATION', number((record) => between(record.startMs, record.responseStartMs))],
  ['RESPONSE_TX_DURATION', number((record) => between(record.responseStartMs, record.endMs))],
  ['UPSTREAM_HOST', text((record) => record.upstreamHost)],
  ['UPSTREAM_REMOTE_ADDRESS', text((record) => record.upstreamHost)],
  ['UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT', text((record) => withoutPort(record.upstreamHost))],
  ['UPSTREAM_REMOTE_PORT', number((record) => port(record.upstreamHost))],
  ['UPSTREAM_CLUSTER', text((record) => record.upstreamCluster)],
  ['UPSTREAM_CLUSTER_RAW', text((record) => record.upstreamCluster)],
  ['UPSTREAM_LOCAL_ADDRESS', text((record) => record.upstreamLocalAddress)],
  ['UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT', text((r) => withoutPort(r.upstreamLocalAddress))],
  ['UPSTREAM_LOCAL_PORT', number((record) => port(record.upstreamLocalAddress))],
  ['UPSTREAM_REQUEST_ATTEMPT_COUNT', number((record) => record.attempts)],
  ['UPSTREAM_TRANSPORT_FAILURE_REASON', text((record) => record.upstreamTransportFailureReason)],
  ['UPSTREAM_PEER_URI_SAN', text((record) => record.upstreamPeerPrincipal)],
  ['DOWNSTREAM_LOCAL_ADDRESS', text((record) => record.downstream.localAddress)],
  [
    'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
    text((record) => withoutPort(record.downstream.localAddress)),
  ],
  ['DOWNSTREAM_LOCAL_PORT', number((record) => port(record.downstream.localAddress))],
  ['DOWNSTREAM_REMOTE_ADDRESS', text((record) => record.downstream.remoteAddress)],
  [
    'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
    text((record) => withoutPort(record.downstream.remoteAddress)),
  ],
  ['DOWNSTREAM_REMOTE_PORT', number((record) => port(record.downstream.remoteAddress))],
  ['DOWNSTREAM_DIRECT_REMOTE_ADDRESS', text((record) => record.downstream.remoteAddress)],
  [
    'DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT',
    text((record) => withoutPort(record.downstream.remoteAddress)),
  ],
  ['DOWNSTREAM_DIRECT_REMOTE_PORT', number((record) => port(record.downstream.remoteAddress))],
  ['DOWNSTREAM_PEER_URI_SAN', text((record) => record.downstream.peerPrincipal)],
  ['DOWNSTREAM_LOCAL_URI_SAN', text((record) => record.downstream.localPrincipal)],
  ['REQUESTED_SERVER_NAME', text((record) => record.downstream.requestedServerName)],
  ['ROUTE_NAME', text((record) => record.routeName)],
  ['VIRTUAL_HOST_NAME', text((record) => record.virtualHost)],
  ['GRPC_STATUS_NUMBER', number((record) => record.grpcStatus)],
  ['TRACE_ID', text((record) => record.traceId)],
  ['STREAM_ID', text((record) => record.requestId)],
  ['HOSTNAME', text(() => thisHost)],
]);

/** `%GRPC_STATUS%` and its three spellings. */
function grpcStatus(command: FormatCommand): Operator | FormatProblem {
  const style = command.argument || 'CAMEL_STRING';
  if (style === 'NUMBER') return number((record) => record.grpcStatus);
  if (style !== 'CAMEL_STRING' && style !== 'SNAKE_STRING') {
    return at(command, `knows CAMEL_STRING, SNAKE_STRING and NUMBER, not '${style}'`);
  }
  const names = style === 'SNAKE_STRING' ? GRPC_STATUS_NAMES : GRPC_STATUS_NAMES.map(camel);
  return text(({ grpcStatus: status }) => (status < 0 ? '' : (names[status] ?? String(status))));
}

const GRPC_STATUS_NAMES = (
  'OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED ' +
  'RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED'
).split(' ');

/** Envoy spells cancelled with one l, and OK as it is. */
function camel(name: string): string {
  if (name === 'OK') return name;
  if (name === 'CANCELLED') return 'Canceled';
  return name
    .split('_')
    .map((word) => word[0]! + word.slice(1).toLowerCase())
    .join('');
}

/** `[::1]:80` → `::1`, `10.0.0.1:80` → `10.0.0.1`. */
function withoutPort(address: string): string {
  const colon = address.lastIndexOf(':');
  if (colon < 0) return address;
  return address.startsWith('[') ? address.slice(1, colon - 1) : address.slice(0, colon);
}

function port(address: string): number {
  const colon = address.lastIndexOf(':');
  return colon < 0 ? -1 : Number(address.slice(colon + 1));
}

function at(command: FormatCommand, problem: string): FormatProblem {
  return { problem: `%${command.name}% at position ${command.position}: ${problem}` };
}

function unknownCommand(name: string): string {
  const known = [...SIMPLE_OPERATORS.keys(), ...HEADER_OPERATORS.keys(), 'START_TIME'];
  const close = nearest(name, known);
  const hint = close === undefined ? '' : `; did you mean %${close}%?`;
  return `no such command is supported${hint}`;
}
