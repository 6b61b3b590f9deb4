import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ANNOTATIONS, UNSUPPORTED } from './annotation-table.ts';
import { defaultInjectionSettings, SETTING_NAMES } from './settings.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/injection.md'), 'utf8');
const section = (title: string) => page.split(`## ${title}\n`)[1]!.split('\n## ')[0]!;
const firstColumn = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...line.split(' | ')[0]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
const istio = (name: string) => name.replace('/', '.istio.io/');

test('[KI-07] docs/injection.md lists every annotation that is supported, and no other', () => {
  const listed = firstColumn(section('Annotations'));
  expect(listed.sort()).toEqual(Object.keys(ANNOTATIONS).map(istio).sort());
});

test('[KI-07] docs/injection.md says what is refused and what is warned of', () => {
  const prose = section('Annotations').split('\n\nRefused')[1]!;
  const [refused, warned] = prose.split('Warned of') as [string, string];
  const names = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name!).sort();
  const known = (is: boolean) =>
    Object.keys(UNSUPPORTED)
      .filter((name) => UNSUPPORTED[name]!.refused === is)
      .map(istio)
      .sort();
  expect(names(refused)).toEqual(known(true));
  expect(names(warned)).toEqual(known(false));
});

test('docs/injection.md lists every setting, and no other', () => {
  expect(firstColumn(section('Settings')).sort()).toEqual([...SETTING_NAMES].sort());
});

test('every default is a setting that may be written in a file', () => {
  const defaults = defaultInjectionSettings();
  expect(SETTING_NAMES).toEqual(expect.arrayContaining(Object.keys(defaults)));
});
