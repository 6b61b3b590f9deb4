import http from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KINDS } from '../kinds/kind-registry.ts';
import type { ConfigStore } from '../store/config-store.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { ApiRoutes, json } from './api-routes.ts';
import { type ApiServer, type ApiServerOptions, createApiServer } from './api-server.ts';

const NOW = Date.parse('2026-03-01T10:00:00.500Z');
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const VS = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';

let store: ConfigStore;
let server: ApiServer;

async function start(options: Partial<ApiServerOptions> = {}): Promise<void> {
  server = await createApiServer({
    store,
    kinds: KINDS,
    listen: { host: '127.0.0.1', port: 0 },
    now: () => NOW,
    logger,
    ...options,
  });
}

beforeEach(() => {
  store = createMemoryStore('id', 16);
});
afterEach(async () => {
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes
  readonly body: any;
}

/** node:http and not fetch: tests set Host and Origin. */
function call(
  method: string,
  path: string,
  body?: unknown,
  headers: http.OutgoingHttpHeaders = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const described =
    text === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  const request = http.request(
    {
      host: '127.0.0.1',
      port: server.address.port,
      method,
      path,
      headers: { ...described, ...headers },
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const received = Buffer.concat(chunks).toString();
        const isJson = response.headers['content-type'] === 'application/json';
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: received,
          body: isJson ? JSON.parse(received) : undefined,
        });
      });
    },
  );
  request.on('error', reject);
  request.end(text);
  return promise;
}

function policy(name: string, subset = 'v1', metadata: object = {}) {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, ...metadata },
    spec: { hosts: [name], http: [{ route: [{ destination: { host: name, subset } }] }] },
  };
}

/** A watch whose events can be awaited one by one. */
async function watch(query: string, headers: http.OutgoingHttpHeaders = {}) {
  const events: string[] = [];
  const objects: { type: string; object: Record<string, never> }[] = [];
  let wake: () => void = () => undefined;
  let ended = false;
  const response = await new Promise<http.IncomingMessage>((resolve) => {
    http.get(
      { host: '127.0.0.1', port: server.address.port, path: `${VS}?watch=true&${query}`, headers },
      resolve,
    );
  });
  let rest = '';
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const event = JSON.parse(line);
      objects.push(event);
      events.push(
        `${event.type} ${event.object.metadata?.name ?? event.object.code ?? event.object.metadata.resourceVersion}`,
      );
    }
    wake();
  });
  response.on('close', () => {
    ended = true;
    wake();
  });
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    events,
    objects,
    response,
    seen: (count: number) => until(() => events.length >= count),
    end: () => until(() => ended),
    close: () => response.destroy(),
  };
}

describe('objects', () => {
  beforeEach(() => start());

  test('create completes the metadata and answers 201', async () => {
    const { status, body } = await call('POST', VS, policy('reviews'));
    expect(status).toBe(201);
    expect(body).toMatchObject({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: {
        name: 'reviews',
        namespace: 'default',
        creationTimestamp: '2026-03-01T10:00:00Z',
        generation: 1,
        resourceVersion: '1',
      },
    });
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect((await call('GET', `${VS}/reviews`)).body).toEqual(body);
  });

  test('create of what exists is 409 AlreadyExists', async () => {
    await call('POST', VS, policy('reviews'));
    const { status, body } = await call('POST', VS, policy('reviews'));
    expect([status, body.kind, body.reason, body.code]).toEqual([
      409,
      'Status',
      'AlreadyExists',
      409,
    ]);
    expect(body.details).toEqual({
      name: 'reviews',
      group: 'networking.istio.io',
      kind: 'virtualservices',
    });
  });

  test('a missing object is 404 NotFound, for every verb', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const { status, body } = await call(
        method,
        `${VS}/x`,
        method === 'PUT' ? policy('x') : undefined,
      );
      expect([method, status, body.reason]).toEqual([method, 404, 'NotFound']);
      expect(body.message).toBe('virtualservices.networking.istio.io "x" not found');
    }
  });

  test('replace bumps the generation only where the spec changes, and keeps uid and creation', async () => {
    const made = (await call('POST', VS, policy('reviews'))).body;
    const labelled = await call(
      'PUT',
      `${VS}/reviews`,
      policy('reviews', 'v1', { labels: { a: 'b' } }),
    );
    expect(labelled.body.metadata).toMatchObject({
      generation: 1,
      resourceVersion: '2',
      uid: made.metadata.uid,
      labels: { a: 'b' },
    });
    const changed = await call('PUT', `${VS}/reviews`, policy('reviews', 'v2'));
    expect(changed.body.metadata).toMatchObject({ generation: 2, resourceVersion: '3' });
    expect(changed.body.metadata.creationTimestamp).toBe(made.metadata.creationTimestamp);
  });

  test('replacing an object by itself is no write', async () => {
    const made = (await call('POST', VS, policy('reviews'))).body;
    const { status, body } = await call('PUT', `${VS}/reviews`, made);
    expect([status, body.metadata.resourceVersion]).toEqual([200, '1']);
  });

  test('replace with an older resourceVersion is 409 Conflict, without one it wins', async () => {
    await call('POST', VS, policy('reviews'));
    await call('PUT', `${VS}/reviews`, policy('reviews', 'v2'));
    const stale = policy('reviews', 'v3', { resourceVersion: '1' });
    const { status, body } = await call('PUT', `${VS}/reviews`, stale);
    expect([status, body.reason]).toEqual([409, 'Conflict']);
    expect((await call('PUT', `${VS}/reviews`, policy('reviews', 'v3'))).status).toBe(200);
    const other = policy('reviews', 'v4', { uid: '00000000-0000-0000-0000-000000000000' });
    expect((await call('PUT', `${VS}/reviews`, other)).status).toBe(409);
  });

  test('merge patch changes what it names and removes what it nulls', async () => {
    await call('POST', VS, policy('reviews', 'v1', { labels: { a: '1', b: '2' } }));
    const patch = { metadata: { labels: { a: null, c: '3' } }, spec: { exportTo: ['.'] } };
    const { status, body } = await call('PATCH', `${VS}/reviews`, patch, {
      'content-type': 'application/merge-patch+json',
    });
    expect([status, body.metadata.labels, body.spec.exportTo, body.spec.hosts]).toEqual([
      200,
      { b: '2', c: '3' },
      ['.'],
      ['reviews'],
    ]);
    const bad = await call(
      'PATCH',
      `${VS}/reviews`,
      { spec: { hosst: [] } },
      {
        'content-type': 'application/merge-patch+json',
      },
    );
    expect(bad.body.details.causes[0]).toMatchObject({ field: 'spec.hosst' });
  });

  test('delete answers Success, and honours preconditions', async () => {
    await call('POST', VS, policy('reviews'));
    const refused = await call('DELETE', `${VS}/reviews`, { preconditions: { uid: 'other' } });
    expect([refused.status, refused.body.reason]).toEqual([409, 'Conflict']);
    const { status, body } = await call('DELETE', `${VS}/reviews`);
    expect([status, body.status]).toEqual([200, 'Success']);
    expect((await call('GET', `${VS}/reviews`)).status).toBe(404);
  });

  test('dryRun=All judges and shows, and writes nothing', async () => {
    expect((await call('POST', `${VS}?dryRun=All`, policy('reviews'))).status).toBe(201);
    expect((await call('GET', `${VS}/reviews`)).status).toBe(404);
    await call('POST', VS, policy('reviews'));
    await call('PUT', `${VS}/reviews?dryRun=All`, policy('reviews', 'v9'));
    await call('DELETE', `${VS}/reviews?dryRun=All`);
    expect((await call('GET', `${VS}/reviews`)).body.metadata.resourceVersion).toBe('1');
  });

  test('all versions of a kind are one object; each is shown as the version asked for', async () => {
    const old = { ...policy('reviews'), apiVersion: 'networking.istio.io/v1alpha3' };
    await call('POST', VS.replace('/v1/', '/v1alpha3/'), old);
    expect((await call('GET', `${VS}/reviews`)).body.apiVersion).toBe('networking.istio.io/v1');
    const beta = await call('GET', VS.replace('/v1/', '/v1beta1/'));
    expect(beta.body.items[0].apiVersion).toBe('networking.istio.io/v1beta1');
  });

  test('lists select by namespace, labels and fields, and carry the revision', async () => {
    await call('POST', VS, policy('a', 'v1', { labels: { team: 'red' } }));
    await call('POST', VS, policy('b', 'v1', { labels: { team: 'blue' } }));
    await call('POST', VS.replace('/default/', '/other/'), policy('c'));
    const names = async (path: string) => {
      const { body } = await call('GET', path);
      return body.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name).join();
    };
    expect(await names(VS)).toBe('a,b');
    expect(await names('/apis/networking.istio.io/v1/virtualservices')).toBe('a,b,c');
    for (const [query, found] of [
      ['labelSelector=team%3Dred', 'a'],
      ['labelSelector=team!%3Dred', 'b'],
      ['labelSelector=team', 'a,b'],
      ['labelSelector=!team', ''],
      ['labelSelector=team+in+(red,blue)', 'a,b'],
      ['labelSelector=team+notin+(red)', 'b'],
      ['labelSelector=constructor', ''],
      ['fieldSelector=metadata.name%3Db', 'b'],
    ]) {
      expect([query, await names(`${VS}?${query}`)]).toEqual([query, found]);
    }
    expect((await call('GET', VS)).body.metadata.resourceVersion).toBe('3');
    expect((await call('GET', `${VS}?fieldSelector=spec.x%3D1`)).status).toBe(400);
    expect((await call('GET', `${VS}?labelSelector=a%3D%3D%3Db`)).status).toBe(400);
  });

  test('[PL-05] an object with wrong fields is 422, every field a cause', async () => {
    const wrong = policy('reviews') as Record<string, unknown>;
    wrong['spec'] = {
      hosts: ['reviews'],
      htpp: [],
      http: [{ route: [{ destination: {}, weight: -1 }] }],
    };
    const { status, body } = await call('POST', VS, wrong);
    expect([status, body.reason]).toEqual([422, 'Invalid']);
    expect(body.message).toContain('VirtualService.networking.istio.io "reviews" is invalid');
    expect(body.details.causes.map(({ field, message }: never) => `${field}: ${message}`)).toEqual([
      'spec.htpp: unknown field (did you mean http?)',
      'spec.http[0].route[0].destination: host is required',
      'spec.http[0].route[0].weight: -1 is not a whole number from 0 to 2147483647',
    ]);
  });

  test('what cannot be read, or is another thing than the URL says, is 400', async () => {
    for (const body of [
      '{"a": ',
      '',
      '[]',
      JSON.stringify({ ...policy('x'), kind: 'Gateway' }),
      JSON.stringify({ ...policy('x'), kind: 'DestinationRule', spec: { host: 'x' } }),
      JSON.stringify(policy('x', 'v1', { namespace: 'other' })),
      JSON.stringify(policy('x', 'v1', { resourceVersion: '7' })),
      `${JSON.stringify(policy('x'))}\n---\n${JSON.stringify(policy('y'))}`,
    ]) {
      const { status } = await call('POST', VS, body);
      expect([body.slice(0, 60), status]).toEqual([
        body.slice(0, 60),
        expect.toBeOneOf([400, 422]),
      ]);
    }
    expect((await call('PUT', `${VS}/other`, policy('x'))).status).toBe(400);
    expect((await call('POST', VS.replace('default', 'No%20Such'), policy('x'))).status).toBe(400);
    expect(
      (await call('POST', '/apis/networking.istio.io/v1/virtualservices', policy('x'))).status,
    ).toBe(400);
    expect(await store.revision()).toBe(0);
  });

  test('YAML bodies are taken too, and their problems have positions', async () => {
    const yaml = { 'content-type': 'application/yaml' };
    const text =
      'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\nspec:\n  hots: reviews\n';
    const url = VS.replace('virtualservices', 'destinationrules');
    const { body } = await call('POST', url, text, yaml);
    expect(body.details.causes[0]).toMatchObject({ field: 'spec.hots', line: 5, column: 3 });
    expect((await call('POST', url, text.replace('hots', 'host'), yaml)).status).toBe(201);
  });

  test('Table output prints the columns of the kind', async () => {
    await call('POST', VS, policy('reviews'));
    const { body } = await call('GET', VS, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
    });
    expect(body.kind).toBe('Table');
    expect(body.columnDefinitions.map(({ name }: { name: string }) => name)).toEqual([
      'Name',
      'Gateways',
      'Hosts',
      'Age',
    ]);
    expect(body.rows[0].cells).toEqual(['reviews', '', '["reviews"]', '0s']);
    expect(body.rows[0].object.kind).toBe('PartialObjectMetadata');
  });
});

describe('watch', () => {
  beforeEach(() => start({ bookmarkIntervalMs: 5 }));

  test('goes on from a resourceVersion and tells every change', async () => {
    await call('POST', VS, policy('a'));
    await call('POST', VS, policy('b'));
    const watching = await watch('resourceVersion=1');
    await watching.seen(1);
    await call('PUT', `${VS}/a`, policy('a', 'v2'));
    await call('DELETE', `${VS}/b`);
    await watching.seen(3);
    expect(watching.events).toEqual(['ADDED b', 'MODIFIED a', 'DELETED b']);
    expect(watching.objects[2]!.object['metadata']).toMatchObject({ resourceVersion: '4' });
    watching.close();
  });

  test('without a resourceVersion begins with what there is', async () => {
    await call('POST', VS, policy('a'));
    const watching = await watch('');
    await watching.seen(1);
    await call('POST', VS, policy('b'));
    await watching.seen(2);
    expect(watching.events).toEqual(['ADDED a', 'ADDED b']);
    watching.close();
  });

  test('with a selector, an object that stops matching is deleted for the client', async () => {
    const label = (team: string) => ({ labels: { team } });
    await call('POST', VS, policy('a', 'v1', label('red')));
    const watching = await watch('labelSelector=team%3Dred');
    await watching.seen(1);
    await call('PUT', `${VS}/a`, policy('a', 'v1', label('blue')));
    await call('PUT', `${VS}/a`, policy('a', 'v2', label('blue')));
    await call('PUT', `${VS}/a`, policy('a', 'v2', label('red')));
    await watching.seen(3);
    expect(watching.events).toEqual(['ADDED a', 'DELETED a', 'ADDED a']);
    watching.close();
  });

  test('bookmarks carry the latest revision seen', async () => {
    await call('POST', VS, policy('a'));
    const watching = await watch('resourceVersion=1&allowWatchBookmarks=true');
    await watching.seen(1);
    expect(watching.events[0]).toBe('BOOKMARK 1');
    watching.close();
  });

  test('from before the history ends in an ERROR event 410 Expired', async () => {
    for (let index = 0; index < 20; index++) await call('POST', VS, policy(`p${index}`));
    const watching = await watch('resourceVersion=1');
    await watching.end();
    expect(watching.events).toEqual(['ERROR 410']);
    expect(watching.objects[0]!.object['reason']).toBe('Expired');
  });

  test('ends after timeoutSeconds, and when the server closes', async () => {
    const short = await watch('timeoutSeconds=1');
    const long = await watch('');
    await short.end();
    const closing = server.close();
    await long.end();
    await closing;
    await start();
  });

  test('a watcher that does not read is dropped', async () => {
    const watching = await watch('resourceVersion=1');
    watching.response.pause();
    const filler = 'x'.repeat(400_000);
    const dropped = new Promise((resolve) => watching.response.on('close', resolve));
    for (let index = 0; index < 60; index++) {
      const annotations = { filler, index: String(index) };
      await store.create({
        ...(policy(`p${index}`) as never as Parameters<ConfigStore['create']>[0]),
        metadata: { name: `p${index}`, namespace: 'default', labels: {}, annotations } as never,
      });
    }
    watching.response.resume();
    await dropped;
    expect(watching.events.length).toBeLessThan(60);
  });
});

describe('the server', () => {
  test('[A7.1] on loopback a foreign Host or Origin is refused', async () => {
    await start();
    const { port } = server.address;
    expect((await call('GET', VS, undefined, { host: `evil.example:${port}` })).status).toBe(403);
    expect((await call('GET', VS, undefined, { host: `localhost:${port}` })).status).toBe(200);
    expect((await call('GET', VS, undefined, { host: `[::1]:${port}` })).status).toBe(200);
    const origin = (value: string) => ({ host: `localhost:${port}`, origin: value });
    expect((await call('GET', VS, undefined, origin('http://evil.example'))).status).toBe(403);
    expect((await call('GET', VS, undefined, origin('null'))).status).toBe(403);
    expect((await call('GET', VS, undefined, origin(`http://localhost:${port}`))).status).toBe(200);
    expect((await call('GET', VS, undefined, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
  });

  test('[A7.1] a body that a browser form can send is refused', async () => {
    await start();
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      '',
    ]) {
      const { status } = await call('POST', VS, JSON.stringify(policy('x')), {
        'content-type': type,
      });
      expect([type, status]).toEqual([type, 415]);
    }
  });

  test('with a token, everything but health needs it', async () => {
    const token = 'a-token-of-some-length';
    await start({ token });
    expect((await call('GET', '/healthz')).status).toBe(200);
    const none = await call('GET', VS);
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="weft"']);
    const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
    expect((await call('GET', VS, undefined, bearer('a-token-of-some-lengthX'))).status).toBe(401);
    expect((await call('GET', VS, undefined, bearer(token))).status).toBe(200);
  });

  test('does not listen beyond loopback without a token', async () => {
    await expect(start({ listen: { host: '0.0.0.0', port: 0 } })).rejects.toThrow(
      'the API would listen on 0.0.0.0 without a token; set a token, or listen on 127.0.0.1',
    );
    await start();
  });

  test('a port in use is an error of start', async () => {
    await start();
    const { port } = server.address;
    const second = createApiServer({
      store,
      kinds: KINDS,
      listen: { host: '127.0.0.1', port },
      now: () => NOW,
      logger,
    });
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('discovery lists groups, versions and resources', async () => {
    await start({ version: '1.2.3' });
    expect((await call('GET', '/api')).body.versions).toEqual([]);
    const groups = (await call('GET', '/apis')).body.groups;
    expect(groups.map(({ name }: { name: string }) => name)).toEqual([
      'networking.istio.io',
      'security.istio.io',
    ]);
    const { resources } = (await call('GET', '/apis/networking.istio.io/v1')).body;
    expect(resources[0]).toMatchObject({
      name: 'virtualservices',
      kind: 'VirtualService',
      namespaced: true,
      shortNames: ['vs'],
    });
    expect((await call('GET', '/apis/security.istio.io/v1alpha3')).status).toBe(404);
    expect((await call('GET', '/version')).body.gitVersion).toContain('weft-1.2.3');
  });

  test('/readyz says what is missing', async () => {
    let missing: string | undefined = 'certificate authority';
    await start({ notReady: () => missing });
    expect(await call('GET', '/readyz')).toMatchObject({
      status: 503,
      text: 'certificate authority',
    });
    missing = undefined;
    expect((await call('GET', '/readyz')).status).toBe(200);
  });

  test('routes of others are served beside the resources', async () => {
    const routes = new ApiRoutes()
      .add('GET', '/weft/v1/proxies/:id', ({ params }) => json(200, { id: params.get('id') }))
      .add('POST', '/weft/v1/tokens', ({ body }) => json(201, JSON.parse(body)))
      .add('GET', '/weft/v1/broken', () => {
        throw new Error('secret detail');
      });
    await start({ routes });
    expect((await call('GET', '/weft/v1/proxies/a%2Fb')).body).toEqual({ id: 'a/b' });
    expect((await call('POST', '/weft/v1/tokens', { ttl: 1 })).body).toEqual({ ttl: 1 });
    const wrong = await call('DELETE', '/weft/v1/tokens');
    expect([wrong.status, wrong.headers['allow']]).toEqual([405, 'POST']);
    const broken = await call('GET', '/weft/v1/broken');
    expect(broken.status).toBe(500);
    expect(broken.text).not.toContain('secret');
  });

  test('unknown paths are 404, wrong methods 405, both as Status', async () => {
    await start();
    for (const path of [
      '/',
      '/apis/x/v1/y',
      '/apis/networking.istio.io/v2/virtualservices',
      '/%zz',
    ]) {
      const { status, body } = await call('GET', path);
      expect([path, status, body.kind]).toEqual([path, path === '/%zz' ? 400 : 404, 'Status']);
    }
    expect((await call('DELETE', VS)).status).toBe(405);
    expect((await call('POST', `${VS}/x`, policy('x'))).headers['allow']).toBe(
      'GET, PUT, PATCH, DELETE',
    );
  });

  test('a body beyond the limit is 413, one that is no UTF-8 is 400', async () => {
    await start();
    expect((await call('POST', VS, 'x'.repeat(3 * 1024 * 1024 + 1))).status).toBe(413);
    const latin1 = await new Promise<number>((resolve, reject) => {
      const request = http.request(
        {
          host: '127.0.0.1',
          port: server.address.port,
          method: 'POST',
          path: VS,
          headers: { 'content-type': 'application/json' },
        },
        (response) => resolve(response.resume().statusCode ?? 0),
      );
      request.on('error', reject);
      request.end(Buffer.from([0x22, 0xff, 0x22]));
    });
    expect(latin1).toBe(400);
  });

  test('[F3] a store that cannot write answers 507, reads go on', async () => {
    await start();
    store.create = async () => ({
      kind: 'unavailable',
      reason: 'full',
      message: 'the disk is full',
    });
    const { status, body } = await call('POST', VS, policy('x'));
    expect([status, body.message]).toEqual([507, 'the disk is full']);
    expect((await call('GET', VS)).status).toBe(200);
  });
});
