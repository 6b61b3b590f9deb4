import { expect, test } from 'vitest';
import { exchange, route } from '../../test/proxy-exchange.ts';
import { responseFlags } from '../observe/request-record.ts';
import type { LocalOutcome, UpstreamResetReason } from '../router/outcome.ts';
import { localReply } from './local-reply.ts';

type Kind = LocalOutcome['kind'];
type OutcomeOf<K extends Kind> = Omit<Extract<LocalOutcome, { kind: K }>, 'kind'>;
/** Outcome, HTTP status, gRPC status, flags. */
type Row<K extends Kind> = readonly [OutcomeOf<K>, number, number, string];

const EMPTY = Buffer.alloc(0);

function reset(reason: UpstreamResetReason): OutcomeOf<'upstreamReset'> {
  return { reason, transportFailureReason: '', retried: false };
}

/** A new kind of outcome does not compile until it has a row. */
const ROWS: { readonly [K in Kind]: readonly Row<K>[] } = {
  noRouteFound: [[{}, 404, 12, 'NR']],
  noRouteConfiguration: [[{}, 404, 12, 'NR']],
  noClusterFound: [
    [{ status: 503 }, 503, 14, 'NC'],
    [{ status: 404 }, 404, 12, 'NC'],
    [{ status: 500 }, 500, 2, 'NC'],
  ],
  noHealthyUpstream: [[{}, 503, 14, 'UH']],
  loopDetected: [[{ endpoint: '1.2.3.4:5' }, 508, 2, 'UF']],
  upstreamReset: [
    [reset('connectionFailure'), 503, 14, 'UF'],
    [reset('connectTimeout'), 503, 14, 'UF'],
    [reset('connectionTermination'), 503, 14, 'UC'],
    [reset('remoteReset'), 503, 14, 'UR'],
    [reset('remoteRefused'), 503, 14, 'UR'],
    [reset('localReset'), 503, 14, 'LR'],
    [reset('protocolError'), 502, 14, 'UPE'],
    [reset('overflow'), 503, 14, 'UO'],
  ],
  upstreamRequestTimeout: [[{}, 504, 14, 'UT']],
  upstreamPerTryTimeout: [[{}, 504, 14, 'UT']],
  upstreamDurationMax: [
    [{ requestComplete: true }, 504, 14, 'UMSDR'],
    [{ requestComplete: false }, 408, 2, 'UMSDR'],
  ],
  directResponse: [
    [{ status: 200, body: EMPTY }, 200, 2, '-'],
    [{ status: 400, body: EMPTY }, 400, 13, '-'],
    [{ status: 401, body: EMPTY }, 401, 16, '-'],
    [{ status: 403, body: EMPTY }, 403, 7, '-'],
    [{ status: 429, body: EMPTY }, 429, 14, '-'],
    [{ status: 501, body: EMPTY }, 501, 2, '-'],
  ],
  redirect: [[{ status: 301, location: '/' }, 301, 2, '-']],
  faultAbort: [
    [{ status: 503, grpcStatus: -1 }, 503, 14, 'FI'],
    [{ status: 418, grpcStatus: -1 }, 418, 2, 'FI'],
    [{ status: 0, grpcStatus: 14 }, 503, 14, 'FI'],
    [{ status: 0, grpcStatus: 0 }, 200, 0, 'FI'],
    [{ status: 0, grpcStatus: 9 }, 400, 9, 'FI'],
  ],
  rbacDenied: [
    [{ policy: '' }, 403, 7, '-'],
    [{ policy: 'ns[a]-policy[b c]-rule[0]' }, 403, 7, '-'],
  ],
  upgradeRefused: [[{}, 403, 7, '-']],
  badRequest: [[{ details: 'x' }, 400, 13, '-']],
  badRequestBody: [[{ details: 'x', text: 'y' }, 400, 13, '-']],
  pathRedirect: [[{ location: '/' }, 307, 2, '-']],
  streamIdleTimeout: [
    [{ requestComplete: true }, 504, 14, 'SI'],
    [{ requestComplete: false }, 408, 2, 'SI'],
  ],
  requestTimeout: [[{}, 408, 2, '-']],
  durationTimeout: [
    [{ requestComplete: true }, 504, 4, 'DT'],
    [{ requestComplete: false }, 408, 4, 'DT'],
  ],
};

const ALL = Object.entries(ROWS).flatMap(([kind, rows]) =>
  rows.map(([parts, status, grpcStatus, flags]) => ({
    outcome: { kind, ...parts } as LocalOutcome,
    status,
    grpcStatus,
    flags,
  })),
);

test.each(ALL)('[TM-06] [PR-07] $outcome: HTTP $status, gRPC $grpcStatus, flags $flags', (row) => {
  const reply = localReply(row.outcome);
  expect(reply.status).toBe(row.status);
  expect(reply.grpcStatus).toBe(row.grpcStatus);
  expect(responseFlags(reply.flags)).toBe(row.flags);
  // One word in the access log.
  expect(reply.details).toMatch(/^[^\s]+$/);
});

test.each(ALL)('[TM-06] [PR-07] gRPC is answered 200 with the status alone: $outcome', (row) => {
  // Taken by a filter, which may answer with any outcome.
  const client = answered(row.outcome);
  expect(client.status).toBe(200);
  expect(client.header('content-type')).toBe('application/grpc');
  expect(client.header('grpc-status')).toBe(String(row.grpcStatus));
  expect(client.body).toBe('');
});

function answered(outcome: LocalOutcome) {
  const mesh = exchange();
  // The stages are this connection manager's own; one that answers stands before them all.
  Object.assign(mesh.manager, {
    stages: [
      {
        name: 'answer',
        begin(stream: { answer(given: LocalOutcome): void }) {
          stream.answer(outcome);
          return 2;
        },
      },
    ],
  });
  return mesh.connect().get('/', ['content-type: application/grpc']);
}

test('[PR-07] grpc-message is percent-encoded', () => {
  const body = Buffer.from('100 % né\n');
  const client = answered({ kind: 'directResponse', status: 503, body });
  expect(client.header('grpc-message')).toBe('100 %25 n%C3%A9%0A');
});

test('[PR-07] an answer of the upstream that is no gRPC passes as it is', () => {
  const mesh = exchange();
  const client = mesh.connect().get('/', ['content-type: application/grpc']);
  mesh
    .cluster('a')
    .last.respond(503, ['content-type', 'text/plain', 'content-length', '4'], 'busy');
  expect(client.status).toBe(503);
  expect(client.body).toBe('busy');
  expect(client.header('grpc-status')).toBe('');
  expect(mesh.record.grpcStatus).toBe(14);
});

test('[PR-07] once the response has begun a failure cuts the stream, and no second status is made up', () => {
  const mesh = exchange({ routes: [route('/', 'a')] });
  const client = mesh.connect().get('/', ['content-type: application/grpc']);
  const { last } = mesh.cluster('a');
  last.respond(200, ['content-type', 'application/grpc'], null);
  last.data('message');
  last.die('remoteReset');
  expect(client.text).not.toContain('grpc-status');
  expect(client.transport.destroyed || client.transport.ended).toBe(true);
  expect(mesh.flags).toBe('UR');
  // UNKNOWN, which 200 without a status stands for.
  expect(mesh.record.grpcStatus).toBe(2);
});
