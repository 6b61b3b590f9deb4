import { existsSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { z } from 'zod';
import { POOL_SLOTS } from './address-pool.ts';
import type { RegistrationRecord } from './workload-registrations.ts';

export interface KeptRegistrations {
  readonly registrations: readonly RegistrationRecord[];
  /** Slots of the address pool, by `namespace/host` of the service (DS-06). */
  readonly slots: ReadonlyMap<string, number>;
}

/**
 * What was registered, kept over a restart: a control plane that comes back knows the endpoints of sidecars that have
 * not come back yet, and tells nobody that they are gone (F4). A record of what was, never of what must be: each entry
 * has to be taken up again by its sidecar before its lease ends.
 */
export class RegistrationFile {
  readonly #path: string;
  readonly #export: () => KeptRegistrations;
  readonly #onError: (error: unknown) => void;
  #isDirty = false;
  #writing: Promise<void> | null = null;

  constructor(
    path: string,
    exportRecords: () => KeptRegistrations,
    onError: (error: unknown) => void,
  ) {
    this.#path = path;
    this.#export = exportRecords;
    this.#onError = onError;
  }

  /** An absent file holds none. A file that cannot be read is a problem, because who was there is then unknown. */
  read(): KeptRegistrations | { readonly problem: string } {
    if (!existsSync(this.#path)) return { registrations: [], slots: new Map() };
    try {
      const { registrations, slots } = FILE.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      return {
        registrations: registrations.map((record) => ({
          ...record,
          labels: Object.assign(Object.create(null), record.labels),
        })),
        slots: new Map(slots),
      };
    } catch (error) {
      return { problem: `${this.#path} cannot be read: ${(error as Error).message.slice(0, 500)}` };
    }
  }

  /** Something changed. Writes follow one another; changes meanwhile are joined. The disk never holds others up (F5). */
  changed(): void {
    this.#isDirty = true;
    this.#writing ??= this.#writeAll();
  }

  /** When all is written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        const { registrations, slots } = this.#export();
        await this.#write(`${JSON.stringify({ version: 1, registrations, slots: [...slots] })}\n`);
      } catch (error) {
        this.#onError(error);
      }
    }
    this.#writing = null;
  }

  async #write(text: string): Promise<void> {
    const draft = `${this.#path}.tmp`;
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, this.#path);
  }
}

const TEXT = z.string().max(4096);
const PORT = z.number().int().min(1).max(65_535);
const RECORD = z.object({
  identity: z.object({ trustDomain: TEXT, namespace: TEXT, serviceAccount: TEXT }),
  namespace: TEXT,
  serviceAccount: TEXT,
  workload: TEXT,
  host: TEXT,
  address: TEXT,
  ports: z
    .array(
      z.object({
        number: PORT,
        name: TEXT,
        protocol: z.enum(['http', 'http2', 'grpc-web', 'tcp', 'tls', 'udp', 'detect']),
        dial: PORT,
      }),
    )
    .max(64),
  labels: z.record(TEXT, TEXT),
  locality: TEXT,
  health: z.enum(['HEALTHY', 'UNHEALTHY']),
  registeredAtMs: z.number(),
});
const FILE = z.object({
  version: z.literal(1),
  registrations: z.array(RECORD),
  // Absent in a file of before there were any.
  slots: z.array(z.tuple([TEXT, z.number().int().min(1).max(POOL_SLOTS)])).default([]),
});
