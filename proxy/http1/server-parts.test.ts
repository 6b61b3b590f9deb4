import { expect, test } from 'vitest';
import { ResponseHead } from '../http/message.ts';
import type { BodySink, ServerStream } from '../http/stream.ts';
import { Http1ServerConnection, http1ServerOptions } from './server-connection.ts';
import { partsPoolOf } from './server-parts.ts';

const NO_SINK: BodySink = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} };

/** Connections of one listener; what each was asked and has written, by its number. */
function connections(count: number) {
  const options = http1ServerOptions();
  const streams: ServerStream[] = [];
  const written: string[] = [];
  const made = Array.from({ length: count }, (_, at) => {
    written.push('');
    const transport = {
      write(bytes: Buffer | string) {
        written[at] += bytes.toString('latin1');
        return true;
      },
      end() {},
      closeAfterFlush() {},
      destroy() {},
      reset() {},
      abort() {},
      pauseReading() {},
      resumeReading() {},
      bufferedBytes: 0,
      destroyed: false,
    };
    return new Http1ServerConnection(
      transport as never,
      {
        onRequest(stream: ServerStream) {
          streams[at] = stream;
          return NO_SINK;
        },
        onProtocolError() {},
      } as never,
      options,
    );
  });
  return { options, streams, written, made };
}

test('connections that take turns share the parts, those under way at one time do not', () => {
  const { options, streams, written, made } = connections(3);
  const pool = partsPoolOf(options);
  const ask = (at: number) =>
    made[at]!.receive(Buffer.from(`GET /${at} HTTP/1.1\r\nhost: a\r\n\r\n`));
  const answer = (at: number) =>
    streams[at]!.writeHead(new ResponseHead(200, ['x-of', `${at}`]), true);
  ask(0);
  answer(0);
  const spare = pool.take();
  pool.give(spare);
  ask(1);
  expect(pool.take()).not.toBe(spare); // connection 1 has them
  ask(2);
  answer(2);
  answer(1);
  expect(written.map((text) => /x-of: (.)/.exec(text)?.[1])).toEqual(['0', '1', '2']);
  for (const connection of made) expect(connection.state).toBe('idle');
});

test('a head that is cut keeps its parts until it is complete', () => {
  const { options, streams, written, made } = connections(2);
  made[0]!.receive(Buffer.from('GET /0 HTTP/1.1\r\nho'));
  expect(made[0]!.state).toBe('head');
  made[1]!.receive(Buffer.from('GET /1 HTTP/1.1\r\nhost: b\r\n\r\n'));
  streams[1]!.writeHead(new ResponseHead(204, []), true);
  made[0]!.receive(Buffer.from('st: a\r\n\r\n'));
  streams[0]!.writeHead(new ResponseHead(201, []), true);
  expect(written[0]).toMatch(/^HTTP\/1\.1 201 /);
  expect(written[1]).toMatch(/^HTTP\/1\.1 204 /);
  expect(partsPoolOf(options)).toBe(partsPoolOf(options));
});

test('a stream whose exchange is over writes nothing, whoever has its parts now', () => {
  const { streams, written, made } = connections(2);
  made[0]!.receive(Buffer.from('GET /0 HTTP/1.1\r\nhost: a\r\n\r\n'));
  const old = streams[0]!;
  old.writeHead(new ResponseHead(200, []), true);
  made[1]!.receive(Buffer.from('GET /1 HTTP/1.1\r\nhost: b\r\n\r\n'));
  streams[1]!.writeHead(new ResponseHead(200, ['content-length', '3']), false);
  const before = written[0];
  old.writeData(Buffer.from('late'), true);
  old.writeTrailers(['x', 'y']);
  old.reset('localReset' as never);
  streams[1]!.writeData(Buffer.from('abc'), true);
  expect(written[0]).toBe(before);
  expect(written[1]).toMatch(/\r\n\r\nabc$/);
});
