import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { ConfigStore } from './config-store.ts';
import { JournaledStore } from './journaled-store.ts';
import { APPLICATION_ID, createTables, SCHEMA_VERSION, SqliteJournal } from './sqlite-journal.ts';
import { StoreOpenError } from './store-open-error.ts';

/** Milliseconds to wait for a predecessor that is just about to end. */
const LOCK_WAIT_MS = 2000;

const RESTORE = 'Restore it from a backup, or move it away to start with an empty store';

export interface SqliteStoreOptions {
  /** The database file; `-wal` stands beside it while it is open. Made with mode 0600 if there is none. */
  readonly file: string;
  /** A new UUID, for a store that is made now. */
  readonly newIdentity: () => string;
  readonly historyEventsMax?: number;
}

/**
 * Opens the embedded store. A file that is damaged, foreign or from a newer Weft is a `StoreOpenError`: starting empty in
 * its place would tell every sidecar to delete its configuration (fault F4).
 */
export function openSqliteStore(options: SqliteStoreOptions): ConfigStore {
  const { file } = options;
  try {
    if (!existsSync(file)) create(options);
    checkHeader(file);
    chmodSync(file, 0o600);
    const database = open(file);
    try {
      check(file, database);
      const journal = new SqliteJournal(database, file);
      return new JournaledStore(journal, journal.load(), options.historyEventsMax);
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw openError(file, error);
  }
}

/** Made whole under another name, then renamed: a crash leaves either no store or an empty one. */
function create({ file, newIdentity }: SqliteStoreOptions): void {
  if (existsSync(`${file}-wal`)) {
    const remedy = `Restore ${file} beside it, or move the -wal file away to start with an empty store`;
    throw new StoreOpenError(
      'STORE_INCOMPLETE',
      file,
      'is missing while its -wal file is there',
      remedy,
    );
  }
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.new`;
  for (const rest of [draft, `${draft}-wal`, `${draft}-shm`]) rmSync(rest, { force: true });
  closeSync(openSync(draft, 'wx', 0o600));
  const database = new DatabaseSync(draft);
  createTables(database, newIdentity());
  database.close();
  renameSync(draft, file);
  const directory = openSync(dirname(file), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

/** Every SQLite file begins so; SQLite itself would take an empty file for a new database. */
function checkHeader(file: string): void {
  if (!statSync(file).isFile()) {
    throw new StoreOpenError(
      'STORE_NOT_A_DATABASE',
      file,
      'is not a file',
      'Name a file with --data',
    );
  }
  const head = Buffer.alloc(16);
  const descriptor = openSync(file, 'r');
  const length = readSync(descriptor, head, 0, 16, 0);
  closeSync(descriptor);
  if (length === 16 && head.toString('latin1') === 'SQLite format 3\0') return;
  const problem =
    length === 0 ? 'is empty (0 bytes), which no Weft store ever is' : 'is not an SQLite database';
  throw new StoreOpenError('STORE_NOT_A_DATABASE', file, problem, RESTORE);
}

function open(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: LOCK_WAIT_MS });
  // One process at a time: a second control plane on the same file would not see this one's writes.
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  // FULL: a commit returns once its pages are on the disk, so that an acknowledged write survives (fault F2).
  database.exec('PRAGMA synchronous = FULL');
  database.exec('PRAGMA trusted_schema = OFF');
  return database;
}

function check(file: string, database: DatabaseSync): void {
  const pragma = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
  if (pragma('application_id') !== APPLICATION_ID) {
    throw new StoreOpenError(
      'STORE_FOREIGN',
      file,
      'is an SQLite database of another program',
      'Name another file or directory with --data',
    );
  }
  const version = Number(pragma('user_version'));
  if (version > SCHEMA_VERSION) {
    throw new StoreOpenError(
      'STORE_NEWER',
      file,
      `was written by a newer Weft (schema ${version}; this one knows ${SCHEMA_VERSION})`,
      'Start that version of Weft, or restore a backup made before the upgrade',
    );
  }
  const integrity = pragma('integrity_check');
  if (integrity !== 'ok') {
    const detail = String(integrity).split('\n')[0];
    throw new StoreOpenError('STORE_CORRUPT', file, `is damaged (${detail})`, RESTORE);
  }
}

function openError(file: string, error: unknown): StoreOpenError {
  if (error instanceof StoreOpenError) return error;
  const { errcode, message } = error as { errcode?: number; message: string };
  switch ((errcode ?? -1) & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return new StoreOpenError(
        'STORE_IN_USE',
        file,
        'is in use by another process',
        'Stop the other control plane, or give this one its own --data directory',
        error,
      );
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return new StoreOpenError('STORE_CORRUPT', file, `is damaged (${message})`, RESTORE, error);
    default:
      return new StoreOpenError(
        'STORE_UNUSABLE',
        file,
        `cannot be opened (${message})`,
        'See that the directory exists, is writable and has room',
        error,
      );
  }
}
