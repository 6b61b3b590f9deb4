import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { AppProbe, type ProbeResult, probeApp } from './app-probe.ts';

const WELL: ProbeResult = { healthy: true, message: '' };
const SICK: ProbeResult = { healthy: false, message: 'ECONNREFUSED' };

/** Plays a list of answers to the probe and returns what was reported. */
async function play(
  answers: readonly ProbeResult[],
): Promise<{ said: boolean[]; waits: number[] }> {
  const said: boolean[] = [];
  const waits: number[] = [];
  let next: () => void = () => {};
  let at = 0;
  const probe = new AppProbe({
    targets: [{ host: '127.0.0.1', port: 1, path: '', sources: [] }],
    probe: async () => answers[at++]!,
    after: (ms, callback) => {
      waits.push(ms);
      next = callback;
      return () => {};
    },
    onChange: ({ healthy }) => void said.push(healthy),
  });
  probe.start();
  for (let round = 1; round <= answers.length; round++) {
    while (waits.length < round) await new Promise((resolve) => setImmediate(resolve));
    if (round < answers.length) next();
  }
  probe.close();
  return { said, waits };
}

test('[DS-04] the first answer is told at once, whatever it is', async () => {
  expect((await play([WELL])).said).toEqual([true]);
  expect((await play([SICK])).said).toEqual([false]);
});

test('[DS-04] an app that starts is asked four times a second, one that runs every other second', async () => {
  const { said, waits } = await play([SICK, SICK, WELL, WELL]);
  expect(said).toEqual([false, true]);
  expect(waits).toEqual([250, 250, 2000, 2000]);
});

test('one failure is no outage, three in a row are', async () => {
  expect((await play([WELL, SICK, WELL, SICK, SICK, WELL])).said).toEqual([true]);
  expect((await play([WELL, SICK, SICK, SICK, SICK, WELL])).said).toEqual([true, false, true]);
});

test('a TCP probe is well where something listens', async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await probeApp({ host: '127.0.0.1', port, path: '', sources: [] })).toEqual(WELL);
  await new Promise((resolve) => server.close(resolve));
  const { healthy, message } = await probeApp({ host: '127.0.0.1', port, path: '', sources: [] });
  expect([healthy, message]).toEqual([false, `127.0.0.1:${port}: ECONNREFUSED`]);
});

test('an HTTP probe is well from 200 to 399', async () => {
  const server = createHttpServer((request, response) => {
    response.statusCode = Number(request.url!.slice(1));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const results: boolean[] = [];
  for (const status of [200, 302, 404, 503]) {
    results.push(
      (await probeApp({ host: '127.0.0.1', port, path: `/${status}`, sources: [] })).healthy,
    );
  }
  expect(results).toEqual([true, true, false, false]);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
