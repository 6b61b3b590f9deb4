import { type Iptables, save } from './iptables.ts';
import { failed, type Proof } from './proof.ts';
import { compareRules, ownPart } from './residue.ts';
import { ruleSet } from './rule-set.ts';
import { parseSavedRules, type SavedRule, type SavedTable } from './saved-rules.ts';
import type { RedirectSettings } from './settings.ts';

export interface LoadedProof {
  readonly proofs: readonly Proof[];
  /** Rules of others before ours, a line each. */
  readonly ahead: readonly string[];
}

/** Targets that end the way of a packet through a chain. */
const ENDING = /^(ACCEPT|DROP|REJECT|RETURN|QUEUE|NFQUEUE|DNAT|REDIRECT|NETMAP|TPROXY)$/;

/**
 * That the kernel holds the rules, and nothing stands before them that takes every connection. What comes from outside
 * cannot be tried from here: for it this is the proof. `ahead` names the rules of others before ours.
 */
export async function proveLoaded(
  settings: RedirectSettings,
  iptables: Iptables,
): Promise<LoadedProof> {
  const saved = await save(iptables);
  if (!saved.ok) return { proofs: [failed(saved.message)], ahead: [] };
  const tables = parseSavedRules(saved.output);
  const { differences } = compareRules(ruleSet(settings, iptables.family), tables);
  const proofs: Proof[] = differences.map((line) => failed(`rules: ${line}`));
  const before = rulesAhead(tables.find(({ name }) => name === 'nat'));
  for (const rule of before) {
    if (takesEverything(rule)) {
      proofs.push({
        kind: 'failed',
        line: `rules: ${rule.chain} has "${rule.text}" before our jump, so nothing reaches it; remove that rule`,
      });
    }
  }
  const ahead = before.map(({ chain, text }) => `${chain} has "${text}" before our jump`);
  return { proofs, ahead };
}

/** Rules of others that stand before ours in the kernel's chains. */
function rulesAhead(nat: SavedTable | undefined): readonly SavedRule[] {
  const { kernelRules, jumps } = ownPart(nat);
  return jumps.flatMap((jump) => {
    const chain = kernelRules.filter((rule) => rule.chain === jump.chain);
    return chain.slice(0, chain.indexOf(jump)).filter((rule) => !jumps.includes(rule));
  });
}

function takesEverything({ target, key }: SavedRule): boolean {
  if (!ENDING.test(target)) return false;
  const clauses = key.replace(/(^| )-p tcp( |$)/, ' ').trim();
  return clauses === `-j ${target}` || /^(--to-(ports|destination) \S+ )?-j \S+$/.test(clauses);
}
