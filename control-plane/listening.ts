import { formatListenAddress, type ListenAddress } from './listen-address.ts';
import { StartError } from './start-error.ts';

/** What `start` gives; where it cannot listen, a `StartError` that says on what and by which flag to choose another. */
export async function listening<T>(
  flag: string,
  listen: ListenAddress,
  start: () => Promise<T>,
): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === 'WEFT_INJECTION_SETTINGS') throw error; // its message says it all
    const address = formatListenAddress(listen);
    const isTaken = code === 'EADDRINUSE' || message.includes('EADDRINUSE');
    throw new StartError(
      isTaken
        ? `${address} is in use by another process; stop it, or choose another with ${flag} host:port`
        : `cannot listen on ${address} (${flag}): ${message}`,
    );
  }
}
