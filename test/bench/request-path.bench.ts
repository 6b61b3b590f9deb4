import { ResponseHead } from '../../proxy/http/message.ts';
import type { ClientStream } from '../../proxy/http/stream.ts';
import type { WriteSource } from '../../proxy/http/transport.ts';
import { flushAtEndOfTurn } from '../../proxy/tcp/write-turn.ts';
import type { Endpoint, UpstreamSink } from '../../proxy/upstream/upstream.ts';
import { exchange, FakeCluster, PLAIN_CONNECTION, route } from '../proxy-exchange.ts';

/**
 * CPU time per request of codec (server role), connection manager and router, with no socket and an
 * upstream that answers at once: `node_modules/node/bin/node test/bench/request-path.bench.ts`.
 */

const REQUESTS = 200_000;
const CONNECTION_INFO = {
  localAddress: '10.0.0.1:50000',
  remoteAddress: '10.1.0.1:80',
  mutualTls: false,
  peerPrincipal: '',
  reused: true,
};
const IDLE_STREAM: ClientStream = {
  writeData: () => true,
  writeTrailers() {},
  reset() {},
  pause() {},
  resume() {},
};
const BODY = Buffer.alloc(1024, 0x61);

class InstantCluster extends FakeCluster {
  override pickEndpoint(): Endpoint {
    return this.endpoints[0]!;
  }

  override openStream(_endpoint: Endpoint, _head: unknown, _end: boolean, sink: UpstreamSink) {
    sink.onStreamReady(IDLE_STREAM, CONNECTION_INFO);
    sink.onResponse(
      new ResponseHead(200, ['content-type', 'text/plain', 'content-length', '1024', 'date', 'x']),
      false,
    );
    sink.onData(BODY, true);
    return { cancel() {} };
  }
}

function run(name: string, tracingSamplingPerMillion: number, timeoutMs: number): void {
  const mesh = exchange({
    routes: [route('/', 'a', { timeoutMs })],
    config: { tracingSamplingPerMillion, accessLogs: [] },
    random: Math.random,
  });
  mesh.clusters.set('a', new InstantCluster('a'));
  const transport = { ...quiet() };
  const connection = mesh.manager.accept(transport, PLAIN_CONNECTION, '');
  const request = Buffer.from(
    'GET /api/v1/products?x=1 HTTP/1.1\r\nhost: productpage:9080\r\nuser-agent: bench/1.0\r\naccept: */*\r\nx-request-id: 6a1c1a4e-5a5b-4f5e-9d3c-0123456789ab\r\n\r\n',
  );
  for (let n = 0; n < 20_000; n++) connection.receive(request);
  const before = process.cpuUsage();
  for (let n = 0; n < REQUESTS; n++) connection.receive(request);
  const { user, system } = process.cpuUsage(before);
  console.log(`${name}: ${((user + system) / REQUESTS).toFixed(2)} µs CPU a request`);
}

function quiet() {
  return {
    write: () => true,
    end() {},
    closeAfterFlush() {},
    abort() {},
    destroy() {},
    pauseReading() {},
    resumeReading() {},
    bufferedBytes: 0,
    flushLater(source: WriteSource) {
      flushAtEndOfTurn(source);
    },
  };
}

run('plain', -1, 0);
run('with route timeout', -1, 15_000);
run('with tracing', 10_000, 0);
