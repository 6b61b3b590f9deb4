/** Polls until `condition` gives a value; rejects after `timeoutMs` naming what it waited for. Never a plain sleep. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms for ${what}, in vain`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
