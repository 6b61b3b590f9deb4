import type { ConfigStore } from './config-store.ts';
import { JournaledStore } from './journaled-store.ts';

/** A store for tests and trials: everything is gone with the process. `identity`: a new UUID. */
export function createMemoryStore(identity: string, historyEventsMax?: number): ConfigStore {
  const journal = { append: async () => ({ kind: 'ok' }) as const, close: async () => undefined };
  const content = { identity, revision: 0, objects: [], history: [] };
  return new JournaledStore(journal, content, historyEventsMax);
}
