import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exchange, type FakeTry, retryPolicy, route } from '../../test/proxy-exchange.ts';
import { RetryOn } from '../router/retry-on.ts';

/**
 * I1: whatever client, upstream and clock do, and in whatever order, every request that began is
 * logged exactly once, nothing throws, and what was taken is given back.
 */

type Action =
  | 'get'
  | 'post'
  | 'grpc'
  | 'grpcDeadline'
  | 'grpcWeb'
  | 'chunk'
  | 'noBase64'
  | 'upgrade'
  | 'clientEnd'
  | 'clientClose'
  | 'clientBlocked'
  | 'clientDrain'
  | 'drain'
  | 'ready'
  | 'readyReused'
  | 'respond'
  | 'respondHead'
  | 'respond503'
  | 'respondGrpc'
  | 'switch'
  | 'data'
  | 'end'
  | 'trailers'
  | 'unavailable'
  | 'empty'
  | 'early'
  | 'die'
  | 'protocolError'
  | 'fail'
  | 'overflow'
  | 'upstreamBlocked'
  | 'upstreamDrain'
  | 'tick'
  | 'wait'
  | 'garbage';

const ACTIONS: readonly Action[] = [
  'get',
  'post',
  'grpc',
  'grpcDeadline',
  'grpcWeb',
  'chunk',
  'noBase64',
  'upgrade',
  'clientEnd',
  'clientClose',
  'clientBlocked',
  'clientDrain',
  'drain',
  'ready',
  'readyReused',
  'respond',
  'respondHead',
  'respond503',
  'respondGrpc',
  'switch',
  'data',
  'end',
  'trailers',
  'unavailable',
  'empty',
  'early',
  'die',
  'protocolError',
  'fail',
  'overflow',
  'upstreamBlocked',
  'upstreamDrain',
  'tick',
  'wait',
  'garbage',
];

/** What the codec contract lets the upstream say next. */
class Upstream {
  readonly #attempt: FakeTry;
  #state: 'connecting' | 'ready' | 'responding' | 'over' = 'connecting';

  constructor(attempt: FakeTry) {
    this.#attempt = attempt;
  }

  play(action: Action): void {
    const attempt = this.#attempt;
    if (attempt.cancelled || attempt.resetWith !== '') return;
    switch (this.#state) {
      case 'connecting':
        if (action === 'fail') this.#over(() => attempt.fail('connectionFailure', 'ECONNREFUSED'));
        else if (action === 'overflow') this.#over(() => attempt.fail('overflow'));
        else if (action === 'ready' || action === 'readyReused') {
          this.#state = 'ready';
          attempt.ready(action === 'readyReused');
        }
        return;
      case 'ready':
        if (action === 'respond') this.#over(() => attempt.respond(200));
        else if (action === 'respond503') this.#over(() => attempt.respond(503));
        else if (action === 'early') attempt.informational(103);
        else if (action === 'respondHead') {
          this.#state = 'responding';
          attempt.respond(200, [], null);
        } else if (action === 'respondGrpc') {
          this.#state = 'responding';
          attempt.respond(200, ['content-type', 'application/grpc'], null);
        } else if (action === 'switch' && attempt.upgrade !== '') {
          this.#state = 'responding';
          attempt.switchProtocols();
        } else this.#playEnd(action);
        return;
      case 'responding':
        if (action === 'data') attempt.data('body');
        else if (action === 'empty') attempt.data('');
        else if (action === 'unavailable') {
          this.#over(() => attempt.endWithTrailers(['grpc-status', '14']));
        } else if (action === 'end') this.#over(() => attempt.data('', true));
        else if (action === 'trailers') this.#over(() => attempt.endWithTrailers(['x-t', '1']));
        else this.#playEnd(action);
    }
  }

  #playEnd(action: Action): void {
    const attempt = this.#attempt;
    if (action === 'die') this.#over(() => attempt.die());
    else if (action === 'protocolError') this.#over(() => attempt.die('protocolError', 'bad'));
    else if (action === 'upstreamBlocked') attempt.writable = false;
    else if (action === 'upstreamDrain' && !attempt.writable) {
      attempt.writable = true;
      attempt.drain();
    }
  }

  #over(last: () => void): void {
    this.#state = 'over';
    last();
  }
}

const RETRY = retryPolicy(RetryOn.FIVE_XX | RetryOn.CONNECT_FAILURE | RetryOn.GRPC_UNAVAILABLE, {
  perTryTimeoutMs: 400,
});
/** What the mesh sends: the deadline of a gRPC call is its client's. */
const DEADLINES = { maxMs: 0, grpcTimeoutMaxMs: 0, grpcTimeoutOffsetMs: 0 };

test('[I1] fuzz: every request is logged once, whatever happens', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...ACTIONS), { maxLength: 40 }),
      fc.boolean(),
      fc.boolean(),
      (actions, retries, deadlines) => {
        const mesh = exchange({
          routes: [
            route('/', 'a', {
              timeoutMs: deadlines ? 0 : 2_000,
              streamDuration: deadlines ? DEADLINES : null,
              retry: retries ? RETRY : null,
            }),
          ],
          config: {
            streamIdleTimeoutMs: 1_500,
            idleTimeoutMs: 60_000,
            httpFilters: [{ kind: 'grpcWeb', name: 'web' }, { kind: 'router' }],
          },
          deps: {
            metrics: {
              recordRequest() {},
              grpcMessages(_record, _direction, requests, responses) {
                // Would be reported as a bug.
                if (requests < 0 || responses < 0) throw new Error('counted backwards');
              },
              tcpOpened() {},
              tcpClosed() {},
              tcpBytes() {},
            },
          },
          random: () => 0.5,
        });
        const cluster = mesh.cluster('a');
        const client = mesh.connect();
        const upstreams = new Map<FakeTry, Upstream>();
        let closed = false;
        for (const action of actions) {
          if (closed) break;
          switch (action) {
            case 'get':
              client.get();
              break;
            case 'post':
              client.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
              break;
            case 'grpc':
              client.send(post('application/grpc'));
              break;
            case 'grpcDeadline':
              client.send(post('application/grpc', 'grpc-timeout: 600m\r\n'));
              break;
            case 'grpcWeb':
              client.send(
                post('application/grpc-web-text', 'accept: application/grpc-web-text\r\n'),
              );
              break;
            case 'noBase64':
              client.send('1\r\n*\r\n');
              break;
            case 'chunk':
              client.send('4\r\nbody\r\n');
              break;
            case 'upgrade':
              client.get('/', ['connection: upgrade', 'upgrade: websocket']);
              break;
            case 'clientEnd':
              client.send('0\r\n\r\n');
              break;
            case 'clientClose':
              client.connection.receiveEnd();
              break;
            case 'clientBlocked':
              client.transport.writable = false;
              break;
            case 'clientDrain':
              client.transport.writable = true;
              client.connection.onTransportDrain();
              break;
            case 'drain':
              client.connection.drain();
              break;
            case 'garbage':
              client.send('\0\r\n\r\n');
              break;
            case 'tick':
              mesh.clock.advance(10);
              break;
            case 'wait':
              mesh.clock.advance(700);
              break;
            default:
              for (const attempt of cluster.tries) {
                if (!upstreams.has(attempt)) upstreams.set(attempt, new Upstream(attempt));
                upstreams.get(attempt)?.play(action);
              }
          }
          if (client.transport.destroyed || client.transport.ended) {
            client.close();
            closed = true;
          }
        }
        if (!closed) client.close();
        mesh.clock.advance(10_000);

        expect(mesh.bugs).toEqual([]);
        const begun = mesh.stat('http.test.downstream_rq_total');
        const requests = mesh.records.filter((record) => record.method !== '');
        expect(requests.length).toBe(begun);
        expect(mesh.stat('http.test.downstream_rq_active')).toBe(0);
        expect(mesh.stat('http.test.downstream_cx_active')).toBe(0);
        expect(cluster.retriesHeld).toBe(0);
        for (const record of requests) {
          expect(record.endMs).toBeGreaterThan(0);
          expect(record.status !== 0 || record.flags !== 0).toBe(true);
        }
      },
    ),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

function post(type: string, fields = ''): string {
  return `POST / HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\n${fields}transfer-encoding: chunked\r\n\r\n`;
}
