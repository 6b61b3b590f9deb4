import { execFile, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KINDS } from '../kinds/kind-registry.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { type ApiServer, createApiServer } from './api-server.ts';

const missing = spawnSync('kubectl', ['version', '--client']).error !== undefined;

const policy = (weight: string) => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v1}
      ${weight}: 90
    - destination: {host: reviews, subset: v2}
      ${weight}: 10
`;

describe.skipIf(missing)('a stock kubectl (skipped where there is none)', () => {
  const store = createMemoryStore('id');
  let server: ApiServer;
  let home = '';
  beforeAll(async () => {
    home = fs.mkdtempSync(path.join(os.tmpdir(), 'weft-kubectl-'));
    server = await createApiServer({
      store,
      kinds: KINDS,
      listen: { host: '127.0.0.1', port: 0 },
      now: () => Date.parse('2026-03-01T10:00:00Z'),
      logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    });
  });
  afterAll(async () => {
    await server.close();
    await store.close();
    fs.rmSync(home, { recursive: true, force: true });
  });

  /** Standard output and error of one command, and its exit code. */
  function kubectl(args: string, input = ''): Promise<{ out: string; code: number }> {
    const { promise, resolve } = Promise.withResolvers<{ out: string; code: number }>();
    const url = `http://127.0.0.1:${server.address.port}`;
    const env = { PATH: process.env['PATH'], HOME: home };
    const child = execFile(
      'kubectl',
      [`--server=${url}`, ...args.split(' ')],
      { env },
      (error, out, err) => {
        resolve({ out: out + err, code: error === null ? 0 : Number(error.code) });
      },
    );
    child.stdin?.end(input);
    return promise;
  }

  test('applies, shows, changes, diffs and deletes policies', { timeout: 60_000 }, async () => {
    const name = 'virtualservice.networking.istio.io/reviews';
    expect((await kubectl('apply -f -', policy('weight'))).out).toBe(`${name} created\n`);
    expect((await kubectl('apply -f -', policy('weight'))).out).toBe(`${name} unchanged\n`);
    const other = policy('weight').replace('90', '80');
    expect(await kubectl('diff -f -', other)).toMatchObject({ code: 1 });
    expect((await kubectl('apply -f -', other)).out).toBe(`${name} configured\n`);
    expect((await kubectl('get vs')).out).toMatch(
      /^NAME +GATEWAYS +HOSTS +AGE\nreviews +\["reviews"\]/,
    );
    expect((await kubectl('label vs reviews team=red')).out).toBe(`${name} labeled\n`);
    expect((await kubectl('get vs -A -l team=red -o name')).out).toBe(`${name}\n`);
    expect((await kubectl('delete vs reviews')).out).toContain('"reviews" deleted');
    expect((await kubectl('get vs')).out).toBe('No resources found in default namespace.\n');
  });

  test('explains the fields of a kind', { timeout: 60_000 }, async () => {
    const { out } = await kubectl('explain vs.spec.http.retries');
    expect(out).toContain('FIELD: retries <Object>');
    expect(out).toMatch(/attempts\s+<integer>\n\s+Tries after the first/);
  });

  test('[PL-05] shows what is wrong by field', { timeout: 60_000 }, async () => {
    const { out, code } = await kubectl('apply -f -', policy('weigth'));
    expect(code).toBe(1);
    expect(out).toContain('* spec.http[0].route[0].weigth: unknown field (did you mean weight?)');
  });
});
