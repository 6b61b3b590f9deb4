import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyOf } from '../kinds/resource.ts';
import { configStoreContract, observe, policy, stored } from './config-store.contract.ts';
import { JournaledStore } from './journaled-store.ts';
import { SqliteJournal } from './sqlite-journal.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { StoreOpenError } from './store-open-error.ts';

let directory = '';
let files = 0;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'weft-store-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

const newFile = () => path.join(directory, `store-${++files}.db`);
const newIdentity = () => `identity-${files}`;
const open = (file: string) => openSqliteStore({ file, newIdentity });

configStoreContract('sqlite', async (historyEventsMax) =>
  openSqliteStore({ file: newFile(), newIdentity, historyEventsMax }),
);

/** A store with two objects, closed. */
async function writtenFile(): Promise<string> {
  const file = newFile();
  const store = open(file);
  await store.create(policy('a', { host: 'needle-in-the-policy' }));
  await store.create(policy('b'));
  await store.delete(keyOf(policy('b')), undefined);
  await store.close();
  return file;
}

function openingError(file: string): StoreOpenError {
  try {
    void open(file).close();
  } catch (error) {
    expect(error).toBeInstanceOf(StoreOpenError);
    return error as StoreOpenError;
  }
  throw new Error('the store opened');
}

describe('sqlite store', () => {
  test('objects, revision, identity and history survive a restart', async () => {
    const file = await writtenFile();
    const store = open(file);
    expect(store.identity).toBe(`identity-${files}`);
    expect((await store.list({})).items.map(({ metadata }) => metadata.name)).toEqual(['a']);
    expect(await store.revision()).toBe(3);
    const watch = observe(store, {}, 1);
    await watch.until(2);
    expect(watch.seen).toEqual(['2 ADDED b', '3 DELETED b']);
    expect(stored(await store.create(policy('c'))).metadata.resourceVersion).toBe('4');
    await store.close();
  });

  test('the file is for its owner alone, also where it was not', async () => {
    const file = await writtenFile();
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    fs.chmodSync(file, 0o644);
    const store = open(file);
    await store.create(policy('c'));
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.statSync(`${file}-wal`).mode & 0o777).toBe(0o600);
    await store.close();
  });

  test('[F2] an acknowledged write survives kill -9', { timeout: 60_000 }, async () => {
    const file = newFile();
    const script = `
      const { openSqliteStore } = await import(${JSON.stringify(new URL('./sqlite-store.ts', import.meta.url).href)});
      const store = openSqliteStore({ file: ${JSON.stringify(file)}, newIdentity: () => 'id' });
      const base = ${JSON.stringify(policy('p'))};
      for (let i = (await store.revision()) + 1; ; i++) {
        const result = await store.create({ ...base, metadata: { ...base.metadata, name: 'p' + i } });
        if (result.kind !== 'ok') throw new Error(JSON.stringify(result));
        require('node:fs').writeSync(1, i + '\\n');
      }`;
    let acknowledged = 0;
    for (let round = 0; round < 4; round++) {
      const child = spawn(
        process.execPath,
        ['--input-type=module', '-e', script.replace('require(', 'process.getBuiltinModule(')],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      let lines = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged = Number(line);
        if (++lines === 5 + 7 * round) child.kill('SIGKILL');
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      const store = open(file);
      const { items, revision } = await store.list({});
      expect(revision).toBeGreaterThanOrEqual(acknowledged);
      expect(items.length).toBe(revision);
      await store.close();
    }
  });

  test('[F4] a file that is no database is refused by name, and left as it is', () => {
    const file = newFile();
    fs.writeFileSync(file, 'hello: world\n');
    const error = openingError(file);
    expect(error.code).toBe('STORE_NOT_A_DATABASE');
    expect(error.message).toBe(
      `store ${file}: is not an SQLite database. Restore it from a backup, or move it away to start with an empty store`,
    );
    expect(fs.readFileSync(file, 'utf8')).toBe('hello: world\n');
  });

  test('[F4] a file cut to nothing is refused: it never starts empty in its place', async () => {
    const file = await writtenFile();
    fs.truncateSync(file, 0);
    expect(openingError(file).code).toBe('STORE_NOT_A_DATABASE');
    expect(fs.statSync(file).size).toBe(0);
  });

  test('[F4] a missing file whose -wal is still there is refused', async () => {
    const file = await writtenFile();
    fs.rmSync(file);
    fs.writeFileSync(`${file}-wal`, 'x');
    expect(openingError(file).code).toBe('STORE_INCOMPLETE');
  });

  test('[F4] a truncated database is refused', async () => {
    const file = await writtenFile();
    fs.truncateSync(file, fs.statSync(file).size - 4096);
    expect(openingError(file).code).toBe('STORE_CORRUPT');
  });

  test('[F4] a flipped bit inside of a policy is found', async () => {
    const file = await writtenFile();
    const bytes = fs.readFileSync(file);
    for (let at = bytes.indexOf('needle'); at >= 0; at = bytes.indexOf('needle', at + 1))
      bytes[at]! ^= 1;
    fs.writeFileSync(file, bytes);
    const error = openingError(file);
    expect(error.code).toBe('STORE_CORRUPT');
    expect(error.message).toContain('VirtualService default/a');
  });

  test('[F4] a store of a newer version, or of another program, is refused', async () => {
    const newer = await writtenFile();
    let database = new DatabaseSync(newer);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(openingError(newer).message).toContain(
      'written by a newer Weft (schema 99; this one knows 1)',
    );

    const foreign = newFile();
    database = new DatabaseSync(foreign);
    database.exec('CREATE TABLE t (x)');
    database.close();
    expect(openingError(foreign).code).toBe('STORE_FOREIGN');
  });

  test('a second process on the same file is refused', { timeout: 20_000 }, async () => {
    const file = await writtenFile();
    const store = open(file);
    expect(openingError(file).code).toBe('STORE_IN_USE');
    await store.close();
  });

  test('a directory where none can be made is a clear error', () => {
    const parent = newFile();
    fs.writeFileSync(parent, '');
    expect(openingError(path.join(parent, 'store.db')).code).toBe('STORE_UNUSABLE');
  });

  test('a half-made store of a crash is made anew', async () => {
    const file = newFile();
    fs.writeFileSync(`${file}.new`, 'half');
    const store = open(file);
    expect(await store.revision()).toBe(0);
    await store.close();
    expect(fs.existsSync(`${file}.new`)).toBe(false);
  });

  test('[F3] a full disk refuses the write with its reason, reads go on, and it recovers', async () => {
    const file = await writtenFile();
    const database = new DatabaseSync(file);
    database.exec('PRAGMA journal_mode = WAL');
    const journal = new SqliteJournal(database, file);
    const store = new JournaledStore(journal, journal.load());
    database.exec('PRAGMA max_page_count = 1'); // SQLite's own way to say: no more room
    const refused = await store.create(policy('big', { filler: 'x'.repeat(100_000) }));
    expect(refused).toMatchObject({ kind: 'unavailable', reason: 'full' });
    expect((await store.list({})).items.length).toBe(1);
    expect(await store.revision()).toBe(3);
    database.exec('PRAGMA max_page_count = 100000');
    expect(stored(await store.create(policy('big'))).metadata.resourceVersion).toBe('4');
    await store.close();
  });
});
