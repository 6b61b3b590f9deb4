import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AccessLogFile, AccessLogFiles } from './access-log-file.ts';
import { ANY_RECORD, lineOf } from './line.testing.ts';
import { StatsRegistry } from './stats.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-access-log-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function opened(file: AccessLogFile | { readonly problem: string }): AccessLogFile {
  if ('problem' in file) throw new Error(file.problem);
  return file;
}

function value(registry: StatsRegistry, name: string, label = ''): number {
  for (const series of registry.families.get(name)!.series.values()) {
    if (series.labelText.includes(label)) return (series.metric as { value: number }).value;
  }
  throw new Error(`no ${name}{${label}}`);
}

test('[OB-07] lines are appended in order, and counted', async () => {
  const registry = new StatsRegistry();
  const files = new AccessLogFiles(registry);
  const path = join(directory, 'access.log');
  const file = opened(files.open(path));
  const lines = Array.from({ length: 5_000 }, (_, at) => `line ${at} é ${'x'.repeat(at % 90)}\n`);
  for (const line of lines) file.write(lineOf(line), ANY_RECORD);
  expect(await files.close(5_000)).toBe(true);
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''));
  expect(value(registry, 'weft_access_log_lines_total')).toBe(5_000);
  expect(value(registry, 'weft_access_log_buffered_bytes')).toBe(0);
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test('[OB-07] two listeners that name one path share one file', () => {
  const files = new AccessLogFiles(new StatsRegistry());
  const path = join(directory, 'access.log');
  expect(files.open(path)).toBe(files.open(path));
});

test.each([
  ['relative.log', 'must be absolute'],
  ['/no/such/directory/access.log', 'cannot be opened: ENOENT'],
  ['/proc', 'cannot be opened: EISDIR'],
])('a path that cannot be had is a problem: %s', (path, problem) => {
  const file = new AccessLogFiles(new StatsRegistry()).open(path);
  expect('problem' in file && file.problem).toContain(problem);
});

test('reopen goes on in a new file after logrotate has moved the old one', async () => {
  const files = new AccessLogFiles(new StatsRegistry());
  const path = join(directory, 'access.log');
  const file = opened(files.open(path));
  file.write(lineOf('before\n'), ANY_RECORD);
  await files.flush(5_000);
  renameSync(path, `${path}.1`);
  files.reopen();
  file.write(lineOf('after\n'), ANY_RECORD);
  await files.close(5_000);
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('before\n');
  expect(readFileSync(path, 'utf8')).toBe('after\n');
});

test('[D29] a reader that stops costs the oldest lines, which are counted, and nothing blocks', async () => {
  const registry = new StatsRegistry();
  const files = new AccessLogFiles(registry, { queueBytesMax: 100_000 });
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const file = opened(files.open(path));
  const line = (at: number) => `${String(at).padStart(6, '0')}${'x'.repeat(93)}\n`;
  for (let at = 0; at < 10_000; at += 1) file.write(lineOf(line(at)), ANY_RECORD);
  expect(await files.flush(200)).toBe(false);
  const droppedLines = value(registry, 'weft_access_log_dropped_lines_total', 'queue_full');
  expect(droppedLines).toBeGreaterThan(5_000);
  expect(value(registry, 'weft_access_log_buffered_bytes')).toBeLessThanOrEqual(100_000);

  // The reader comes back: what is left arrives whole, in order, the newest line last.
  const flushed = files.close(10_000);
  let text = '';
  const bytes = Buffer.alloc(65_536);
  for (let done = false; !done; ) {
    const finished = await Promise.race([flushed, new Promise<null>((r) => setImmediate(r, null))]);
    try {
      const count = readSync(reader, bytes);
      text += bytes.toString('latin1', 0, count);
      done = finished !== null && count === 0;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      done = finished !== null && text.endsWith('\n') && text.length > 0;
    }
  }
  closeSync(reader);
  const arrived = text.split('\n').slice(0, -1);
  expect(arrived.every((one) => /^\d{6}x{93}$/.test(one))).toBe(true);
  expect(arrived.at(-1)).toBe(line(9_999).slice(0, -1));
  expect(arrived.length + droppedLines).toBe(10_000);
});

test('[D28] a full disk costs lines, which are counted and told once; writing goes on afterwards', async (context) => {
  if (!existsSync('/dev/full')) return context.skip('/dev/full is not there');
  const registry = new StatsRegistry();
  const troubles: string[] = [];
  const files = new AccessLogFiles(registry, {
    onTrouble: (path, error) => troubles.push(`${path} ${error.code}`),
  });
  const file = opened(files.open('/dev/full'));
  for (let at = 0; at < 3_000; at += 1) file.write(lineOf(`${'x'.repeat(99)}\n`), ANY_RECORD);
  expect(await files.flush(10_000)).toBe(true);
  expect(value(registry, 'weft_access_log_dropped_lines_total', 'write_failed')).toBe(3_000);
  expect(troubles).toEqual(['/dev/full ENOSPC']);
});

test('[D29] lines that a stopped reader leaves behind at the end are counted', async () => {
  const registry = new StatsRegistry();
  const files = new AccessLogFiles(registry);
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const file = opened(files.open(path));
  for (let at = 0; at < 5_000; at += 1) file.write(lineOf(`${'x'.repeat(99)}\n`), ANY_RECORD);
  expect(await files.close(200)).toBe(false);
  const written = value(registry, 'weft_access_log_lines_total');
  const lost = value(registry, 'weft_access_log_dropped_lines_total', 'write_failed');
  expect(written + lost).toBe(5_000);
  expect(value(registry, 'weft_access_log_buffered_bytes')).toBe(0);
  closeSync(reader);
});

test('a closed file drops and counts', async () => {
  const registry = new StatsRegistry();
  const files = new AccessLogFiles(registry);
  const file = opened(files.open(join(directory, 'access.log')));
  await files.close(1_000);
  file.write(lineOf('late\n'), ANY_RECORD);
  expect(value(registry, 'weft_access_log_dropped_lines_total', 'write_failed')).toBe(1);
});
