import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The licence texts of every package that has a file among `inputs` (paths from `root`), by name: what their licences
 * ask to go along with a copy. Throws where a package has neither a licence file nor names its licence.
 */
export function thirdPartyLicenses(root: string, inputs: readonly string[]): string {
  const directories = new Set<string>();
  for (const input of inputs) {
    const match = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input);
    if (match !== null) directories.add(match[0]);
  }
  const notices = new Map<string, string>();
  for (const directory of directories) {
    const { name, version, license, repository } = JSON.parse(
      readFileSync(join(root, directory, 'package.json'), 'utf8'),
    ) as Manifest;
    const texts = readdirSync(join(root, directory))
      .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
      .sort()
      .map((file) => readFileSync(join(root, directory, file), 'utf8').trim());
    if (texts.length === 0 && license === undefined) {
      throw new Error(`${directory} has neither a licence file nor a licence in package.json`);
    }
    const url = typeof repository === 'object' ? repository.url : repository;
    const head = `${name} ${version} (${license ?? 'see below'})${url === undefined ? '' : `\n${url}`}`;
    notices.set(`${name} ${version}`, [head, ...texts].join('\n\n'));
  }
  const rule = `\n\n${'='.repeat(78)}\n\n`;
  return `${[...notices.keys()]
    .sort()
    .map((key) => notices.get(key)!)
    .join(rule)}\n`;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly repository?: string | { readonly url: string };
}
