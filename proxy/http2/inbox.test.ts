import { describe, expect, test } from 'vitest';
import { Inbox } from './inbox.ts';

describe('inbox', () => {
  test('chunks come out in order, whatever their sizes, and those taken do not change', () => {
    const inbox = new Inbox();
    const taken: Buffer[] = [];
    const expected: Buffer[] = [];
    for (let count = 0; count < 3_000; count++) {
      const chunk = Buffer.alloc((count * 37) % 1_400, count % 251);
      expected.push(chunk);
      inbox.push(chunk);
      if (count % 7 === 0) while (!inbox.empty) taken.push(inbox.shift());
    }
    while (!inbox.empty) taken.push(inbox.shift());
    expect(Buffer.concat(taken).equals(Buffer.concat(expected))).toBe(true);
    expect(inbox.bytes).toBe(0);
  });

  test('many small chunks are few large ones', () => {
    const inbox = new Inbox();
    for (let count = 0; count < 40_960; count++) inbox.push(Buffer.from([1]));
    let chunks = 0;
    for (; !inbox.empty; chunks++) inbox.shift();
    expect(chunks).toBe(10);
  });
});
