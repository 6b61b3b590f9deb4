/**
 * An app with an unmodified @grpc/grpc-js-xds: dials `argv[2]` (`xds:///…`) by $GRPC_XDS_BOOTSTRAP_CONFIG and makes the
 * unary calls that it is asked for over HTTP: `GET /?path=/orders.Orders/Who&count=20&deadlineMs=5000&md-user=jason`
 * answers with a JSON list of `CallResult`. `together=false` makes them one after another.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { register } from '@grpc/grpc-js-xds';

export interface CallResult {
  /** `grpc.status`; 0 = OK. */
  readonly code: number;
  /** The answer, or the error's text. */
  readonly text: string;
  readonly tookMs: number;
}

const METADATA_PREFIX = 'md-';

register();
const client = new Client(process.argv[2]!, credentials.createInsecure());

function call(query: URLSearchParams): Promise<CallResult> {
  const metadata = new Metadata();
  for (const [key, value] of query) {
    if (key.startsWith(METADATA_PREFIX)) metadata.set(key.slice(METADATA_PREFIX.length), value);
  }
  const began = performance.now();
  const deadline = Date.now() + Number(query.get('deadlineMs') ?? 15_000);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      query.get('path') ?? '',
      (text: string) => Buffer.from(text),
      (bytes: Buffer) => bytes.toString(),
      '',
      metadata,
      { deadline },
      (error, answer) =>
        resolve({
          code: error?.code ?? 0,
          text: error?.message ?? answer ?? '',
          tookMs: performance.now() - began,
        }),
    );
  });
}

const server = createServer(async (request, response) => {
  const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
  const count = Number(query.get('count') ?? 1);
  const results: CallResult[] = [];
  if (query.get('together') === 'false') {
    while (results.length < count) results.push(await call(query));
  } else {
    results.push(...(await Promise.all(Array.from({ length: count }, () => call(query)))));
  }
  response.end(JSON.stringify(results));
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`calls on ${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
