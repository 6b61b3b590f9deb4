import { expect, test } from 'vitest';
import { CHUNK_BYTES, LineQueue } from './line-queue.ts';

function add(queue: LineQueue, text: string): number {
  queue.begin();
  queue.text(text);
  return queue.end();
}

/** Takes the next batch, gives it back and returns it. */
function taken(queue: LineQueue, torn = false): string {
  if (!queue.take(torn)) return '';
  const text = queue.batch!.toString('utf8', queue.batchFrom, queue.batchTo);
  queue.release();
  return text;
}

function all(queue: LineQueue): string {
  let text = '';
  for (let batch = taken(queue); batch !== ''; batch = taken(queue)) text += batch;
  return text;
}

test('[OB-07] lines leave in the order they came, through any number of chunks', () => {
  const queue = new LineQueue(8 * 1024 * 1024);
  const lines = Array.from({ length: 5_000 }, (_, at) => `${at} é ${'x'.repeat(at % 90)}\n`);
  for (const line of lines) expect(add(queue, line)).toBe(0);
  expect(queue.queuedLines).toBe(5_000);
  expect(queue.queuedBytes).toBe(Buffer.byteLength(lines.join('')));
  expect(all(queue)).toBe(lines.join(''));
  expect([queue.queuedLines, queue.queuedBytes]).toEqual([0, 0]);
});

test('lines that come while a batch is out wait for the next one', () => {
  const queue = new LineQueue(1_000);
  add(queue, 'one\n');
  expect(queue.take(false)).toBe(true);
  add(queue, 'two\n');
  expect(queue.batch!.toString('utf8', queue.batchFrom, queue.batchTo)).toBe('one\n');
  queue.release();
  expect(all(queue)).toBe('two\n');
});

test('a line that is begun and not ended never was', () => {
  const queue = new LineQueue(1_000);
  add(queue, 'one\n');
  const { epoch } = queue;
  queue.begin();
  queue.text('half a li');
  add(queue, 'two\n');
  expect(queue.epoch).not.toBe(epoch);
  expect(all(queue)).toBe('one\ntwo\n');
});

test('a line without a byte is none', () => {
  const queue = new LineQueue(1_000);
  expect(add(queue, '')).toBe(0);
  expect([queue.queuedLines, queue.take(false)]).toEqual([0, false]);
});

test('[D29] the oldest lines give way, one by one, wherever lines end', () => {
  const queue = new LineQueue(100);
  const lines = Array.from({ length: 1_000 }, (_, at) => `${'\n'.repeat(at % 3)}${at};`);
  let dropped = 0;
  for (const line of lines) dropped += add(queue, line);
  const kept = all(queue);
  expect(lines.slice(dropped).join('')).toBe(kept);
  expect(kept.length).toBeGreaterThan(90);
  expect(kept.length).toBeLessThanOrEqual(100);
});

test('[D29] what gives way is what waits: a batch that is out stays whole', () => {
  const queue = new LineQueue(2 * CHUNK_BYTES);
  const line = (at: number) => `${String(at).padStart(99, '0')}\n`;
  for (let at = 0; at < 100; at += 1) add(queue, line(at));
  queue.take(false);
  let dropped = 0;
  for (let at = 100; at < 5_000; at += 1) dropped += add(queue, line(at));
  const batch = queue.batch!.toString('latin1', queue.batchFrom, queue.batchTo);
  expect(batch).toBe(Array.from({ length: 100 }, (_, at) => line(at)).join(''));
  queue.release();
  const rest = all(queue);
  expect(rest.startsWith(line(100 + dropped))).toBe(true);
  expect(rest.endsWith(line(4_999))).toBe(true);
  expect(rest.length).toBe((4_900 - dropped) * 100);
});

test('a line longer than a chunk gets one of its own; one longer than the queue is given up', () => {
  const queue = new LineQueue(1_000_000);
  const long = `${'y'.repeat(300_000)}\n`;
  add(queue, 'before\n');
  queue.begin();
  for (let at = 0; at < 3; at += 1) queue.text(long.slice(at * 100_001, (at + 1) * 100_001));
  expect(queue.end()).toBe(0);
  expect(add(queue, 'after\n')).toBe(0);
  queue.begin();
  for (let at = 0; at < 20; at += 1) queue.text('z'.repeat(100_000));
  queue.rewind(1_900_000);
  expect(queue.end()).toBe(1);
  expect(all(queue)).toBe(`before\n${long}after\n`);
  expect(queue.heldBytes).toBeLessThanOrEqual(4 * CHUNK_BYTES);
});

test('torn: a line feed goes before the next batch', () => {
  const queue = new LineQueue(1_000);
  add(queue, 'one');
  expect(taken(queue, true)).toBe('\none');
  add(queue, 'two');
  queue.take(false);
  add(queue, 'three');
  const { epoch } = queue;
  queue.release();
  expect(taken(queue, true)).toBe('\nthree');
  expect(queue.epoch).not.toBe(epoch);
});

test('memory comes with the first line, is used again, and is given back', () => {
  const queue = new LineQueue(8 * 1024 * 1024);
  expect(queue.heldBytes).toBe(0);
  for (let round = 0; round < 100; round += 1) {
    for (let at = 0; at < 900; at += 1) add(queue, `${'x'.repeat(99)}\n`);
    while (taken(queue) !== '');
    expect(queue.heldBytes).toBeLessThanOrEqual(3 * CHUNK_BYTES);
  }
  add(queue, 'waits\n');
  queue.trim();
  expect(queue.heldBytes).toBe(CHUNK_BYTES);
  expect(taken(queue)).toBe('waits\n');
  queue.trim();
  expect(queue.heldBytes).toBe(0);
  add(queue, 'again\n');
  expect(all(queue)).toBe('again\n');
});

test('clear leaves the batch that is out, and nothing else', () => {
  const queue = new LineQueue(8 * 1024 * 1024);
  for (let at = 0; at < 2_000; at += 1) add(queue, `${'x'.repeat(99)}\n`);
  queue.take(false);
  const { batch } = queue;
  queue.clear();
  expect(queue.batch).toBe(batch);
  expect([queue.queuedLines, queue.queuedBytes, queue.heldBytes]).toEqual([0, 0, CHUNK_BYTES]);
});
