import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Authority, createRoot } from '../ca/authority.ts';
import { ServerCertificate } from '../ca/server-certificate.ts';
import { admissionReview, policyReview, virtualService } from './admission.testing.ts';
import {
  type AdmissionServer,
  createAdmissionServer,
  REVIEW_BYTES_MAX,
} from './admission-server.ts';
import { injectionWebhook } from './injection-webhook.ts';
import { validatePolicy } from './validation-webhook.ts';

const SERVICE = 'weft-control-plane.weft-system.svc';
const POD = admissionReview({ object: { metadata: { name: 'a' } } });
const quiet = { info: () => undefined, error: () => undefined };

let server: AdmissionServer;
let certificate: ServerCertificate;
let roots: string;
let notReady: string | undefined;
let httpErrors: number[];
let injected: number;
let agent: Agent;

beforeEach(async () => {
  const material = await createRoot('cluster.local', Date.now(), 3_600_000);
  const authority = await Authority.open(material, Date.now);
  roots = material.rootsPem;
  notReady = undefined;
  httpErrors = [];
  injected = 0;
  certificate = await ServerCertificate.open({
    authority: () => authority,
    trustDomain: 'cluster.local',
    names: [],
    ttlMs: 3_600_000,
    schedule: () => () => undefined,
    log: quiet,
  });
  server = await createAdmissionServer({
    listen: { host: '127.0.0.1', port: 0 },
    followKeyPair: (listener) => certificate.follow(listener),
    inject: injectionWebhook(
      async (pod) => {
        if (pod === 'bug') throw new Error('a bug');
        injected++;
        return { kind: 'injected', patch: [{ op: 'add' }], warnings: [] };
      },
      { injectionRequest: () => undefined, injection: () => undefined },
    ),
    validate: validatePolicy,
    notReady: () => notReady,
    counts: { validation: () => undefined, webhookHttpError: (status) => httpErrors.push(status) },
    log: quiet,
    nowMs: () => performance.now(),
  });
  agent = new Agent({ keepAlive: true });
});
afterEach(async () => {
  agent.destroy();
  certificate.close();
  await server.close();
});

interface Given {
  readonly method?: string;
  readonly type?: string;
  readonly agent?: Agent;
  readonly chunked?: boolean;
}

/** As the API server calls: by address, with the service's name as server name, trusting `caBundle`. */
function call(
  path: string,
  body: string | Buffer | object,
  { method = 'POST', type = 'application/json', agent: own = agent, chunked = false }: Given = {},
): Promise<{ status: number; text: string; serial: string; reused: boolean }> {
  const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...server.address,
      path,
      method,
      agent: own,
      ca: roots,
      servername: SERVICE,
      headers: {
        'content-type': type,
        ...(chunked ? {} : { 'content-length': Buffer.byteLength(bytes) }),
      },
    });
    request.on('response', (response) => {
      const serial = (response.socket as TLSSocket).getPeerX509Certificate()?.serialNumber ?? '';
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode!, text, serial, reused: request.reusedSocket }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

test('[KI-01] a review is answered with HTTP 200, the uid and the patch, over TLS that caBundle proves', async () => {
  const { status, text } = await call('/inject?timeout=10s', POD);
  expect(status).toBe(200);
  expect(JSON.parse(text)).toMatchObject({
    kind: 'AdmissionReview',
    response: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      allowed: true,
      patchType: 'JSONPatch',
    },
  });
});

test('[PL-05] a refusal too is HTTP 200', async () => {
  const { status, text } = await call('/validate', policyReview(virtualService({ hosts: 1 })));
  expect(status).toBe(200);
  expect(JSON.parse(text)).toMatchObject({ response: { allowed: false, status: { code: 422 } } });
});

test.each<[string, string, string | Buffer, Given, number]>([
  ['another path', '/mutate', '{}', {}, 404],
  ['a path below', '/validate/x', '{}', {}, 404],
  ['a path that climbs', '/inject/cluster/..%2f..', '{}', {}, 404],
  ['a path with a bad escape', '/inject/%zz', '{}', {}, 404],
  ['a long path', `/inject/${'a'.repeat(2000)}`, '{}', {}, 404],
  ['GET', '/inject', '', { method: 'GET' }, 405],
  ['PUT', '/validate', '{}', { method: 'PUT' }, 405],
  ['YAML', '/inject', 'a: b', { type: 'application/yaml' }, 415],
  ['no type', '/inject', '{}', { type: '' }, 415],
  ['no JSON', '/inject', 'a: b', {}, 400],
  ['bytes that are no UTF-8', '/inject', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), {}, 400],
  [
    'v1beta1',
    '/inject',
    '{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}',
    {},
    400,
  ],
  ['more than 3 MiB', '/inject', ' '.repeat(REVIEW_BYTES_MAX + 1), {}, 413],
  [
    'more than 3 MiB in chunks',
    '/inject',
    ' '.repeat(REVIEW_BYTES_MAX + 1),
    { chunked: true },
    413,
  ],
  ['random bytes', '/validate', randomBytes(1000), {}, 400],
])(
  '[A6.8] %s gets its status and a reason, and the server goes on',
  async (_name, path, body, given, status) => {
    const own = new Agent();
    // A body that is refused half-read may meet the closing connection: the status has come by then, or nothing has.
    const reply = await call(path, body, { ...given, agent: own }).catch((error: Error) => error);
    if (reply instanceof Error)
      expect((reply as NodeJS.ErrnoException).code).toMatch(/EPIPE|ECONNRESET/);
    else expect(reply).toMatchObject({ status, text: expect.stringMatching(/.+\n$/) });
    expect(httpErrors).toEqual([status]);
    expect((await call('/inject', POD)).status).toBe(200);
  },
);

test('3 MiB of a pod are read, and answered', async () => {
  const review = JSON.stringify(POD).replace('"name":"a"', `"name":"${'a'.repeat(3_000_000)}"`);
  expect((await call('/inject', review)).status).toBe(200);
});

test('[A6.8] a dry run is answered like any other review', async () => {
  const { text } = await call('/inject', admissionReview({ object: {}, dryRun: true }));
  expect(JSON.parse(text)).toMatchObject({ response: { allowed: true, patchType: 'JSONPatch' } });
});

test('a bug in the injector is HTTP 500, which failurePolicy decides about, and tells nothing', async () => {
  const { status, text } = await call('/inject', admissionReview({ object: 'bug' }));
  expect({ status, text }).toEqual({ status: 500, text: expect.not.stringContaining('a bug') });
  expect((await call('/inject', POD)).status).toBe(200);
});

test('not ready: 503 with the reason, reviews too', async () => {
  notReady = 'the settings are not read yet';
  expect(await call('/readyz', '', { method: 'GET' })).toMatchObject({ status: 503 });
  expect(await call('/inject', POD)).toMatchObject({ status: 503, text: `${notReady}\n` });
  notReady = undefined;
  expect(await call('/readyz', '', { method: 'GET' })).toMatchObject({ status: 200, text: 'ok\n' });
});

test('[SC-05] a renewed certificate is shown to new connections; one that is open stays', async () => {
  const first = await call('/inject', POD);
  await certificate.renew();
  const kept = await call('/inject', POD);
  expect(kept).toMatchObject({ status: 200, serial: first.serial, reused: true });
  const fresh = await call('/inject', POD, { agent: new Agent() });
  expect(fresh.status).toBe(200);
  expect(fresh.serial).not.toBe(first.serial);
});

test('[A6.8] the certificate names the service that the API server calls', async () => {
  const socket = connect({ ...server.address, ca: roots, servername: SERVICE });
  await once(socket, 'secureConnect');
  expect(socket.authorized).toBe(true);
  const shown = new X509Certificate(socket.getPeerX509Certificate()!.raw);
  expect(shown.checkHost(SERVICE)).toBe(SERVICE);
  expect(shown.checkHost('kubernetes.default.svc')).toBeUndefined();
  socket.destroy();
});

test('[A6.8] slow callers and half requests keep nobody waiting', async () => {
  const slow: TLSSocket[] = [];
  for (const text of [
    '',
    'POST /inj',
    'POST /inject HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
  ]) {
    for (let count = 0; count < 30; count++) {
      const socket = connect({ ...server.address, ca: roots, servername: SERVICE });
      socket.on('error', () => undefined);
      slow.push(socket);
      await once(socket, 'secureConnect');
      socket.write(text);
    }
  }
  const answers = await Promise.all(Array.from({ length: 100 }, () => call('/inject', POD)));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(injected).toBe(100);
  for (const socket of slow) socket.destroy();
});

test('[A6.8] strangers who hold every connection do not keep the API server out', async () => {
  expect((await call('/inject', POD)).reused).toBe(false);
  const strangers = Array.from({ length: 1100 }, () => {
    const socket = connectTcp(server.address);
    socket.on('error', () => undefined);
    return socket;
  });
  await Promise.all(strangers.map((socket) => once(socket, 'connect')));
  const anew = new Agent({ keepAlive: true });
  expect((await call('/inject', POD, { agent: anew })).status).toBe(200);
  expect(await call('/inject', POD, { agent: anew })).toMatchObject({ status: 200, reused: true });
  anew.destroy();
  for (const socket of strangers) socket.destroy();
});

test('[A6.8] large reviews in parallel leave room for small ones', async () => {
  const keys = Array.from({ length: 60_000 }, (_, at) => `"k${at}":1`).join(',');
  const large = JSON.stringify(POD).replace('"name":"a"', keys);
  const floods = Array.from({ length: 10 }, () =>
    call('/inject', large, { agent: new Agent() }).then(
      ({ status }) => status,
      () => 0,
    ),
  );
  for (let count = 0; count < 5; count++) {
    expect((await call('/inject', POD)).status).toBe(200);
  }
  const statuses = await Promise.all(floods);
  expect(statuses).toContain(200);
  expect(statuses.every((status) => [200, 503, 0].includes(status))).toBe(true);
  expect((await call('/inject', POD)).status).toBe(200);
});

test('a stop does not wait for callers that say nothing', async () => {
  const mute = [connectTcp(server.address), connectTcp(server.address)];
  const half = connect({ ...server.address, ca: roots, servername: SERVICE });
  await Promise.all([
    ...mute.map((socket) => once(socket, 'connect')),
    once(half, 'secureConnect'),
  ]);
  half.write('POST /inject HTTP/1.1\r\n');
  const gone = [...mute, half].map((socket) => {
    socket.on('error', () => undefined);
    return once(socket, 'close');
  });
  await Promise.all([server.close(), ...gone]);
  expect(await call('/inject', POD, { agent: new Agent() }).catch(({ code }) => code)).toBe(
    'ECONNREFUSED',
  );
});

test('a port that is taken is an error with its code', async () => {
  await expect(
    createAdmissionServer({
      listen: server.address,
      followKeyPair: (listener) => certificate.follow(listener),
      inject: async () => ({ kind: 'allowed', patch: [], warnings: [], audit: {} }),
      validate: validatePolicy,
      notReady: () => undefined,
      counts: { validation: () => undefined, webhookHttpError: () => undefined },
      log: quiet,
      nowMs: () => 0,
    }),
  ).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
