import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TYPE_CLUSTER } from '../../proto/type-urls.ts';
import { type KeptResource, LastKnownGood } from './last-known-good.ts';
import { ManualTimers } from './manual-timers.testing.ts';

let directory = '';
const timers = new ManualTimers();
const errors: string[] = [];
let written = 0;
const resources: KeptResource[] = [
  { typeUrl: TYPE_CLUSTER, name: 'a', version: '1', value: Buffer.from([1, 2, 255]) },
];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-lkg-'));
  errors.length = 0;
  written = 0;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function store(nodeId = 'me', where = directory): LastKnownGood {
  return new LastKnownGood({
    directory: where,
    nodeId,
    timers,
    snapshot: () => resources,
    onWritten: () => {
      written++;
    },
    onError: (message) => void errors.push(message),
  });
}
const file = () => join(directory, 'last-known-good.json');

test('[OP-01] what was written is loaded again, byte for byte', async () => {
  const kept = store();
  kept.changed();
  await kept.flush();
  expect(await store().load()).toEqual(resources);
});

test('a burst of changes is written once, a moment later', async () => {
  const kept = store();
  for (let change = 0; change < 10; change++) kept.changed();
  expect(written).toBe(0);
  timers.advance(1000);
  await kept.flush();
  expect(written).toBe(1);
});

test('the file is readable by its owner alone, and no temporary file stays', async () => {
  const kept = store();
  kept.changed();
  await kept.flush();
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(readFileSync(file(), 'utf8')).toContain('weft-last-known-good/1');
});

test('no file is no problem', async () => {
  expect(await store().load()).toBeNull();
});

test.each([
  ['a flipped bit', (text: string) => text.replace('"a"', '"b"'), 'checksum does not fit'],
  ['a cut', (text: string) => text.slice(0, text.length / 2), 'damaged'],
  ['other text', () => 'hello', 'damaged'],
  ['another format', (text: string) => text.replace('good/1', 'good/9'), 'has the format'],
  ['nothing', () => '', 'damaged'],
])('a file with %s is not used, and the reason is told', async (_name, damage, problem) => {
  const kept = store();
  kept.changed();
  await kept.flush();
  writeFileSync(file(), damage(readFileSync(file(), 'utf8')));
  expect(await store().load()).toEqual({ problem: expect.stringContaining(problem) });
});

test('the copy of another node is not used', async () => {
  const kept = store();
  kept.changed();
  await kept.flush();
  expect(await store('other').load()).toEqual({
    problem: expect.stringContaining('belongs to node "me"'),
  });
});

test('[D28] a directory that cannot be written is reported and nothing more', async () => {
  writeFileSync(join(directory, 'occupied'), '');
  const kept = store('me', join(directory, 'occupied'));
  kept.changed();
  await kept.flush();
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain('cannot be written');
  chmodSync(directory, 0o700);
});

test('a copy of many resources is written over several turns of the event loop', async () => {
  const many = Array.from({ length: 20_000 }, (_, at) => ({
    typeUrl: TYPE_CLUSTER,
    name: `c${at}`,
    version: '1',
    value: Buffer.alloc(400, at & 255),
  }));
  let taken = 0;
  let mostOfOneTurn = 0;
  let ofThisTurn = 0;
  const kept = new LastKnownGood({
    directory,
    nodeId: 'me',
    timers,
    *snapshot() {
      for (const one of many) {
        taken++;
        mostOfOneTurn = Math.max(mostOfOneTurn, ++ofThisTurn);
        yield one;
      }
    },
    onWritten: () => {},
    onError: (message) => void errors.push(message),
  });
  let over = false;
  const turn = (): void => {
    ofThisTurn = 0;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  kept.changed();
  await kept.flush();
  over = true;
  expect(taken).toBe(many.length);
  expect(mostOfOneTurn).toBeLessThan(many.length);
  expect(await store().load()).toEqual(many);
});
