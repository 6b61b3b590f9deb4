import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { until } from '../../test/harness/until.ts';
import { HttpEndpoint, plain } from './http-endpoint.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function endpointOf(connectionsMax: number) {
  const endpoint = new HttpEndpoint({
    name: 'test',
    portSetting: 'TEST',
    guardBrowsers: false,
    connectionsMax,
    routes: new Map([['/ready', { method: 'GET', help: '', handle: () => plain(200, 'ready\n') }]]),
  });
  const { port } = await endpoint.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => endpoint.close());
  const closed: number[] = [];
  let count = 0;
  const open = (): Promise<Socket> => {
    const own = count++;
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.on('close', () => closed.push(own));
    cleanups.push(() => socket.destroy());
    return new Promise((resolve) => socket.on('connect', () => resolve(socket)));
  };
  return { port, open, closed };
}

test('[A1.5] strangers who hold every connection do not keep a kubelet out', async () => {
  const { port, open, closed } = await endpointOf(4);
  for (let each = 0; each < 4; each++) (await open()).write('GET /ready HTTP/1.1\r\nHost: a');
  const answer = await fetch(`http://127.0.0.1:${port}/ready`);
  expect([answer.status, await answer.text()]).toEqual([200, 'ready\n']);
  await until('the oldest to make room', () => closed.length > 0);
  expect(closed).toEqual([0]);
});

test('[A1.5] who has asked last stays longest', async () => {
  const { open, closed } = await endpointOf(2);
  const first = await open();
  await open();
  first.write('GET /ready HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => first.once('data', resolve));
  await open();
  await until('one to make room', () => closed.length > 0);
  expect(closed).toEqual([1]);
});
