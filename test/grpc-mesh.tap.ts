import { request } from 'node:http';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { applyPolicy } from './harness/apply-policy.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { grpcEchoApp } from './harness/grpc-echo-app.ts';
import { GrpcEchoClient } from './harness/grpc-echo-client.ts';
import { grpcMessage } from './harness/raw-grpc.ts';
import { until } from './harness/until.ts';
import { Workload } from './harness/workload.ts';

/** gRPC from app to app through two sidecars that a control plane configures. */

t.setTimeout(120_000);

t.test('[PR-07] gRPC in a mesh', async (t) => {
  const controlPlane = await ControlPlane.start();
  const app = await grpcEchoApp();
  const [server, web, caller] = await Promise.all([
    Workload.ready(controlPlane, { service: 'echo', protocol: 'grpc', appPort: app.port }),
    Workload.ready(controlPlane, { service: 'web', protocol: 'grpc-web', appPort: app.port }),
    Workload.ready(controlPlane),
  ]);
  const client = new GrpcEchoClient(`127.0.0.1:${caller.outboundPort}`, {
    'grpc.default_authority': 'echo.default:9080',
  });
  t.teardown(async () => {
    client.close();
    await Promise.all([server.stop(), web.stop(), caller.stop()]);
    await controlPlane.stop();
    app.close();
  });
  const metrics = async ({ settings }: Workload) =>
    (await (await fetch(`http://${settings.prometheus}/stats/prometheus`)).text()).split('\n');

  await t.test('unary and bidirectional calls', async (t) => {
    await until('the service', async () => {
      return (await client.unary('Unary', Buffer.from('x'))).code === status.OK;
    });
    t.equal(await client.turnByTurn(20), status.OK);
  });

  await t.test(
    '[OB-01] [OB-02] both sidecars count calls and messages over mutual TLS',
    async (t) => {
      for (const [workload, reporter] of [
        [caller, 'source'],
        [server, 'destination'],
      ] as const) {
        const labels = [
          `reporter="${reporter}"`,
          'request_protocol="grpc"',
          'grpc_response_status="0"',
          'destination_principal="spiffe://cluster.local/ns/default/sa/echo"',
          'destination_service="echo.default.svc.cluster.local"',
        ];
        for (const name of [
          'istio_requests_total',
          'istio_request_messages_total',
          'istio_response_messages_total',
        ]) {
          const lines = await metrics(workload);
          const found = lines.some(
            (line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)),
          );
          t.ok(found, `${name} of the ${reporter}`);
        }
      }
    },
  );

  await t.test('a client that was given the sidecar as its proxy', async (t) => {
    process.env['grpc_proxy'] = `http://127.0.0.1:${caller.outboundPort}`;
    const proxied = new GrpcEchoClient('echo.default:9080');
    delete process.env['grpc_proxy'];
    t.teardown(() => proxied.close());
    const result = await proxied.unary('Unary', Buffer.from('hello'), { deadlineMs: 10_000 });
    t.equal(result.code, status.OK, result.details);
    t.equal(String(result.message), 'hello');
    const lines = await metrics(caller);
    t.notOk(lines.some((line) => line.startsWith('istio_tcp_connections_opened_total{')));
  });

  await t.test('[RS-12] a deadline ends the call at the server behind both sidecars', async (t) => {
    const before = app.cancelled();
    const result = await client.unary('Hang', Buffer.alloc(1), { deadlineMs: 300 });
    t.equal(result.code, status.DEADLINE_EXCEEDED);
    await until('the cancellation', () => app.cancelled() === before + 1);
  });

  await t.test(
    '[RS-01] [RS-07] the mesh default repeats UNAVAILABLE, in head and trailers',
    async (t) => {
      for (const inTrailers of [false, true]) {
        const before = app.begun.get('Flaky') ?? 0;
        app.failures.push({ code: status.UNAVAILABLE, inTrailers });
        const result = await client.unary('Flaky', Buffer.from('x'));
        t.equal(result.code, status.OK, result.details);
        t.equal(app.begun.get('Flaky'), before + 2);
      }
    },
  );

  await t.test('[TM-06] [TM-18] a VirtualService tells methods apart by their path', async (t) => {
    await applyPolicy(
      controlPlane,
      `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [echo]
  http:
  - match: [{uri: {exact: /test.Echo/Flaky}}]
    fault: {abort: {grpcStatus: RESOURCE_EXHAUSTED, percentage: {value: 100}}}
    route: [{destination: {host: echo}}]
  - match: [{uri: {prefix: /test.Echo/}}]
    route: [{destination: {host: echo}}]
`,
    );
    await until('the fault', async () => {
      return (await client.unary('Flaky', Buffer.from('x'))).code === status.RESOURCE_EXHAUSTED;
    });
    t.equal((await client.unary('Unary', Buffer.from('x'))).code, status.OK);
  });

  await t.test('[PR-01] [PR-08] gRPC-Web at a port that says grpc-web', async (t) => {
    const answer = await until('the service', async () => {
      const given = await webCall(caller.outboundPort, grpcMessage('hello'));
      return given.status === 200 && given.type === 'application/grpc-web+proto'
        ? given
        : undefined;
    });
    t.ok(answer.body.subarray(0, 10).equals(grpcMessage('hello')));
    t.match(answer.body.subarray(10).toString('latin1'), /^\x80.*grpc-status:0\r\n/s);
  });
});

function webCall(
  proxyPort: number,
  message: Buffer,
): Promise<{ status: number | undefined; type: string | undefined; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const type = 'application/grpc-web+proto';
    const sent = request(
      {
        port: proxyPort,
        agent: false,
        method: 'POST',
        path: 'http://web:9080/test.Echo/Unary',
        headers: { host: 'web:9080', 'content-type': type, accept: type },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode,
            type: response.headers['content-type'],
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(message);
  });
}
