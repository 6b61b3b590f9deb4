import { expect, test } from 'vitest';
import { type ExchangeOptions, exchange, route } from '../../test/proxy-exchange.ts';
import type { FaultConfig } from '../router/route-config.ts';

function fault(parts: Partial<FaultConfig>): FaultConfig {
  return {
    delayMs: 0,
    delayPerMillion: 0,
    abortStatus: 0,
    abortGrpcStatus: -1,
    abortPerMillion: 0,
    headers: [],
    ...parts,
  };
}

const ALWAYS = 1_000_000;
const DELAY = fault({ delayMs: 7_000, delayPerMillion: ALWAYS });
const ABORT = fault({ abortStatus: 555, abortPerMillion: ALWAYS });

function withFault(config: FaultConfig, options: ExchangeOptions = {}) {
  return exchange({ routes: [route('/', 'a', {}, { fault: config })], ...options });
}

test('[TM-18] a delayed request goes on after the delay, flag DI', () => {
  const mesh = withFault(DELAY);
  const client = mesh.connect().get();
  mesh.clock.advance(6_999);
  expect(mesh.cluster('a').tries.length).toBe(0);
  mesh.clock.advance(1);
  mesh.cluster('a').last.respond(200, ['content-length', '2'], 'ok');
  expect(client.body).toBe('ok');
  expect(mesh.flags).toBe('DI');
  expect(mesh.record.endMs - mesh.record.startMs).toBe(7_000);
});

test('[TM-18] an aborted request is answered here, flag FI', () => {
  const mesh = withFault(ABORT);
  const client = mesh.connect().get();
  expect(client.status).toBe(555);
  expect(client.body).toBe('fault filter abort');
  expect(mesh.flags).toBe('FI');
  expect(mesh.record.responseCodeDetails).toBe('fault_filter_abort');
  expect(mesh.cluster('a').tries).toEqual([]);
});

test('[TM-18] delay, then abort: both flags', () => {
  const mesh = withFault({ ...DELAY, abortStatus: 503, abortPerMillion: ALWAYS });
  const client = mesh.connect().get();
  expect(client.text).toBe('');
  mesh.clock.advance(7_000);
  expect(client.status).toBe(503);
  expect(mesh.flags).toBe('DI,FI');
});

test('[TM-18] delay and abort are drawn independently', () => {
  const half = {
    delayMs: 10,
    delayPerMillion: 500_000,
    abortStatus: 500,
    abortPerMillion: 500_000,
  };
  const draws = [0.4, 0.6, 0.6, 0.4];
  const mesh = withFault(fault(half), { random: () => draws.shift() ?? 0 });
  const client = mesh.connect().get();
  mesh.clock.advance(10);
  mesh.cluster('a').last.respond(200);
  client.get();
  expect(mesh.records.map((record) => record.status)).toEqual([200, 500]);
});

test('[TM-18] a gRPC abort of a gRPC request is 200 with grpc-status', () => {
  const mesh = withFault(fault({ abortGrpcStatus: 14, abortPerMillion: ALWAYS }));
  const client = mesh.connect().get('/', ['content-type: application/grpc']);
  expect(client.status).toBe(200);
  expect(client.header('grpc-status')).toBe('14');
  expect(client.header('grpc-message')).toBe('fault filter abort');
  expect(mesh.record.grpcStatus).toBe(14);
});

test('[TM-18] a gRPC abort of another request is the HTTP status that stands for it', () => {
  const mesh = withFault(fault({ abortGrpcStatus: 14, abortPerMillion: ALWAYS }));
  expect(mesh.connect().get().status).toBe(503);
});

test('[TM-18] the route overrides the virtual host, which overrides the listener', () => {
  const config = {
    httpFilters: [
      { kind: 'fault' as const, name: 'fault', fault: fault({ ...ABORT, abortStatus: 501 }) },
      { kind: 'router' as const },
    ],
  };
  const ofHost = { fault: fault({ ...ABORT, abortStatus: 502 }) };
  expect(exchange({ config }).connect().get().status).toBe(501);
  expect(exchange({ config, virtualHost: ofHost }).connect().get().status).toBe(502);
  expect(withFault(ABORT, { config, virtualHost: ofHost }).connect().get().status).toBe(555);
});

test('[TM-18] only requests that match are met', () => {
  const jason = {
    name: 'end-user',
    value: { kind: 'exact' as const, value: 'jason', ignoreCase: false },
    invert: false,
    missingAsEmpty: false,
  };
  const mesh = withFault({ ...ABORT, headers: [jason] });
  expect(mesh.connect().get('/', ['end-user: jason']).status).toBe(555);
  mesh.connect().get();
  expect(mesh.cluster('a').tries.length).toBe(1);
});

test('[TM-18] [OB-08] the client goes during the delay: DI,DC and nothing upstream', () => {
  const mesh = withFault(DELAY);
  mesh.connect().get().close();
  expect(mesh.flags).toBe('DC,DI');
  mesh.clock.advance(7_000);
  expect(mesh.cluster('a').tries).toEqual([]);
});

test('[TM-18] a delay holds no body: the connection is not read meanwhile', () => {
  const mesh = withFault(DELAY);
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc');
  expect(client.transport.paused).toBe(true);
  mesh.clock.advance(7_000);
  const attempt = mesh.cluster('a').last.ready();
  expect(client.transport.paused).toBe(false);
  client.send('def');
  expect(attempt.written).toBe('abcdef');
  expect(attempt.ended).toBe(true);
});
