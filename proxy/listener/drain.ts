import type { ListenerManager } from './listener-manager.ts';

/** Milliseconds without a connection after which a draining proxy may go before its time. */
const DRAINED_AFTER_MS = 1000;
/** Milliseconds before the end of the drain when the ports close, so that the last requests can end. */
const LAST_REQUESTS_MS = 1000;
/** Milliseconds of a turn of the event loop in which hardly a connection can have arrived. */
const QUIET_TURN_MS = 0.3;
/** Turns looked at before the ports close anyway. */
const QUIET_TURNS_MAX = 500;
/** Milliseconds between looks at the connections while draining. */
const DRAIN_LOOK_MS = 100;

/**
 * `connection: close` on everything, still accepting (OP-05). Shortly before `drainMs` the ports close, so that the last
 * requests taken can end before whoever calls cuts what is left. Resolves early when no connection has been open for a
 * second, but not before `minimumMs`.
 */
export async function drain(
  listeners: ListenerManager,
  drainMs: number,
  minimumMs: number,
): Promise<void> {
  listeners.drain();
  const endMs = performance.now() + drainMs;
  const lastRequestsMs = Math.min(LAST_REQUESTS_MS, drainMs / 2);
  await waitMs(Math.min(minimumMs, drainMs - lastRequestsMs));
  if (await noConnections(listeners, endMs - lastRequestsMs, DRAINED_AFTER_MS)) return;
  await quietTurn(listeners);
  listeners.stopAccepting();
  await noConnections(listeners, endMs, 0);
}

/**
 * Resolves right after a turn of the event loop that was short and accepted nothing. What the kernel
 * holds unaccepted when a port closes is reset, and only such a turn has left next to nothing there.
 */
async function quietTurn(listeners: ListenerManager): Promise<void> {
  for (let turn = 0; turn < QUIET_TURNS_MAX; turn++) {
    const accepted = connectionsAccepted(listeners);
    const startMs = performance.now();
    await new Promise((resolve) => setImmediate(resolve));
    if (connectionsAccepted(listeners) !== accepted) continue;
    if (performance.now() - startMs < QUIET_TURN_MS) return;
  }
}

function connectionsAccepted({ listeners }: ListenerManager): number {
  let total = 0;
  for (const { stats } of listeners.values()) total += stats.connectionsTotal.value;
  return total;
}

/** True once no connection has been open for `idleMs`, false at `endMs`. */
async function noConnections(
  listeners: ListenerManager,
  endMs: number,
  idleMs: number,
): Promise<boolean> {
  let idleSinceMs = performance.now();
  for (let nowMs = idleSinceMs; nowMs < endMs; nowMs = performance.now()) {
    if (listeners.connectionsActive > 0) idleSinceMs = nowMs;
    else if (nowMs - idleSinceMs >= idleMs) return true;
    await new Promise((resolve) => setTimeout(resolve, Math.min(DRAIN_LOOK_MS, endMs - nowMs)));
  }
  return false;
}

/** Keeps the process alive meanwhile. */
function waitMs(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
