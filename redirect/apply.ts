import { type Iptables, restore, save } from './iptables.ts';
import { compareRules, ownPart } from './residue.ts';
import { restoreText } from './restore-text.ts';
import type { TableRules } from './rule-set.ts';
import { parseSavedRules, type SavedTable } from './saved-rules.ts';

/** Somebody else may change the same tables between reading and writing. */
const ATTEMPTS_MAX = 5;

export type Applied =
  | {
      readonly ok: true;
      /** `unchanged`: nothing was written. `repaired`: something else of ours was there. */
      readonly change: 'unchanged' | 'written' | 'repaired' | 'removed';
      readonly notes: readonly string[];
      /** As read back. */
      readonly tables: readonly SavedTable[];
    }
  | { readonly ok: false; readonly message: string };

/** Brings one family to the wanted rules, and reads back that they are so. Nothing wanted: removes all of ours. */
export async function applyRules(
  iptables: Iptables,
  wanted: readonly TableRules[],
  force: boolean,
): Promise<Applied> {
  let change: 'unchanged' | 'written' | 'repaired' | 'removed' = 'unchanged';
  const notes: string[] = [];
  let problem = '';
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const saved = await save(iptables);
    if (!saved.ok) return saved;
    const hidden = hiddenTable(saved.output);
    if (hidden !== '') {
      return {
        ok: false,
        message: `table ${hidden} holds rules made with nft that ${iptables.savePath} cannot show (nft list ruleset does); ours cannot be kept in order beside them: remove them, or move them to a table of their own`,
      };
    }
    const tables = parseSavedRules(saved.output);
    const { state, differences } = compareRules(wanted, tables);
    const right = wanted.length === 0 ? isClean(tables) : state === 'equal';
    if (right && !(force && change === 'unchanged')) {
      return { ok: true, change, notes: [...notes, ...foreignNotes(tables)], tables };
    }
    if (change === 'unchanged' && wanted.length > 0 && state === 'different') {
      notes.push(...differences.slice(0, 20).map((line) => `repairing ${line}`));
    }
    const done = await restore(iptables, restoreText(wanted, tables));
    problem = done.ok ? differences.join('; ') : done.message;
    if (done.ok) {
      change = wanted.length === 0 ? 'removed' : state === 'none' ? 'written' : 'repaired';
    }
  }
  return {
    ok: false,
    message: `the rules are not as they should be after ${ATTEMPTS_MAX} attempts: ${problem}`,
  };
}

/** A table that `iptables-nft-save` passes over in silence but for a comment; what is written there is not seen again. */
function hiddenTable(output: string): string {
  return /^# Table [`'"]?(nat|raw|mangle)['"]? is incompatible/m.exec(output)?.[1] ?? '';
}

/** Nothing of ours but chains that others lead to, which are empty. */
function isClean(tables: readonly SavedTable[]): boolean {
  return tables.every((table) => {
    const { chains, rules, jumps, foreignJumps } = ownPart(table);
    return (
      jumps.length === 0 &&
      rules.length === 0 &&
      chains.every((chain) => foreignJumps.some(({ target }) => target === chain))
    );
  });
}

function foreignNotes(tables: readonly SavedTable[]): readonly string[] {
  return tables.flatMap((table) =>
    ownPart(table).foreignJumps.map(
      ({ chain, text }) =>
        `${table.name}: chain ${chain}, which is not ours, has "${text}"; it was left alone`,
    ),
  );
}
