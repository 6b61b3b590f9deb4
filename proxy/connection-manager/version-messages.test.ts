import { describe, expect, test } from 'vitest';
import { type Version, type VersionPath, versionPath } from '../../test/version-path.ts';

import { ResponseHead } from '../http/message.ts';

/** What a message is, whichever versions carry it: bodies, trailers, interim responses and their ends. */

const ONE_PROXY: readonly (readonly Version[])[] = [
  ['1.1', '1.1'],
  ['1.1', '2'],
  ['2', '1.1'],
  ['2', '2'],
];
const TWO_PROXIES: readonly (readonly Version[])[] = [
  ['1.1', '2', '1.1'],
  ['2', '2', '1.1'],
  ['1.1', '2', '2'],
  ['2', '1.1', '2'],
];
const PATHS = [...ONE_PROXY, ...TWO_PROXIES];

const MIB = 1024 * 1024;

describe.each(PATHS.map((path) => [path.join(' → '), path] as const))('%s', (_name, versions) => {
  const http1Hop = versions.includes('1.1');

  test('a request without a body has none, and no length is made up for GET (RFC 9110 §8.6)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) => request.respond(200, { body: ['ok'] });
    const answer = path.request({ method: 'GET', path: '/a?b=c', headers: ['x-a', '1'] });
    expect(path.app.last.head.method).toBe('GET');
    expect(path.app.last.head.path).toBe('/a?b=c');
    expect(path.app.last.head.authority).toBe('a.example');
    expect(path.app.last.fields).toEqual(['x-a: 1']);
    expect(path.app.last.field('content-length')).toBe(undefined);
    expect(path.app.last.bodyBytes).toBe(0);
    expect(path.app.last.ended).toBe(true);
    expect([answer.status, answer.body, answer.ended, answer.reset]).toEqual([200, 'ok', true, '']);
  });

  test('content-length is passed on with the body it announces, both ways (PR-04)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) =>
      request.respond(200, { headers: ['content-length', '6'], body: ['ans', 'wer'] });
    const answer = path.request({
      method: 'POST',
      headers: ['content-length', '5'],
      body: ['he', 'llo'],
    });
    expect(path.app.last.field('content-length')).toBe('5');
    expect([path.app.last.body, path.app.last.ended]).toEqual(['hello', true]);
    expect(answer.field('content-length')).toBe('6');
    expect([answer.body, answer.ended, answer.reset]).toEqual(['answer', true, '']);
  });

  test('a body of unknown length stays one (RFC 9112 §7.1, RFC 9113 §8.1)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) => request.respond(200, { body: ['a', 'b'] });
    const answer = path.request({ method: 'POST', body: ['x', 'y'] });
    expect(path.app.last.field('content-length')).toBe(undefined);
    expect(path.app.last.field('transfer-encoding')).toBe(undefined);
    expect([path.app.last.body, path.app.last.ended]).toEqual(['xy', true]);
    expect(answer.field('content-length')).toBe(undefined);
    expect(answer.field('transfer-encoding')).toBe(undefined);
    expect([answer.body, answer.ended]).toEqual(['ab', true]);
  });

  test('an empty body of length 0 is said to be one (RFC 9110 §8.6)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) => request.respond(200, { headers: ['content-length', '0'] });
    const answer = path.request({ method: 'POST', headers: ['content-length', '0'] });
    expect(path.app.last.field('content-length')).toBe('0');
    expect(path.app.last.ended).toBe(true);
    expect(answer.field('content-length')).toBe('0');
    expect([answer.bodyBytes, answer.ended]).toEqual([0, true]);
  });

  test('HEAD: the length of what is not sent is passed on (RFC 9110 §9.3.2)', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => {
      request.respond(200, { headers: ['content-length', '1234', 'etag', '"x"'], open: true });
      request.stream.writeData(Buffer.alloc(0), true);
    };
    const answer = path.request({ method: 'HEAD' });
    expect(answer.field('content-length')).toBe('1234');
    expect(answer.fields).toEqual(['etag: "x"']);
    expect([answer.bodyBytes, answer.ended, answer.reset]).toEqual([0, true, '']);
    // The connection is in step: the next answer is read from its first byte.
    expect(path.request({ method: 'HEAD' }).status).toBe(200);
  });

  test.each([204, 205, 304])('%d: no content, and the next exchange is in step', (status) => {
    const path = versionPath(versions);
    const headers = status === 304 ? ['content-length', '99', 'etag', '"x"'] : [];
    if (status === 205) headers.push('content-length', '0');
    path.app.onArrival = (request) => request.respond(status, { headers });
    const answer = path.request();
    expect([answer.status, answer.bodyBytes, answer.ended]).toEqual([status, 0, true]);
    if (status === 204) expect(answer.field('content-length')).toBe(undefined);
    if (status === 304) expect(answer.field('content-length')).toBe('99');
    expect(path.request().status).toBe(status);
    expect(path.app.requests.length).toBe(2);
  });

  test('any status from 200 to 999 comes through (RFC 9110 §15)', () => {
    const path = versionPath(versions);
    let status = 0;
    path.app.onArrival = (request) => request.respond(status, { body: ['x'] });
    for (status of [200, 226, 299, 300, 418, 451, 499, 500, 599, 600, 777, 999]) {
      expect(path.request().status).toBe(status);
    }
  });

  test('trailers come through both ways where every hop can frame them (RFC 9110 §6.5)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) =>
      request.respond(200, {
        headers: ['trailer', 'grpc-status'],
        body: ['a'],
        trailers: ['grpc-status', '0', 'x-t', 'é\xff'],
      });
    const answer = path.request({
      method: 'POST',
      headers: ['te', 'trailers', 'trailer', 'x-sum'],
      body: ['x'],
      trailers: ['x-sum', '1', 'x-sum', '2'],
    });
    expect(path.app.last.field('te')).toBe('trailers');
    expect(path.app.last.field('trailer')).toBe('x-sum');
    expect(path.app.last.trailers).toEqual(['x-sum', '1', 'x-sum', '2']);
    expect(answer.field('trailer')).toBe('grpc-status');
    expect([answer.body, answer.trailers]).toEqual(['a', ['grpc-status', '0', 'x-t', 'é\xff']]);
  });

  test('trailers behind a content-length: HTTP/1.1 cannot frame them and the body ends without', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) =>
      request.respond(200, {
        headers: ['content-length', '1'],
        body: ['a'],
        trailers: ['x-t', '1'],
      });
    const answer = path.request({
      method: 'POST',
      headers: ['content-length', '1'],
      body: ['x'],
      trailers: ['x-sum', '1'],
    });
    expect([path.app.last.body, path.app.last.ended]).toEqual(['x', true]);
    expect(path.app.last.trailers).toEqual(http1Hop ? null : ['x-sum', '1']);
    expect([answer.body, answer.ended, answer.reset]).toEqual(['a', true, '']);
    expect(answer.trailers).toEqual(http1Hop ? null : ['x-t', '1']);
  });

  test('a response of trailers only (gRPC) keeps its fields', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) =>
      request.respond(200, { headers: ['content-type', 'application/grpc', 'grpc-status', '5'] });
    const answer = path.request({ method: 'POST', headers: ['te', 'trailers'], body: ['x'] });
    expect(answer.fields).toEqual(['content-type: application/grpc', 'grpc-status: 5']);
    expect([answer.bodyBytes, answer.ended]).toEqual([0, true]);
  });

  test('a response that is complete before its request ends the exchange (D23)', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => request.respond(413, { body: ['no'] });
    const answer = path.request({ method: 'POST', body: ['x'], open: true });
    expect([answer.status, answer.body, answer.ended, answer.reset]).toEqual([413, 'no', true, '']);
    path.app.onArrival = () => {};
    path.app.onComplete = (request) => request.respond(200);
    expect(path.request().status).toBe(200);
  });

  test('both directions flow at once (full duplex)', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => request.respond(200, { open: true });
    const answer = path.request({ method: 'POST', body: ['1'], open: true });
    expect(answer.status).toBe(200);
    for (let turn = 0; turn < 3; turn++) {
      path.app.last.stream.writeData(Buffer.from(`a${turn}`), false);
      answer.stream!.writeData(Buffer.from(`c${turn}`), false);
      path.settle();
      expect(answer.body.endsWith(`a${turn}`)).toBe(true);
      expect(path.app.last.body.endsWith(`c${turn}`)).toBe(true);
    }
    answer.stream!.writeData(Buffer.alloc(0), true);
    path.settle();
    path.app.last.stream.writeData(Buffer.alloc(0), true);
    path.settle();
    expect([path.app.last.body, path.app.last.ended]).toEqual(['1c0c1c2', true]);
    expect([answer.body, answer.ended]).toEqual(['a0a1a2', true]);
  });

  test('Expect: 100-continue is answered by the first proxy and taken off', () => {
    const path = versionPath(versions);
    const answer = path.request({
      method: 'POST',
      headers: ['expect', '100-continue'],
      body: ['x'],
      open: true,
    });
    expect(answer.informational).toEqual([100]);
    expect(path.app.last.field('expect')).toBe(undefined);
    answer.stream!.writeData(Buffer.from('y'), true);
    path.settle();
    path.app.last.respond(200);
    path.settle();
    expect([path.app.last.body, answer.status]).toEqual(['xy', 200]);
  });

  test('103 comes through with its fields, a 100 of the app does not (RFC 8297)', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => {
      const { stream } = request;
      stream.writeInformational(informational(100));
      stream.writeInformational(informational(103, ['link', '</a>']));
      stream.writeInformational(informational(102));
      request.respond(200);
    };
    const answer = path.request();
    expect(answer.informational).toEqual([103, 102]);
    expect(answer.status).toBe(200);
  });

  test('a request body of 64 MiB flows at the pace of its reader', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => {
      request.keepsBody = false;
    };
    const answer = path.request({ method: 'POST', open: true });
    keepNoBytes(path);
    const chunk = Buffer.alloc(64 * 1024, 0x61);
    pour(path, answer.stream!, () => answer.drains, chunk, 64 * MIB);
    expect(path.app.last.bodyBytes).toBe(64 * MIB);
    expect(path.app.last.ended).toBe(true);
    expect(path.network.peakBytes).toBeLessThan(4 * MIB);
    path.app.last.respond(200);
    path.settle();
    expect(answer.status).toBe(200);
  });

  test('a reader that stands still holds its writer, and loses nothing', () => {
    const path = versionPath(versions);
    const answer = path.request({ method: 'GET' });
    answer.keepsBody = false;
    keepNoBytes(path);
    const request = path.app.last;
    answer.stream!.pause();
    request.respond(200, { open: true });
    const chunk = Buffer.alloc(64 * 1024, 0x62);
    let written = 0;
    for (; written < 64 * MIB; written += chunk.length) {
      const flowing = request.stream.writeData(chunk, false);
      path.settle();
      if (!flowing && request.drains === 0) break;
      request.drains = 0;
    }
    written += chunk.length;
    // Windows, buffers and watermarks of all hops together.
    expect(written).toBeLessThan(16 * MIB);
    answer.stream!.resume();
    path.settle();
    request.stream.writeData(Buffer.alloc(0), true);
    path.settle();
    expect([answer.bodyBytes, answer.ended]).toEqual([written, true]);
  });

  test('what is cut in the middle is never taken for a whole: response (I4)', () => {
    for (const headers of [[], ['content-length', '10']]) {
      const path = versionPath(versions);
      path.app.onComplete = (request) =>
        request.respond(200, { headers, body: ['part'], open: true });
      const answer = path.request();
      expect(answer.body).toBe('part');
      path.app.last.stream.reset('localReset');
      path.settle();
      expect(answer.ended).toBe(false);
      expect(answer.reset).not.toBe('');
    }
  });

  test('what is cut in the middle is never taken for a whole: request (I4)', () => {
    for (const headers of [[], ['content-length', '10']]) {
      const path = versionPath(versions);
      const answer = path.request({ method: 'POST', headers, body: ['part'], open: true });
      expect(path.app.last.body).toBe('part');
      answer.stream!.reset('localReset');
      path.settle();
      expect(path.app.last.ended).toBe(false);
      expect(path.app.last.reset).not.toBe('');
    }
  });

  test('the app that resets before it answers is a 503 or a 502, and says so once', () => {
    const path = versionPath(versions);
    path.app.onArrival = (request) => request.stream.reset('localReset');
    const answer = path.request();
    expect([502, 503]).toContain(answer.status);
    expect(answer.ended).toBe(true);
    expect(path.app.requests.length).toBe(1);
  });

  test('an end of connection in mid-response is an error downstream (I4)', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) => request.respond(200, { body: ['part'], open: true });
    const answer = path.request();
    path.app.ends[0]!.destroy();
    path.settle();
    expect(answer.ended).toBe(false);
    expect(answer.reset).not.toBe('');
  });

  test('many exchanges on one connection keep apart', () => {
    const path = versionPath(versions);
    path.app.onComplete = (request) => request.respond(200, { body: [request.head.path] });
    for (let round = 0; round < 50; round++) {
      const answer = path.request({ path: `/${round}`, body: round % 2 === 0 ? [] : ['b'] });
      expect(answer.body).toBe(`/${round}`);
    }
    expect(path.app.requests.length).toBe(50);
  });
});

function informational(status: number, headers: string[] = []): ResponseHead {
  return new ResponseHead(status, headers);
}

function keepNoBytes(path: VersionPath): void {
  for (const end of path.network.ends) {
    end.keepsSent = false;
    end.sent.length = 0;
  }
}

/** Writes `bytes` in chunks, each time as much as is taken. */
function pour(
  path: VersionPath,
  stream: { writeData(chunk: Buffer, end: boolean): boolean },
  drains: () => number,
  chunk: Buffer,
  bytes: number,
): void {
  for (let left = bytes; left > 0; left -= chunk.length) {
    const before = drains();
    const flowing = stream.writeData(chunk, left === chunk.length);
    if (flowing) continue;
    path.settle();
    if (left > chunk.length) expect(drains()).toBeGreaterThan(before);
  }
  path.settle();
}
