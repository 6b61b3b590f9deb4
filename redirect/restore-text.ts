import { jumpChains, jumpDifference, ownPart, tableNames } from './residue.ts';
import type { TableRules } from './rule-set.ts';
import type { SavedTable } from './saved-rules.ts';

/**
 * Input for `iptables-restore --noflush` that turns what is loaded into what is wanted; with nothing wanted, cleanup.
 * Each table is one transaction: what was there holds until its COMMIT, then the new, so no connection slips past in
 * between. Rules of others are not mentioned. Empty where nothing is to be done.
 */
export function restoreText(wanted: readonly TableRules[], saved: readonly SavedTable[]): string {
  return tableNames(wanted, saved)
    .map((name) => {
      const want = wanted.find(({ table }) => table === name);
      return tableText(
        name,
        want,
        saved.find((table) => table.name === name),
      );
    })
    .join('');
}

function tableText(
  name: string,
  want: TableRules | undefined,
  saved: SavedTable | undefined,
): string {
  const own = ownPart(saved);
  const stale = own.chains.filter((chain) => !want?.chains.some((c) => c.name === chain));
  const lines = [`*${name}`];
  // With --noflush, naming a chain makes it, or empties the one that is there.
  for (const chain of [...(want?.chains ?? []).map((c) => c.name), ...stale]) {
    lines.push(`:${chain} - [0:0]`);
  }
  for (const from of jumpChains(want, own)) {
    if (jumpDifference(from, want, own) === '') continue;
    for (const jump of own.jumps) if (jump.chain === from) lines.push(`-D ${from} ${jump.text}`);
    const jumps = (want?.jumps ?? []).filter((jump) => jump.from === from);
    for (const { rule, place } of jumps) if (place === 'last') lines.push(`-A ${from} ${rule}`);
    for (const { rule, place } of [...jumps].reverse()) {
      if (place === 'first') lines.push(`-I ${from} 1 ${rule}`);
    }
  }
  for (const chain of want?.chains ?? []) {
    for (const rule of chain.rules) lines.push(`-A ${chain.name} ${rule}`);
  }
  for (const chain of stale) {
    // A chain that somebody else's rule leads to cannot go; it stays, empty.
    if (!own.foreignJumps.some(({ target }) => target === chain)) lines.push(`-X ${chain}`);
  }
  return `${[...lines, 'COMMIT'].join('\n')}\n`;
}

/** What of ours is loaded, in the words of `iptables-save`, for people. */
export function ownRules(saved: readonly SavedTable[]): string {
  return tableNames([], saved)
    .map((name) => {
      const own = ownPart(saved.find((table) => table.name === name));
      return [
        `*${name}`,
        ...own.chains.map((chain) => `:${chain} - [0:0]`),
        ...[...own.jumps, ...own.rules].map(({ chain, text }) => `-A ${chain} ${text}`),
        'COMMIT',
        '',
      ].join('\n');
    })
    .join('');
}
