import { Agent, request } from 'node:http';

/** How a load went. */
export interface LoadResult {
  readonly made: number;
  /** One line for each request that was not answered as it should have been. */
  readonly failed: readonly string[];
}

export interface SteadyLoad {
  /** Requests that have ended so far. */
  readonly made: () => number;
  /** Starts no more requests, and waits for those under way. */
  stop(): Promise<LoadResult>;
}

const BODY = Buffer.alloc(3_000, 'b');
const TICKS = 30;

/**
 * Requests at a fixed rate through a sidecar's outbound port to an `eitherVersionApp`, as an app with a pool of
 * HTTP/1.1 connections sends them: two of three GET, one POST with a body, and one of `longEvery` (0 = none) a response
 * that takes a second and a half.
 */
export function steadyLoad(
  proxyPort: number,
  url: string,
  perSecond = 150,
  longEvery = 50,
): SteadyLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  const underWay = new Set<Promise<void>>();
  const failed: string[] = [];
  let started = 0;
  let made = 0;
  const begin = () => {
    const number = started++;
    const one = sendOne(agent, proxyPort, url, number, longEvery > 0 && number % longEvery === 7)
      .then((problem) => {
        made++;
        if (problem !== '') failed.push(`${number}: ${problem}`);
      })
      .finally(() => underWay.delete(one));
    underWay.add(one);
  };
  // By the clock: a timer alone falls behind on a busy machine.
  const startMs = performance.now();
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startMs) * perSecond) / 1_000);
    for (let count = 0; started < due && count < perSecond; count++) begin();
  }, 10);
  return {
    made: () => made,
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      agent.destroy();
      return { made, failed };
    },
  };
}

/** Why it did not go as it should, or ''. */
function sendOne(
  agent: Agent,
  port: number,
  url: string,
  number: number,
  long: boolean,
): Promise<string> {
  const post = number % 3 === 2;
  const path = long ? `${url}/ticks/${TICKS}` : `${url}/${number}`;
  return new Promise((resolve) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        agent,
        method: post ? 'POST' : 'GET',
        headers: { host: new URL(url).host, ...(post && { 'content-length': BODY.length }) },
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve(judge(response.statusCode ?? 0, body, long, post)));
        response.on('error', (error) => resolve(`response cut: ${error.message}`));
      },
    );
    outgoing.setTimeout(20_000, () => outgoing.destroy(new Error('no answer in 20 s')));
    outgoing.on('error', (error) => resolve(error.message));
    outgoing.end(post ? BODY : undefined);
  });
}

function judge(status: number, body: string, long: boolean, post: boolean): string {
  if (status !== 200) return `${status} ${body}`;
  if (long) return body.endsWith(`\n${TICKS}\n`) ? '' : `stream ended after ${body.slice(-20)}`;
  const { bodyBytes } = JSON.parse(body) as { bodyBytes: number };
  return bodyBytes === (post ? BODY.length : 0) ? '' : `the app saw ${bodyBytes} bytes`;
}
