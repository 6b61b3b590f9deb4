import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Http2Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';

const stream = (id: number) => ({ id }) as Http2Stream;

test('fuzz: the table answers as a Map does, whatever is opened and closed', () => {
  const step = fc.record({ id: fc.integer({ min: 0, max: 200 }), open: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new StreamTable();
      const model = new Map<number, Http2Stream>();
      for (const { id: n, open } of steps) {
        // Far apart and close together, so that probes run into each other and around the end.
        const id = 2 * (n % 3 === 0 ? n * 64 : n) + 1;
        if (open && !model.has(id)) {
          const opened = stream(id);
          table.add(opened);
          model.set(id, opened);
        } else if (!open) {
          table.remove(id);
          model.delete(id);
        }
        expect(table.size).toBe(model.size);
        expect(table.get(id)).toBe(model.get(id));
      }
      expect(table.list()).toEqual([...model.values()].sort((a, b) => a.id - b.id));
      for (const [id, opened] of model) expect(table.get(id)).toBe(opened);
    }),
  );
});

test('streams that come and go leave no more slots than were open at once', () => {
  const table = new StreamTable();
  for (let id = 1; id < 100_000; id += 2) {
    table.add(stream(id));
    if (id > 200) table.remove(id - 200);
  }
  expect(table.size).toBe(100);
  expect(table.list().at(0)!.id).toBe(99_801);
});
