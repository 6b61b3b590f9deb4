import { createHash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { AppendResult, Change, Journal, JournalContent } from './journaled-store.ts';
import { StoreOpenError } from './store-open-error.ts';
import { HISTORY_EVENTS_MAX } from './watch-history.ts';

/** `WEFT`, in SQLite's `application_id`: says whose file it is. */
export const APPLICATION_ID = 0x57454654;
/** Goes up with every change that an older Weft could not read. */
export const SCHEMA_VERSION = 1;

/**
 * `object` holds what is, `event` the latest changes. `digest` is the SHA-256 of `json`: SQLite's own pages carry no
 * check sum, and a flipped bit in a policy must not be served as policy.
 */
export function createTables(database: DatabaseSync, identity: string): void {
  database.exec(`
    PRAGMA application_id = ${APPLICATION_ID};
    PRAGMA user_version = ${SCHEMA_VERSION};
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE object (
      api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
      revision INTEGER NOT NULL, json TEXT NOT NULL, digest TEXT NOT NULL,
      PRIMARY KEY (api_group, kind, namespace, name)
    ) STRICT;
    CREATE TABLE event (
      revision INTEGER PRIMARY KEY, type TEXT NOT NULL,
      api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
      json TEXT NOT NULL, digest TEXT NOT NULL
    ) STRICT;
  `);
  const insert = database.prepare('INSERT INTO meta (key, value) VALUES (?, ?)');
  insert.run('identity', identity);
  insert.run('revision', '0');
}

/** One transaction a change. The objects in memory are JournaledStore's; this is only what must outlive the process. */
export class SqliteJournal implements Journal {
  readonly #database: DatabaseSync;
  readonly #file: string;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #event: StatementSync;
  readonly #compact: StatementSync;
  readonly #revision: StatementSync;

  constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
    this.#put = database.prepare(
      `INSERT INTO object (api_group, kind, namespace, name, revision, json, digest) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET revision = excluded.revision, json = excluded.json, digest = excluded.digest`,
    );
    this.#remove = database.prepare(
      'DELETE FROM object WHERE api_group = ? AND kind = ? AND namespace = ? AND name = ?',
    );
    this.#event = database.prepare('INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.#compact = database.prepare('DELETE FROM event WHERE revision <= ?');
    this.#revision = database.prepare("UPDATE meta SET value = ? WHERE key = 'revision'");
  }

  /** Throws StoreOpenError where the content does not fit together. */
  load(): JournalContent {
    const meta = new Map<string, string>();
    for (const { key, value } of this.#database.prepare('SELECT key, value FROM meta').iterate()) {
      meta.set(String(key), String(value));
    }
    const identity = meta.get('identity');
    const revision = Number(meta.get('revision'));
    if (identity === undefined || !Number.isSafeInteger(revision)) throw this.#damaged('meta');
    const objects: string[] = [];
    for (const row of this.#database.prepare('SELECT * FROM object').iterate()) {
      objects.push(this.#checked(row));
    }
    const history: Change[] = [];
    for (const row of this.#database.prepare('SELECT * FROM event ORDER BY revision').iterate()) {
      history.push({
        type: row['type'] as Change['type'],
        key: keyOf(row),
        revision: Number(row['revision']),
        json: this.#checked(row),
      });
    }
    const gap = history.some(
      (change, index) => change.revision !== revision - history.length + 1 + index,
    );
    if (gap) throw this.#damaged('event');
    return { identity, revision, objects, history };
  }

  async append({ type, key, revision, json }: Change): Promise<AppendResult> {
    const { group, kind, namespace, name } = key;
    const digest = digestOf(json);
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      if (type === 'DELETED') this.#remove.run(group, kind, namespace, name);
      else this.#put.run(group, kind, namespace, name, revision, json, digest);
      this.#event.run(revision, type, group, kind, namespace, name, json, digest);
      this.#compact.run(revision - HISTORY_EVENTS_MAX);
      this.#revision.run(String(revision));
      this.#database.exec('COMMIT');
      return { kind: 'ok' };
    } catch (error) {
      return this.#failed(error);
    }
  }

  async close(): Promise<void> {
    this.#database.close();
  }

  /** Nothing of the change stays. SQLITE_FULL (13) is a full disk, all else is told as SQLite tells it. */
  #failed(error: unknown): AppendResult {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    const { errcode, message } = error as { errcode?: number; message: string };
    if (errcode === undefined) throw error; // not SQLite's: a bug of ours
    const full = (errcode & 0xff) === 13;
    return {
      kind: 'unavailable',
      reason: full ? 'full' : 'failed',
      message: full
        ? `the disk that holds ${this.#file} is full; nothing was written. Free some space and try again`
        : `writing ${this.#file} failed: ${message}. Nothing was written`,
    };
  }

  #checked(row: Record<string, unknown>): string {
    const json = String(row['json']);
    if (digestOf(json) === row['digest']) return json;
    throw this.#damaged(`${row['kind']} ${row['namespace']}/${row['name']}`);
  }

  #damaged(part: string): StoreOpenError {
    const remedy = 'Restore it from a backup, or move it away to start with an empty store';
    return new StoreOpenError('STORE_CORRUPT', this.#file, `is damaged (${part})`, remedy);
  }
}

function keyOf(row: Record<string, unknown>): Change['key'] {
  return {
    group: String(row['api_group']),
    kind: String(row['kind']),
    namespace: String(row['namespace']),
    name: String(row['name']),
  };
}

function digestOf(json: string): string {
  return createHash('sha256').update(json).digest('hex');
}
