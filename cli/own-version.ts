import manifest from '../package.json' with { type: 'json' };

/** Of this command line, and so of the image that belongs to it. */
export function ownVersion(): string {
  return manifest.version;
}
