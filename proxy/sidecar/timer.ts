/** Waits for `promise`, at most `ms`. */
export async function withinMs(ms: number, promise: Promise<unknown>): Promise<void> {
  let cancel = () => {};
  const timeout = new Promise<void>((resolve) => {
    cancel = after(ms, resolve);
  });
  try {
    await Promise.race([promise, timeout]);
  } finally {
    cancel();
  }
}

/** One timer that does not keep the process alive; the answer cancels it. */
export function after(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  timer.unref();
  return () => clearTimeout(timer);
}
