import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { generate } from './generate.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'weft-proto-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('proto/gen is what generate.ts makes of the .proto files', { timeout: 180_000 }, () => {
  const fresh = path.join(scratch, 'gen');
  generate(fresh);
  const committed = path.join(import.meta.dirname, 'gen');
  expect(filesIn(committed), 'run `make proto` and commit proto/gen').toEqual(filesIn(fresh));
  const stale = filesIn(fresh).filter(
    (file) =>
      readFileSync(path.join(fresh, file), 'utf8') !==
      readFileSync(path.join(committed, file), 'utf8'),
  );
  expect(stale, 'run `make proto` and commit proto/gen').toEqual([]);
});

function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .sort();
}
