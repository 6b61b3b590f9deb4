import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { appEndpointsFromEnvironment } from '../proxy/status/status-environment.ts';
import { bootstrapFromEnvironment } from '../proxy/xds/bootstrap/environment.ts';
import {
  ENVIRONMENT_KEYS,
  FOREIGN_KEYS,
  METADATA_PREFIX,
} from '../proxy/xds/bootstrap/environment-variables.ts';
import { SETTING_KEYS } from '../proxy/xds/bootstrap/settings.ts';

const page = readFileSync(join(import.meta.dirname, '../docs/sidecar-container.md'), 'utf8');

/** First cells of the table under `## <heading>`. */
function rows(heading: string): string[] {
  const section = page.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]!);
}

test('docs/sidecar-container.md lists every variable of a sidecar, and no other', () => {
  const known = [...ENVIRONMENT_KEYS, ...SETTING_KEYS, ...FOREIGN_KEYS, `${METADATA_PREFIX}<X>`];
  expect(rows('Variables').sort()).toEqual(known.sort());
});

test('every variable that is listed is read, and no other', () => {
  const read = new Set<string>();
  const variables = new Proxy<Record<string, string>>(
    { WEFT_CONTROL_PLANE: 'a:1' },
    {
      get: (target, name: string) => {
        read.add(name);
        return target[name];
      },
    },
  );
  bootstrapFromEnvironment({ variables, hostName: 'h', addresses: [], readFile: () => 'x' });
  appEndpointsFromEnvironment(variables);
  const named = [...read].filter((name) => !name.startsWith(METADATA_PREFIX));
  expect(named.sort()).toEqual([...ENVIRONMENT_KEYS, ...SETTING_KEYS, ...FOREIGN_KEYS].sort());
});

test('docs/sidecar-container.md lists the commands of the container', () => {
  const commands = rows('Hooks of the container').map((cell) => cell.split(' ')[2]);
  expect(commands).toEqual(['wait', 'drain', 'healthcheck']);
});
