import { readFileSync } from 'node:fs';

/** Of this command line, and so of the image that belongs to it. */
export function ownVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
