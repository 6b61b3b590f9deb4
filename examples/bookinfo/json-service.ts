import { createServer, type IncomingMessage } from 'node:http';

/** What a handler answers: an object leaves as JSON, a string as HTML. */
export interface Answer {
  readonly status: number;
  readonly body: object | string;
  readonly headers?: Record<string, string>;
}

export type Handler = (
  request: IncomingMessage,
  url: URL,
  body: string,
) => Promise<Answer> | Answer;

/**
 * Serves `handler` on $PORT (default 9080) and $HOST (default 127.0.0.1) until SIGTERM; `GET /health` is answered here. A plain
 * HTTP service: it knows nothing of a mesh.
 */
export function serve(name: string, handler: Handler): void {
  const server = createServer(async (request, response) => {
    let answer: Answer;
    try {
      const url = new URL(request.url ?? '/', 'http://localhost');
      if (url.pathname === '/health')
        answer = { status: 200, body: { status: `${name} is healthy` } };
      else answer = await handler(request, url, await readBody(request));
    } catch (error) {
      answer = { status: 500, body: { error: (error as Error).message } };
    }
    const html = typeof answer.body === 'string';
    response.writeHead(answer.status, {
      'content-type': html ? 'text/html; charset=utf-8' : 'application/json',
      ...answer.headers,
    });
    response.end(html ? answer.body : JSON.stringify(answer.body));
  });
  const port = Number(process.env['PORT'] ?? 9080);
  server.listen(port, process.env['HOST'] ?? '127.0.0.1', () => {
    const address = server.address();
    console.error(`${name} listens on port ${typeof address === 'object' ? address?.port : port}`);
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      server.close(() => process.exit(0));
      server.closeIdleConnections();
    });
  }
}

const BODY_BYTES_MAX = 64 * 1024;

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error('the body is larger than 64 KiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
