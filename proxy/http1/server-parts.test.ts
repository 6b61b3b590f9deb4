import { expect, test } from 'vitest';
import { ResponseHead } from '../http/message.ts';
import type { BodySink, ServerHandler, ServerStream } from '../http/stream.ts';
import { RecordingTransport } from './recorder.testing.ts';
import { Http1ServerConnection, http1ServerOptions } from './server-connection.ts';
import { partsPoolOf } from './server-parts.ts';

const NO_SINK: BodySink = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} };

/** Connections of one listener; what each was asked and has written, by its number. */
function connections(count: number) {
  const options = http1ServerOptions();
  const streams: ServerStream[] = [];
  const transports: RecordingTransport[] = [];
  const made = Array.from({ length: count }, (_, at) => {
    transports.push(new RecordingTransport());
    const handler: ServerHandler = {
      onRequest(stream: ServerStream) {
        streams[at] = stream;
        return NO_SINK;
      },
      onProtocolError() {},
    };
    return new Http1ServerConnection(transports[at]!, handler, options);
  });
  /** The parts that a connection would get now. */
  const spareParts = () => {
    const pool = partsPoolOf(options);
    const parts = pool.take(new RecordingTransport(), { flush() {} });
    pool.give(parts);
    return parts;
  };
  const ask = (at: number) =>
    made[at]!.receive(Buffer.from(`GET /${at} HTTP/1.1\r\nhost: a\r\n\r\n`));
  const answer = (at: number) =>
    streams[at]!.writeHead(new ResponseHead(200, ['x-of', `${at}`]), true);
  return { options, streams, transports, made, spareParts, ask, answer };
}

test('connections that take turns share the parts, those under way at one time do not', () => {
  const { transports, made, spareParts, ask, answer } = connections(3);
  ask(0);
  answer(0);
  transports[0]!.flush();
  const spare = spareParts();
  ask(1);
  expect(spareParts()).not.toBe(spare); // connection 1 has them
  ask(2);
  answer(2);
  answer(1);
  expect(transports.map(({ sent }) => /x-of: (.)/.exec(sent)?.[1])).toEqual(['0', '1', '2']);
  for (const connection of made) expect(connection.state).toBe('idle');
});

test('a connection keeps its parts until what it wrote is with the transport, and while that is full', () => {
  const { transports, made, spareParts, ask, answer } = connections(1);
  const [connection, transport] = [made[0]!, transports[0]!];
  const first = spareParts();
  ask(0);
  answer(0);
  const second = spareParts();
  expect(second).not.toBe(first);
  transport.flowing = false;
  transport.flush();
  expect(spareParts()).toBe(second);
  transport.flowing = true;
  connection.onTransportDrain();
  expect(spareParts()).toBe(first);
  expect(first.out.unused).toBe(true);
});

test('a head that is cut keeps its parts until it is complete', () => {
  const { options, streams, transports, made } = connections(2);
  made[0]!.receive(Buffer.from('GET /0 HTTP/1.1\r\nho'));
  expect(made[0]!.state).toBe('head');
  made[1]!.receive(Buffer.from('GET /1 HTTP/1.1\r\nhost: b\r\n\r\n'));
  streams[1]!.writeHead(new ResponseHead(204, []), true);
  made[0]!.receive(Buffer.from('st: a\r\n\r\n'));
  streams[0]!.writeHead(new ResponseHead(201, []), true);
  expect(transports[0]!.sent).toMatch(/^HTTP\/1\.1 201 /);
  expect(transports[1]!.sent).toMatch(/^HTTP\/1\.1 204 /);
  expect(partsPoolOf(options)).toBe(partsPoolOf(options));
});

test('a stream whose exchange is over writes nothing, whoever has its parts now', () => {
  const { streams, transports, ask, answer } = connections(2);
  ask(0);
  const old = streams[0]!;
  answer(0);
  const before = transports[0]!.sent;
  ask(1);
  streams[1]!.writeHead(new ResponseHead(200, ['content-length', '3']), false);
  old.writeData(Buffer.from('late'), true);
  old.writeTrailers(['x', 'y']);
  old.reset('localReset' as never);
  streams[1]!.writeData(Buffer.from('abc'), true);
  expect(transports[0]!.sent).toBe(before);
  expect(transports[1]!.sent).toMatch(/\r\n\r\nabc$/);
});
