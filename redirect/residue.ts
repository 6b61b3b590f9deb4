import { type Jump, OWN_CHAINS, type TableRules } from './rule-set.ts';
import { ruleKey, type SavedRule, type SavedTable } from './saved-rules.ts';

/** What of ours is loaded, against what shall be. */
export interface Residue {
  /** `equal`: nothing to do. `none`: no chain of ours and no jump. */
  readonly state: 'none' | 'equal' | 'different';
  /** What differs, a line each, for people. */
  readonly differences: readonly string[];
}

export function compareRules(wanted: readonly TableRules[], saved: readonly SavedTable[]): Residue {
  const differences: string[] = [];
  let found = false;
  for (const name of tableNames(wanted, saved)) {
    const want = wanted.find(({ table }) => table === name);
    const own = ownPart(saved.find((table) => table.name === name));
    if (own.chains.length > 0 || own.jumps.length > 0) found = true;
    for (const chain of own.chains) {
      if (!want?.chains.some((c) => c.name === chain)) {
        differences.push(`${name}: chain ${chain} should not be there`);
      }
    }
    for (const { name: chain, rules } of want?.chains ?? []) {
      if (!own.chains.includes(chain)) differences.push(`${name}: chain ${chain} is missing`);
      else differences.push(...chainDifferences(name, chain, rules, own.rules));
    }
    for (const from of jumpChains(want, own)) {
      const why = jumpDifference(from, want, own);
      if (why !== '') differences.push(`${name}: ${why}`);
    }
  }
  const state =
    !found && wanted.length > 0 ? 'none' : differences.length > 0 ? 'different' : 'equal';
  return { state: !found && wanted.length === 0 ? 'none' : state, differences };
}

/** Of a saved table, what is ours: chains by name, and rules of other chains that lead into them. */
export interface OwnPart {
  readonly chains: readonly string[];
  readonly rules: readonly SavedRule[];
  /** In chains of the kernel. */
  readonly jumps: readonly SavedRule[];
  /** In chains of somebody else. They are not ours to remove. */
  readonly foreignJumps: readonly SavedRule[];
  /** All rules of the kernel's chains, to see what stands before ours. */
  readonly kernelRules: readonly SavedRule[];
}

export function ownPart(table: SavedTable | undefined): OwnPart {
  if (table === undefined) {
    return { chains: [], rules: [], jumps: [], foreignJumps: [], kernelRules: [] };
  }
  const names = OWN_CHAINS.get(table.name) ?? [];
  const isOwn = (chain: string) => names.includes(chain);
  const isKernel = (chain: string) => (table.chains.get(chain) ?? '-') !== '-';
  const into = table.rules.filter(({ chain, target }) => !isOwn(chain) && isOwn(target));
  return {
    chains: [...table.chains.keys()].filter(isOwn),
    rules: table.rules.filter(({ chain }) => isOwn(chain)),
    jumps: into.filter(({ chain }) => isKernel(chain)),
    foreignJumps: into.filter(({ chain }) => !isKernel(chain)),
    kernelRules: table.rules.filter(({ chain }) => isKernel(chain)),
  };
}

export function tableNames(
  wanted: readonly TableRules[],
  saved: readonly SavedTable[],
): readonly string[] {
  const names = new Set<string>(wanted.map(({ table }) => table));
  for (const table of saved) {
    const { chains, jumps } = ownPart(table);
    if (chains.length > 0 || jumps.length > 0) names.add(table.name);
  }
  return [...names];
}

/** The kernel's chains that hold a jump of ours, or should. */
export function jumpChains(want: TableRules | undefined, own: OwnPart): readonly string[] {
  const wanted = (want?.jumps ?? []).map(({ from }): string => from);
  return [...new Set([...wanted, ...own.jumps.map(({ chain }) => chain)])];
}

/** Empty where the jumps of this chain are as they shall be. */
export function jumpDifference(from: string, want: TableRules | undefined, own: OwnPart): string {
  const jumps: readonly Jump[] = (want?.jumps ?? []).filter((jump) => jump.from === from);
  const there = own.jumps.filter(({ chain }) => chain === from);
  const same =
    jumps.length === there.length &&
    jumps.every(({ rule }, at) => ruleKey(rule) === there[at]!.key);
  if (!same) {
    const list = (rules: readonly string[]) =>
      rules.length === 0 ? 'no jump' : rules.map((rule) => `"${rule}"`).join(', ');
    return `${from} has ${list(there.map(({ text }) => text))} and should have ${list(jumps.map(({ rule }) => rule))}`;
  }
  const firsts = jumps.filter(({ place }) => place === 'first').length;
  const ahead = own.kernelRules.filter(({ chain }) => chain === from).slice(0, firsts);
  const foreign = ahead.find((rule) => !there.includes(rule));
  return foreign === undefined ? '' : `${from}: "${foreign.text}" stands before our jump`;
}

function chainDifferences(
  table: string,
  chain: string,
  wanted: readonly string[],
  saved: readonly SavedRule[],
): readonly string[] {
  const there = saved.filter((rule) => rule.chain === chain);
  const length = Math.max(wanted.length, there.length);
  for (let at = 0; at < length; at++) {
    const want = wanted[at];
    const have = there[at];
    if (want !== undefined && have !== undefined && ruleKey(want) === have.key) continue;
    return [
      `${table}: ${chain} rule ${at + 1} is ${have === undefined ? 'missing' : `"${have.text}"`} and should be ${want === undefined ? 'absent' : `"${want}"`}`,
    ];
  }
  return [];
}
