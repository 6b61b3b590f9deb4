import { hostname } from 'node:os';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileFormat } from './format.ts';
import { RequestRecord, ResponseFlag } from './request-record.ts';

const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

function filled(): RequestRecord {
  return Object.assign(
    new RequestRecord(Date.UTC(2026, 2, 5, 14, 7, 9, 42), 1000, {
      localAddress: '10.0.0.1:15006',
      remoteAddress: '[2001:db8::1]:40000',
      requestedServerName: 'outbound_.80_._.a',
      peerPrincipal: 'spiffe://cluster.local/ns/default/sa/a',
      localPrincipal: 'spiffe://cluster.local/ns/default/sa/b',
      mutualTls: true,
    }),
    {
      requestEndMs: 1004.4,
      responseStartMs: 1010,
      endMs: 1025.6,
      method: 'GET',
      path: '/products?id=3',
      authority: 'reviews:9080',
      scheme: 'http',
      protocol: 'HTTP/1.1',
      requestHeaders: ['user-agent', 'curl/8', 'x-many', 'one', 'x-many', 'two', 'x-empty', ''],
      responseHeaders: ['x-envoy-upstream-service-time', '14', 'server', 'envoy'],
      responseTrailers: ['grpc-message', 'fine'],
      requestId: '11111111-2222-4333-8444-555555555555',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      status: 503,
      flags: ResponseFlag.UF | ResponseFlag.URX,
      responseCodeDetails: 'upstream_reset_before_response_started{connection_failure}',
      upstreamTransportFailureReason: 'ECONNREFUSED',
      bytesReceived: 5,
      bytesSent: 91,
      grpcStatus: 14,
      routeName: 'default',
      virtualHost: 'reviews.default',
      upstreamCluster: 'outbound|9080||reviews',
      upstreamHost: '10.0.0.9:9080',
      upstreamLocalAddress: '127.0.0.6:51000',
      upstreamPeerPrincipal: 'spiffe://cluster.local/ns/default/sa/reviews',
      attempts: 3,
    },
  );
}

const empty = () =>
  new RequestRecord(0, 0, {
    localAddress: '',
    remoteAddress: '',
    requestedServerName: '',
    peerPrincipal: '',
    localPrincipal: '',
    mutualTls: false,
  });

function render(source: string, record = filled()): string {
  const format = compileFormat(source);
  if ('problem' in format) throw new Error(format.problem);
  return format.render(record);
}

test.each([
  ['100%% sure', '100% sure'],
  ['%START_TIME%', '2026-03-05T14:07:09.042Z'],
  ['%START_TIME(%s.%3f)%', '1772719629.042'],
  ['%START_TIME(%Y/%m/%dT%H:%M:%S.%6f %Z %z)%', '2026/03/05T14:07:09.042000 UTC +0000'],
  ['%START_TIME(%E3S|%E*S|%E0S|%f|%1f)%', '09.042|09.042|09|042000000|0'],
  [
    '%START_TIME(%a %A %b %B %e %j %I %p %y %D %F %T %R %%)%',
    'Thu Thursday Mar March  5 064 02 PM 26 03/05/26 2026-03-05 14:07:09 14:07 %',
  ],
  [
    '%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%',
    'GET /products?id=3 reviews:9080 http',
  ],
  ['%REQ(Host)%', 'reviews:9080'],
  ['%REQ(USER-AGENT)%', 'curl/8'],
  ['%REQ(user-agent):4%', 'curl'],
  ['%REQ(X-NOT?USER-AGENT):4%', 'curl'],
  ['%REQ(X-EMPTY?X-MANY)%', 'one'],
  ['%REQ(X-NOT)%', '-'],
  ['%REQ(X-REQUEST-ID)%', '11111111-2222-4333-8444-555555555555'],
  ['%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):5%', '/prod'],
  ['%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %RESP(:STATUS)%', '14 503'],
  ['%TRAILER(grpc-message)%', 'fine'],
  ['%PROTOCOL%', 'HTTP/1.1'],
  [
    '%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%',
    '503 upstream_reset_before_response_started{connection_failure}',
  ],
  ['%RESPONSE_FLAGS%', 'UF,URX'],
  ['%CONNECTION_TERMINATION_DETAILS%', '-'],
  ['%UPSTREAM_TRANSPORT_FAILURE_REASON%', 'ECONNREFUSED'],
  ['%BYTES_RECEIVED% %BYTES_SENT%', '5 91'],
  ['%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '25 4 10 15'],
  ['%UPSTREAM_HOST% %UPSTREAM_CLUSTER%', '10.0.0.9:9080 outbound|9080||reviews'],
  ['%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_REMOTE_PORT%', '127.0.0.6:51000 9080'],
  ['%UPSTREAM_PEER_URI_SAN%', 'spiffe://cluster.local/ns/default/sa/reviews'],
  ['%UPSTREAM_REQUEST_ATTEMPT_COUNT%', '3'],
  [
    '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%',
    '10.0.0.1:15006 10.0.0.1 15006',
  ],
  [
    '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
    '[2001:db8::1]:40000 2001:db8::1',
  ],
  [
    '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
    '[2001:db8::1]:40000 2001:db8::1',
  ],
  [
    '%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_URI_SAN%',
    'spiffe://cluster.local/ns/default/sa/a spiffe://cluster.local/ns/default/sa/b',
  ],
  ['%REQUESTED_SERVER_NAME%', 'outbound_.80_._.a'],
  ['%ROUTE_NAME% %VIRTUAL_HOST_NAME%', 'default reviews.default'],
  [
    '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%',
    'Unavailable UNAVAILABLE 14 14',
  ],
  ['%TRACE_ID%', '0af7651916cd43dd8448eb211c80319c'],
  ['%HOSTNAME%', hostname()],
])('[OB-07] %s is %s', (source, rendered) => {
  expect(render(source)).toBe(rendered);
});

test('[OB-07] what did not happen is -, and a request without answer has code 0', () => {
  expect(
    render(
      '%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %DURATION% %UPSTREAM_HOST% %GRPC_STATUS% %DOWNSTREAM_LOCAL_PORT% %TRACE_ID%',
      empty(),
    ),
  ).toBe('- 0 - - - - - -');
});

test('[TM-13] a header value is not escaped: the codec judges it', () => {
  const record = Object.assign(filled(), { requestHeaders: ['x-a', '"q" \\'] });
  expect(render('v=%REQ(X-A)%', record)).toBe('v="q" \\');
});

test('a format without a command is the same for every request', () => {
  expect(compileFormat('plain 100%%')).toMatchObject({ constant: true });
  expect(compileFormat('%PROTOCOL%')).toMatchObject({ constant: false });
});

test.each([
  [
    '%DOWNSTREM_REMOTE_ADDRESS%',
    '%DOWNSTREM_REMOTE_ADDRESS% at position 0: no such command is supported; did you mean %DOWNSTREAM_REMOTE_ADDRESS%?',
  ],
  ['a %DYNAMIC_METADATA(x:y)%', '%DYNAMIC_METADATA% at position 2: no such command is supported'],
  ['50% off', '"% off" at position 2 is no command'],
  ['%REQ(X-A%', 'at position 0 is no command'],
  ['%REQ%', "'' is no header name"],
  ['%REQ(A?B?C)%', "'A?B?C' names more than two headers"],
  ['%REQ(bad name)%', "'bad name' is no header name"],
  ['%PROTOCOL(x)%', '%PROTOCOL% at position 0: takes no argument'],
  ['%REQ(A):99999999%', 'the length 99999999 is over'],
  ['%START_TIME(%Q)%', "holds '%Q'"],
  ['%GRPC_STATUS(UPPER)%', "not 'UPPER'"],
  ['x'.repeat(20_000), 'at most 16384'],
])('[OB-07] %s is refused, with the place', (source, problem) => {
  const format = compileFormat(source);
  expect('problem' in format && format.problem).toContain(problem);
});

test('fuzz: any source compiles or is a problem, and what compiles renders', () => {
  const piece = fc.constantFrom(
    '%',
    '%%',
    '%REQ(',
    'REQ',
    '(',
    ')',
    ')%',
    ':',
    ':3%',
    '%START_TIME(%',
    '%PROTOCOL%',
    '?',
    'Y',
    '%f',
    '\n',
    'é',
    ':PATH',
  );
  const source = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 30 }).map((all) => all.join('')),
  );
  fc.assert(
    fc.property(source, (text) => {
      const format = compileFormat(text);
      if ('problem' in format) expect(format.problem).not.toBe('');
      else {
        expect(typeof format.render(filled())).toBe('string');
        expect(typeof format.render(empty())).toBe('string');
      }
    }),
    { numRuns: runs },
  );
});

test('a hostile format is refused in linear time', () => {
  const began = performance.now();
  for (const source of ['%REQ('.repeat(3_000), `%${'A'.repeat(16_000)}`, '%'.repeat(16_001)]) {
    compileFormat(source);
  }
  expect(performance.now() - began).toBeLessThan(1_000);
});
