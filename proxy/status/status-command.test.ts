import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { runStatusCommand } from './status-command.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A status port that answers with the next of `statuses`, the last one again and again; 0 = never. */
async function statusPort(...statuses: number[]) {
  const asked: string[] = [];
  const server = createServer(({ method, url }, response) => {
    asked.push(`${method} ${url}`);
    const status = statuses.length > 1 ? statuses.shift()! : statuses[0]!;
    if (status !== 0) response.writeHead(status).end(status === 200 ? 'ready\n' : 'not ready: x\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test('[KI-04] wait asks until the sidecar is ready', async () => {
  const { address, asked } = await statusPort(503, 503, 200);
  const result = await runStatusCommand(['wait', '--timeout', '20s'], { WEFT_STATUS: address });
  expect(result).toEqual({ code: 0, message: '' });
  expect(asked).toEqual(Array(3).fill('GET /healthz/ready'));
});

test('[KI-04] wait ends in its time, with what the sidecar said last', async () => {
  const { address } = await statusPort(503);
  expect(await runStatusCommand(['wait', '--timeout', '50ms', '--address', address], {})).toEqual({
    code: 1,
    message: `the sidecar at ${address} is not ready after 0.05 s: not ready: x`,
  });
  const silent = await statusPort(0);
  const { message } = await runStatusCommand(['wait', '--timeout', '50ms'], {
    WEFT_STATUS: silent.address,
  });
  expect(message).toContain('no answer within');
});

test('[KI-06] healthcheck is one question', async () => {
  const well = await statusPort(200);
  expect(await runStatusCommand(['healthcheck'], { WEFT_STATUS: well.address })).toEqual({
    code: 0,
    message: '',
  });
  const ill = await statusPort(503);
  expect(await runStatusCommand(['healthcheck'], { WEFT_STATUS: ill.address })).toEqual({
    code: 1,
    message: 'not ready: x',
  });
  expect(ill.asked).toHaveLength(1);
});

test('drain is a POST', async () => {
  const { address, asked } = await statusPort(200);
  expect((await runStatusCommand(['drain'], { WEFT_STATUS: address })).code).toBe(0);
  expect(asked).toEqual(['POST /drain']);
});

test('an address for every interface is asked on loopback', async () => {
  const { address } = await statusPort(200);
  const port = address.split(':')[1]!;
  const { code } = await runStatusCommand(['healthcheck'], { WEFT_STATUS: `0.0.0.0:${port}` });
  expect(code).toBe(0);
});

test('[KI-04] so is one of both families, also in a pod where IPv6 is turned off', async () => {
  const { address } = await statusPort(200); // of IPv4 alone: nothing is at ::1
  const WEFT_STATUS = `[::]:${address.split(':')[1]!}`;
  for (const command of ['wait', 'drain', 'healthcheck']) {
    expect(await runStatusCommand([command, '--timeout', '1s'], { WEFT_STATUS })).toEqual({
      code: 0,
      message: '',
    });
  }
});

test('without a status port readiness is asked on its own', async () => {
  const { address } = await statusPort(200);
  const variables = { WEFT_STATUS: 'none', WEFT_READINESS: address };
  expect((await runStatusCommand(['wait'], variables)).code).toBe(0);
  expect(await runStatusCommand(['drain'], variables)).toEqual({
    code: 64,
    message: 'WEFT_STATUS=none: there is no status port to drain by',
  });
});

test.each([
  [['wait', '--timeout', 'soon'], '--timeout "soon" must be a duration such as 60s'],
  [['wait', '--tiemout', '1s'], "Unknown option '--tiemout'"],
  [['wait', 'more'], "Unexpected argument 'more'"],
  [['healthcheck', '--address', '15020'], '"15020" must read host:port'],
])('%j is wrong use, 64', async (args, message) => {
  const result = await runStatusCommand(args, {});
  expect(result.code).toBe(64);
  expect(result.message).toContain(message);
});

test('--help says what there is', async () => {
  const { code, message } = await runStatusCommand(['wait', '--help'], {});
  expect(code).toBe(0);
  expect(message).toContain('weft proxy wait|drain|healthcheck');
});
