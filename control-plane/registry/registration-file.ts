import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import type { RegistrationRecord } from './workload-registrations.ts';

/**
 * What was registered, kept over a restart: a control plane that comes back knows the endpoints of sidecars that have
 * not come back yet, and tells nobody that they are gone (F4). A record of what was, never of what must be: every
 * entry still has to be taken up again by its sidecar before its lease ends.
 */
export function readRegistrations(file: string): RegistrationRecord[] | { problem: string } {
  if (!existsSync(file)) return [];
  try {
    return FILE.parse(JSON.parse(readFileSync(file, 'utf8'))).registrations.map((record) => ({
      ...record,
      labels: Object.assign(Object.create(null), record.labels),
    }));
  } catch (error) {
    return { problem: `${file} cannot be read: ${(error as Error).message.slice(0, 500)}` };
  }
}

export function formatRegistrations(registrations: readonly RegistrationRecord[]): string {
  return `${JSON.stringify({ version: 1, registrations })}\n`;
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
        protocol: z.enum(['http', 'http2', 'tcp', 'tls', 'udp', 'detect']),
        dial: PORT,
      }),
    )
    .max(64),
  labels: z.record(TEXT, TEXT),
  locality: TEXT,
  health: z.enum(['HEALTHY', 'UNHEALTHY']),
  registeredAtMs: z.number(),
});
const FILE = z.object({ version: z.literal(1), registrations: z.array(RECORD) });
