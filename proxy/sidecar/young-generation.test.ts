import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** MiB that V8's young generation takes in a process that makes many survivors, with `prepare` before. */
function youngMib(prepare: string): number {
  const program = `
    import { getHeapSpaceStatistics } from 'node:v8';
    import { holdYoungGeneration } from ${at('./young-generation.ts')};
    ${prepare}
    const kept = [];
    for (let turn = 0; turn < 3000; turn++) {
      for (let made = 0; made < 300; made++) kept.push({ turn, made: [made], text: 'x' + made });
      if (turn % 1000 === 999) kept.length = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { space_size: bytes } = getHeapSpaceStatistics().find((one) => one.space_name === 'new_space');
    console.log(bytes / 1024 / 1024);
  `;
  const args = ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program];
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

const at = (file: string) => JSON.stringify(import.meta.resolve(file));

test('the young generation does not grow while it is held, and does again when the last hold ends', () => {
  const free = youngMib('');
  const held = youngMib('holdYoungGeneration(); holdYoungGeneration()();');
  const released = youngMib('holdYoungGeneration()();');
  expect(held).toBeLessThan(4);
  expect(free).toBeGreaterThan(held);
  expect(released).toBeGreaterThan(held);
});
