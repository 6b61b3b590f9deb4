import { configStoreContract } from './config-store.contract.ts';
import { createMemoryStore } from './memory-store.ts';

configStoreContract('memory', async (historyEventsMax) =>
  createMemoryStore('id-1', historyEventsMax),
);
