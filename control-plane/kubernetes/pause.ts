/** Resolves after `delayMs`, or at once when `signal` calls it off. */
export function pause(
  schedule: (delayMs: number, callback: () => void) => () => void,
  delayMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = schedule(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
