import { createServer } from 'node:net';

/** A name in the abstract socket namespace, which each network namespace has for itself, as it has its rules. */
const NAME = '\0weft-redirect';
const RETRY_MS = 50;

/**
 * Only one `weft redirect` at a time changes the rules of a network namespace. The kernel ends a turn with its
 * process. Where the turn does not come in time the answer is `late`: an app could hold the name to stop the mesh, so
 * the caller goes on, and what two at once would spoil is found when the rules are read back.
 */
export async function takeTurn(waitMs: number): Promise<{ late: boolean; end(): void }> {
  const until = performance.now() + waitMs;
  for (;;) {
    const server = createServer((socket) => socket.destroy());
    const got = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ path: NAME }, () => resolve(true));
    });
    if (got) return { late: false, end: () => void server.close() };
    if (performance.now() > until) return { late: true, end: () => {} };
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}
