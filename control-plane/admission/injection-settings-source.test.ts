import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { InjectionSettingsSource } from './injection-settings-source.ts';

let directory: string;
let file: string;
let clock: HandClock;
let errors: unknown[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-settings-'));
  file = join(directory, 'settings.yaml');
  clock = new HandClock();
  errors = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (path: string | null) =>
  InjectionSettingsSource.open({
    file: path,
    defaults: { trustDomain: 'example.org' },
    schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
    log: { info: () => undefined, error: (fields) => errors.push(fields) },
  });

function opened(path: string | null): InjectionSettingsSource {
  const source = open(path);
  if ('problems' in source) throw new Error(source.problems.join('\n'));
  return source;
}

test('without a file the defaults hold, with what the control plane knows of itself', () => {
  const { settings } = opened(null);
  expect(settings).toMatchObject({ image: 'weft:latest', trustDomain: 'example.org' });
  expect(clock.timerCount).toBe(0);
});

test('the file comes before the defaults, and is read again when it is replaced', () => {
  writeFileSync(file, 'image: weft:1\ntrustDomain: other.org # ours\n');
  const source = opened(file);
  expect(source.settings).toMatchObject({ image: 'weft:1', trustDomain: 'other.org' });
  writeFileSync(`${file}.new`, '{"image": "weft:2"}');
  renameSync(`${file}.new`, file);
  clock.advance(2000);
  expect(source.settings).toMatchObject({ image: 'weft:2', trustDomain: 'example.org' });
  source.close();
  expect(clock.timerCount).toBe(0);
});

test('a file that becomes wrong, or is away, leaves the settings as they were, and is named once', () => {
  writeFileSync(file, 'image: weft:1\n');
  const source = opened(file);
  writeFileSync(file, 'image: weft:1\nimagee: x\n');
  clock.advance(6000);
  expect(errors).toHaveLength(1);
  rmSync(file);
  clock.advance(2000);
  expect(source.settings.image).toBe('weft:1');
  writeFileSync(file, 'image: weft:3\n');
  clock.advance(2000);
  expect(source.settings.image).toBe('weft:3');
  source.close();
});

test.each<[string, string, RegExp]>([
  ['an unknown setting', 'imagee: x\n', /settings\.yaml:1:\d+: .*imagee/],
  ['a wrong value', 'image: weft\nstatusPort: 99999\n', /settings\.yaml:2:13: statusPort: /],
  ['no YAML', 'a: [\n', /settings\.yaml:\d+:\d+: /],
  ['a list', '- a\n', /must be one map/],
  ['two documents', 'image: a:1\n---\nimage: b:1\n', /must be one map/],
])('%s stops the start with its place', (_name, text, problem) => {
  writeFileSync(file, text);
  const source = open(file);
  expect(source).toEqual({ problems: [expect.stringMatching(problem)] });
});

test('a file that is not there stops the start', () => {
  expect(open(file)).toEqual({ problems: [expect.stringMatching(/cannot be read: ENOENT/)] });
});
