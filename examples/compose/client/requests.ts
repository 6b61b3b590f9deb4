import { parseArgs } from 'node:util';

/**
 * An app that only calls: `node requests.ts URL [--count N] [--rate PER_SECOND] [--header name:value]…`. Prints how often which
 * status, version of reviews or error came, as a line of JSON, at the end and (`--count 0`: without end) every minute.
 * It knows nothing of a mesh; Node.js itself reads HTTP_PROXY where NODE_USE_ENV_PROXY is set.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '1' },
    rate: { type: 'string', default: '0' },
    header: { type: 'string', multiple: true, default: [] },
  },
});
const [url] = positionals;
const count = Number(values.count);
const rate = Number(values.rate);
if (url === undefined || !(count >= 0) || !(rate >= 0)) {
  console.error(
    'Usage: node requests.ts URL [--count N] [--rate PER_SECOND] [--header name:value]…',
  );
  process.exit(64);
}

const TIMEOUT_MS = 10_000;
const REPORT_MS = 60_000;
/** Without a rate: so many at a time. */
const AT_ONCE = 10;

const headers = values.header.map((text): [string, string] => {
  const colon = text.indexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1).trim()];
});
let answers = new Map<string, number>();
let left = count === 0 ? Number.POSITIVE_INFINITY : count;

// As process 1 of a container it gets no default action for a signal.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    report();
    process.exit(0);
  });
}
if (count === 0) setInterval(report, REPORT_MS);
if (rate > 0) await atRate(url);
else await Promise.all(Array.from({ length: AT_ONCE }, () => oneAfterAnother(url)));
report();
process.exit(0);

async function oneAfterAnother(to: string): Promise<void> {
  while (left > 0) {
    left -= 1;
    await ask(to);
  }
}

/** By the clock and not by the answers, so that slow answers do not slow the load down. */
async function atRate(to: string): Promise<void> {
  const underWay = new Set<Promise<void>>();
  while (left > 0) {
    left -= 1;
    const asked = ask(to).finally(() => underWay.delete(asked));
    underWay.add(asked);
    await new Promise((resolve) => setTimeout(resolve, 1000 / rate));
  }
  await Promise.all(underWay);
}

async function ask(to: string): Promise<void> {
  let answer: string;
  try {
    const response = await fetch(to, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    answer = /\breviews-v\d\b/.exec(text)?.[0] ?? String(response.status);
    if (!response.ok) answer = `${response.status} ${text.slice(0, 100).trim()}`;
  } catch (error) {
    const { cause, message } = error as Error & { cause?: Error };
    answer = cause?.message ?? message;
  }
  answers.set(answer, (answers.get(answer) ?? 0) + 1);
}

function report(): void {
  console.log(JSON.stringify(Object.fromEntries([...answers].sort())));
  answers = new Map();
}
