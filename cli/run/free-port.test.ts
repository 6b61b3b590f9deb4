import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { freePorts } from './free-port.ts';

const MODULE = join(import.meta.dirname, 'free-port.ts');
/** Two independent choices of so many among 16,000 share none in one run of six million. */
const MANY = 500;

test.skipIf(process.platform !== 'linux')(
  'ports that nobody listens on yet are not given to another process',
  async () => {
    const mine = await freePorts(MANY);
    expect(new Set(mine).size).toBe(MANY);
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      `const { freePorts } = await import(${JSON.stringify(MODULE)});
       console.log(JSON.stringify(await freePorts(${MANY})));`,
    ]);
    const theirs = JSON.parse(stdout) as number[];
    expect(theirs).toHaveLength(MANY);
    expect(theirs.filter((port) => mine.includes(port))).toEqual([]);
  },
);
