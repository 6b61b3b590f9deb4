import { expect, test } from 'vitest';
import {
  type Exchange,
  exchange,
  type FakeClient,
  retryPolicy,
  route,
} from '../../test/proxy-exchange.ts';
import { RetryOn } from '../router/retry-on.ts';

const HEAD = ['content-type', 'application/grpc', 'x-custom', '1'];
const MESSAGE = '\x00\x00\x00\x00\x05hello';
const TRAILERS = 'grpc-status:0\r\ngrpc-message:\r\n';
const TRAILER_FRAME = `\x80\x00\x00\x00${String.fromCharCode(TRAILERS.length)}${TRAILERS}`;

function mesh(): Exchange {
  return exchange({
    config: {
      httpFilters: [
        { kind: 'grpcWeb', name: 'envoy.filters.http.grpc_web' },
        { kind: 'fault', name: 'fault', fault: null },
        { kind: 'router' },
      ],
    },
    routes: [route('/', 'a', { retry: retryPolicy(RetryOn.GRPC_UNAVAILABLE) })],
  });
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function post(client: FakeClient, type: string, body: string, accept = type): FakeClient {
  return client.send(
    `POST /pkg.Service/Method HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\naccept: ${accept}\r\n` +
      `x-grpc-web: 1\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

/** What a chunked body holds. */
function content(client: FakeClient): string {
  let rest = client.body;
  let out = '';
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (!(size > 0)) return out;
    out += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 4 + size);
  }
}

test.each(['application/grpc-web', 'application/grpc-web+proto', 'APPLICATION/gRPC-web; x=1'])(
  '[PR-08] %s: messages pass as they are, trailers become the last frame',
  (type) => {
    const exchanged = mesh();
    const client = post(exchanged.connect(), type, MESSAGE);
    const { last } = exchanged.cluster('a');
    last.ready();
    expect(last.header('content-type')).toBe('application/grpc');
    expect(last.header('te')).toBe('trailers');
    expect(last.header('grpc-accept-encoding')).toBe('identity');
    expect(last.header('content-length')).toBeUndefined();
    expect(last.written).toBe(MESSAGE);
    expect(last.ended).toBe(true);
    last.respond(200, HEAD, null);
    last.data(MESSAGE);
    expect(content(client)).toBe(MESSAGE);
    last.endWithTrailers(['grpc-status', '0', 'grpc-message', '']);
    expect(client.status).toBe(200);
    expect(client.header('content-type')).toBe('application/grpc-web+proto');
    expect(client.header('x-custom')).toBe('1');
    expect(content(client)).toBe(MESSAGE + TRAILER_FRAME);
    expect(client.body.endsWith('\r\n0\r\n\r\n')).toBe(true);
    expect(exchanged.record.grpc).toBe(true);
    expect(exchanged.record.grpcStatus).toBe(0);
  },
);

test.each([1, 2, 3, 5, 100])(
  '[PR-08] application/grpc-web-text, cut every %i bytes: base64 both ways, whole at the end of each message',
  (cut) => {
    const exchanged = mesh();
    const client = exchanged.connect();
    // Two parts with padding between.
    const body = base64(MESSAGE) + base64(MESSAGE);
    client.send(
      'POST /s/m HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web-text\r\n' +
        `accept: application/grpc-web-text\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    const { last } = exchanged.cluster('a');
    last.ready();
    for (let at = 0; at < body.length; at += cut) client.send(body.slice(at, at + cut));
    expect(last.written).toBe(MESSAGE + MESSAGE);
    expect(last.ended).toBe(true);

    last.respond(200, HEAD, null);
    for (let at = 0; at < MESSAGE.length; at += cut) last.data(MESSAGE.slice(at, at + cut));
    expect(content(client)).toBe(base64(MESSAGE));
    last.endWithTrailers(['grpc-status', '0', 'grpc-message', '']);
    expect(client.header('content-type')).toBe('application/grpc-web-text+proto');
    expect(content(client)).toBe(base64(MESSAGE) + base64(TRAILER_FRAME));
  },
);

test('[PR-08] the response is text only where it is asked for', () => {
  const exchanged = mesh();
  const client = post(
    exchanged.connect(),
    'application/grpc-web',
    MESSAGE,
    'application/grpc-web-text',
  );
  exchanged.cluster('a').last.respond(200, HEAD, null);
  exchanged.cluster('a').last.data(MESSAGE);
  expect(content(client)).toBe(base64(MESSAGE));
});

test.each([
  ['no base64', 'aGVs*G8=', 'grpc_base_64_decode_failed'],
  ['a cut group', 'aGVsbG8', 'grpc_base_64_decode_failed_bad_size'],
])('[PR-08] %s is answered INTERNAL, and the upstream given up', (_what, body, details) => {
  const exchanged = mesh();
  const client = post(exchanged.connect(), 'application/grpc-web-text', body);
  expect(client.status).toBe(200);
  expect(client.header('content-type')).toBe('application/grpc-web-text+proto');
  expect(client.header('grpc-status')).toBe('13');
  expect(client.header('grpc-message')).toBe('Bad gRPC-web request, invalid base64 data.');
  expect(exchanged.record.responseCodeDetails).toBe(details);
  const { tries } = exchanged.cluster('a');
  expect(tries.every(({ cancelled, resetWith }) => cancelled || resetWith !== '')).toBe(true);
  expect(exchanged.bugs).toEqual([]);
});

test('[PR-08] Trailers-Only stays a head without body', () => {
  const exchanged = mesh();
  const client = post(exchanged.connect(), 'application/grpc-web', MESSAGE);
  exchanged.cluster('a').last.respond(200, [...HEAD, 'grpc-status', '5', 'grpc-message', 'gone']);
  expect(client.header('content-type')).toBe('application/grpc-web+proto');
  expect(client.header('grpc-status')).toBe('5');
  expect(client.header('content-length')).toBe('0');
  expect(client.body).toBe('');
});

test('[PR-08] [TM-06] a local reply is one of gRPC-Web', () => {
  const exchanged = mesh();
  const client = post(exchanged.connect(), 'application/grpc-web-text', base64(MESSAGE));
  exchanged.cluster('a').last.fail('connectionFailure', 'ECONNREFUSED');
  expect(client.status).toBe(200);
  expect(client.header('content-type')).toBe('application/grpc-web-text+proto');
  expect(client.header('grpc-status')).toBe('14');
});

test('[PR-08] an answer that is no gRPC loses its body; its status becomes the call’s', () => {
  const exchanged = mesh();
  const client = post(exchanged.connect(), 'application/grpc-web', MESSAGE);
  exchanged
    .cluster('a')
    .last.respond(503, ['content-type', 'text/html', 'content-length', '9'], '<b>no</b>');
  expect(client.status).toBe(503);
  expect(client.header('content-type')).toBe('application/grpc-web+proto');
  expect(client.header('grpc-status')).toBe('14');
  expect(client.header('grpc-message')).toBe('HTTP status 503');
  expect(client.text).not.toContain('<b>');
  expect(exchanged.record.grpcStatus).toBe(14);
});

test('[PR-08] [RS-07] a call is repeated by its gRPC status', () => {
  const exchanged = mesh();
  const client = post(exchanged.connect(), 'application/grpc-web-text', base64(MESSAGE));
  const cluster = exchanged.cluster('a');
  cluster.last.respond(200, HEAD, null);
  cluster.last.endWithTrailers(['grpc-status', '14']);
  exchanged.clock.advance(25);
  expect(cluster.tries.length).toBe(2);
  cluster.last.respond(200, HEAD, null);
  expect(cluster.last.written).toBe(MESSAGE);
  cluster.last.data(MESSAGE);
  expect(content(client)).toBe(base64(MESSAGE));
});

test.each(['application/grpc', 'application/json', 'application/grpc-web+thrift'])(
  '[PR-08] %s passes untouched',
  (type) => {
    const exchanged = mesh();
    post(exchanged.connect(), type, 'body');
    const { last } = exchanged.cluster('a');
    last.ready();
    expect(last.header('content-type')).toBe(type);
    expect(last.header('content-length')).toBe('4');
    expect(last.written).toBe('body');
  },
);

test('[PR-08] what arrived while a filter behind waited is translated when it goes on', () => {
  const fault = {
    delayMs: 100,
    delayPerMillion: 1_000_000,
    abortStatus: 0,
    abortGrpcStatus: -1,
    abortPerMillion: 0,
    headers: [],
  };
  const exchanged = exchange({
    config: {
      httpFilters: [
        { kind: 'fault', name: 'fault', fault },
        { kind: 'grpcWeb', name: 'grpc_web' },
        { kind: 'router' },
      ],
    },
  });
  post(exchanged.connect(), 'application/grpc-web-text', base64(MESSAGE));
  exchanged.clock.advance(100);
  const { last } = exchanged.cluster('a');
  last.ready();
  expect(last.written).toBe(MESSAGE);
  expect(last.ended).toBe(true);
});
