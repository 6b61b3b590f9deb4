import { join } from 'node:path';

/** What Node.js runs as a sidecar. A bundle puts a file of its own in this one's place: `deploy/docker/bundle.ts`. */
export const PROXY_PROGRAM = join(import.meta.dirname, '../../proxy/main.ts');
