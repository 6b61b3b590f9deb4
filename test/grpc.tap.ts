import { once } from 'node:events';
import { request } from 'node:http';
import { Metadata, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { grpcEchoApp } from './harness/grpc-echo-app.ts';
import { GrpcEchoClient } from './harness/grpc-echo-client.ts';
import { everything, httpListener, staticCluster, staticProxy } from './harness/static-proxy.ts';
import { until } from './harness/until.ts';

/** gRPC by a stock client and server through one sidecar process. */

t.setTimeout(180_000);

/** What the mesh sends where no timeout is configured. */
const NO_LIMIT = {
  timeout: '0s',
  max_stream_duration: { max_stream_duration: '0s', grpc_timeout_header_max: '0s' },
};

const HTTP2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

function filter(name: string, type: string): object {
  return { name, typed_config: { '@type': `type.googleapis.com/${type}` } };
}

const ROUTER = filter(
  'envoy.filters.http.router',
  'envoy.extensions.filters.http.router.v3.Router',
);
const GRPC_WEB = filter(
  'envoy.filters.http.grpc_web',
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
);

async function mesh(t: Test) {
  const app = await grpcEchoApp();
  const [port, webPort, deadPort] = await freePorts(3);
  const retry = {
    retry_policy: { retry_on: 'unavailable,resource-exhausted', num_retries: 2 },
  };
  const hosts = [
    {
      name: 'all',
      domains: ['*'],
      include_request_attempt_count: true,
      routes: [
        {
          match: { path: '/test.Echo/Flaky', grpc: {} },
          route: { cluster: 'app', ...NO_LIMIT, ...retry },
        },
        { match: { path: '/test.Echo/Dead' }, route: { cluster: 'dead', ...NO_LIMIT } },
        { match: { path: '/test.Echo/NoCluster' }, route: { cluster: 'missing' } },
        {
          match: { path: '/test.Echo/Slow' },
          route: { cluster: 'app', timeout: '0.2s', prefix_rewrite: '/test.Echo/Hang' },
        },
        {
          match: { path: '/test.Echo/Denied' },
          direct_response: { status: 403, body: { inline_string: 'no entry' } },
        },
        { match: { prefix: '/test.Echo/' }, route: { cluster: 'app', ...NO_LIMIT, ...retry } },
      ],
    },
  ];
  const proxy = await staticProxy({
    listeners: [
      {
        ...httpListener(port!, hosts, { stream_idle_timeout: '0s' }),
        traffic_direction: 'OUTBOUND',
      },
      httpListener(webPort!, [everything('app', NO_LIMIT)], { http_filters: [GRPC_WEB, ROUTER] }),
    ],
    clusters: [staticCluster('app', [app.port], HTTP2), staticCluster('dead', [deadPort!], HTTP2)],
  });
  const client = new GrpcEchoClient(`127.0.0.1:${port}`);
  t.teardown(async () => {
    client.close();
    await proxy.stop();
    app.close();
  });
  return { app, proxy, client, port: port!, webPort: webPort! };
}

t.test('[PR-07] the four kinds of calls, metadata, large and many messages', async (t) => {
  const { app, proxy, client } = await mesh(t);

  await t.test('unary, with metadata both ways, binary too', async (t) => {
    const metadata = new Metadata();
    metadata.set('x-answer', 'text');
    metadata.set('x-answer-bin', Buffer.from([0, 1, 254, 255]));
    const result = await client.unary('Unary', Buffer.from('hello'), { metadata });
    t.equal(result.code, status.OK, result.details);
    t.equal(String(result.message), 'hello');
    for (const side of [app.seen(), result.head, result.trailers]) {
      t.same(side.get('x-answer'), ['text']);
      t.same(side.get('x-answer-bin'), [Buffer.from([0, 1, 254, 255])]);
    }
  });

  await t.test('client stream', async (t) => {
    const messages = Array.from({ length: 100 }, () => Buffer.alloc(10));
    t.equal(await client.collect(messages), '100 1000');
  });

  await t.test('server stream', async (t) => {
    let messages = 0;
    for await (const message of client.stream('100 50')) messages += (message as Buffer).length;
    t.equal(messages, 5000);
  });

  await t.test('bidi: each answer comes before the next question', async (t) => {
    t.equal(await client.turnByTurn(50), status.OK);
  });

  await t.test('bidi: the head comes before anything is asked', async (t) => {
    const call = client.bidi();
    await once(call, 'metadata');
    t.pass('metadata without a message');
    call.end();
    call.resume();
    await once(call, 'status');
  });

  await t.test('a server that answers before its client has finished', async (t) => {
    t.equal(await client.early(), status.OUT_OF_RANGE);
    const after = await client.unary('Unary', Buffer.from('again'));
    t.equal(after.code, status.OK, after.details);
  });

  await t.test('a message of 4 MiB each way', async (t) => {
    const large = Buffer.alloc(4 << 20, 'abc');
    const result = await client.unary('Unary', large);
    t.equal(result.code, status.OK, result.details);
    t.ok(result.message?.equals(large));
  });

  await t.test('100 000 messages on one stream, counted on the scrape', async (t) => {
    let messages = 0;
    for await (const _ of client.stream('100000 20')) messages++;
    t.equal(messages, 100_000);
    await until('the metrics', async () => {
      const page = await proxy.admin('/stats/prometheus');
      return sum(page, 'istio_response_messages_total') >= 100_154;
    });
    const page = await proxy.admin('/stats/prometheus');
    const lines = page
      .split('\n')
      .filter((line) => line.startsWith('istio_response_messages_total{'));
    t.ok(lines.every((line) => line.includes('request_protocol="grpc"')));
    // 1 + 1 + 1 of unary calls, 1 of the client stream, 100 and 100 000 of server streams, 50 of bidi.
    t.equal(sum(page, 'istio_response_messages_total'), 100_154);
    t.equal(sum(page, 'istio_request_messages_total'), 1 + 1 + 1 + 100 + 1 + 1 + 50 + 1);
  });
});

t.test('[PR-07] [RS-12] cancellation and deadlines', async (t) => {
  const { app, proxy, client } = await mesh(t);

  await t.test('a cancelled call ends at the server', async (t) => {
    const before = app.cancelled();
    const result = await client.unary('Hang', Buffer.alloc(1), {
      onCall: (cancel) =>
        void until('the call at the server', () => app.begun.get('Hang') === 1).then(cancel),
    });
    t.equal(result.code, status.CANCELLED);
    await until('the cancellation', () => app.cancelled() === before + 1);
  });

  await t.test('the deadline ends the call at both ends', async (t) => {
    const before = app.cancelled();
    const result = await client.unary('Hang', Buffer.alloc(1), { deadlineMs: 300 });
    t.equal(result.code, status.DEADLINE_EXCEEDED);
    await until('the cancellation', () => app.cancelled() === before + 1);
  });

  await t.test('the deadline holds also for a client that does not keep it itself', async (t) => {
    const metadata = new Metadata();
    metadata.set('grpc-timeout', '200m');
    const before = app.cancelled();
    const result = await client.unary('Hang', Buffer.alloc(1), { metadata });
    t.equal(result.code, status.DEADLINE_EXCEEDED, result.details);
    await until('the cancellation', () => app.cancelled() === before + 1);
    await until('nothing under way', async () =>
      (await proxy.admin('/stats')).includes('cluster.app.upstream_rq_active: 0\n'),
    );
  });

  await t.test('the timeout of the route is UNAVAILABLE', async (t) => {
    const result = await client.unary('Slow', Buffer.alloc(1));
    t.equal(result.code, status.UNAVAILABLE);
    t.equal(result.details, 'upstream request timeout');
  });
});

t.test('[RS-02] [RS-07] retries by status', async (t) => {
  const { app, client } = await mesh(t);
  const calls = () => app.begun.get('Flaky') ?? 0;

  for (const inTrailers of [false, true]) {
    const where = inTrailers ? 'trailers' : 'the head';
    await t.test(`UNAVAILABLE in ${where} twice, then an answer`, async (t) => {
      const before = calls();
      const failure = { code: status.UNAVAILABLE, inTrailers };
      app.failures.push(failure, failure);
      const result = await client.unary('Flaky', Buffer.from('x'));
      t.equal(result.code, status.OK, result.details);
      t.equal(calls(), before + 3);
      t.same(app.seen().get('x-envoy-attempt-count'), ['3']);
    });

    await t.test(`INTERNAL in ${where} is the client's`, async (t) => {
      const before = calls();
      app.failures.push({ code: status.INTERNAL, inTrailers });
      const result = await client.unary('Flaky', Buffer.from('x'));
      t.equal(result.code, status.INTERNAL);
      t.equal(result.details, 'as asked');
      t.equal(calls(), before + 1);
    });

    await t.test(`the last status in ${where} is the client's`, async (t) => {
      const before = calls();
      const failure = { code: status.RESOURCE_EXHAUSTED, inTrailers };
      app.failures.push(failure, failure, failure);
      const result = await client.unary('Flaky', Buffer.from('x'));
      t.equal(result.code, status.RESOURCE_EXHAUSTED);
      t.equal(calls(), before + 3);
    });
  }

  await t.test('[RS-08] the client may ask for other conditions', async (t) => {
    const metadata = new Metadata();
    metadata.set('x-envoy-retry-grpc-on', 'internal');
    app.failures.push({ code: status.INTERNAL, inTrailers: true });
    t.equal((await client.unary('Flaky', Buffer.from('x'), { metadata })).code, status.OK);
  });
});

t.test('[TM-06] [PR-07] what the proxy answers itself', async (t) => {
  const { client } = await mesh(t);
  const rows: readonly (readonly [string, number, RegExp])[] = [
    ['Dead', status.UNAVAILABLE, /^upstream connect error or disconnect\/reset before headers/],
    ['NoCluster', status.UNAVAILABLE, /^$/],
    ['Denied', status.PERMISSION_DENIED, /^no entry$/],
    ['Unknown', status.UNIMPLEMENTED, /does not implement/],
  ];
  for (const [name, code, details] of rows) {
    const result = await client.unary(name, Buffer.alloc(1));
    t.equal(result.code, code, `${name}: ${result.details}`);
    t.match(result.details, details, name);
  }
  // 404: no route.
  const other = await new Promise((resolve) => {
    client.client.makeUnaryRequest(
      '/other.Service/Method',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.alloc(1),
      (error) => resolve(error?.code),
    );
  });
  t.equal(other, status.UNIMPLEMENTED);
});

t.test('[PR-08] gRPC-Web by an HTTP/1.1 client', async (t) => {
  const { app, webPort } = await mesh(t);
  const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from('hello')]);

  await t.test('binary', async (t) => {
    const answer = await post(webPort, 'application/grpc-web+proto', message);
    t.equal(answer.type, 'application/grpc-web+proto');
    t.ok(answer.body.subarray(0, message.length).equals(message));
    const trailers = answer.body.subarray(message.length);
    t.equal(trailers[0], 0x80);
    t.equal(trailers.readUInt32BE(1), trailers.length - 5);
    t.match(trailers.subarray(5).toString(), /^(.*\r\n)*grpc-status:0\r\n/);
    t.same(app.seen().get('x-answer'), ['web']);
  });

  await t.test('text', async (t) => {
    const text = Buffer.from(message.toString('base64'));
    const answer = await post(webPort, 'application/grpc-web-text', text);
    t.equal(answer.type, 'application/grpc-web-text+proto');
    // Parts are padded one by one: a decoder of groups reads them.
    const groups = answer.body.toString().match(/.{4}/g) ?? [];
    const bytes = Buffer.concat(groups.map((group) => Buffer.from(group, 'base64')));
    t.ok(bytes.subarray(0, message.length).equals(message));
    t.equal(bytes[message.length], 0x80);
  });

  await t.test('an error of the server', async (t) => {
    app.failures.push({ code: status.NOT_FOUND, inTrailers: false });
    const answer = await post(webPort, 'application/grpc-web', message, 'Flaky');
    t.equal(answer.grpcStatus, String(status.NOT_FOUND));
    t.equal(answer.body.length, 0);
  });
});

interface WebAnswer {
  readonly type: string | undefined;
  readonly grpcStatus: string | undefined;
  readonly body: Buffer;
}

function post(port: number, type: string, body: Buffer, name = 'Unary'): Promise<WebAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port,
        method: 'POST',
        path: `/test.Echo/${name}`,
        agent: false,
        headers: { 'content-type': type, accept: type, 'x-grpc-web': '1', 'x-answer': 'web' },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            type: response.headers['content-type'],
            grpcStatus: response.headers['grpc-status'] as string | undefined,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** The values of all series of a counter. */
function sum(page: string, name: string): number {
  let total = 0;
  for (const line of page.split('\n')) {
    if (line.startsWith(`${name}{`)) total += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return total;
}
