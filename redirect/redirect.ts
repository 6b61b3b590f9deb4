import { readFileSync } from 'node:fs';
import { applyRules } from './apply.ts';
import type { CommandLine } from './flags.ts';
import { type Found, findIptables, type Iptables } from './iptables.ts';
import { addPassthroughSource, hasIpv6, removePassthroughSource } from './ipv6-source.ts';
import { parseNameservers } from './nameservers.ts';
import { ownRules, restoreText } from './restore-text.ts';
import { ruleSet } from './rule-set.ts';
import { FAMILIES, type Family, type RedirectSettings } from './settings.ts';
import { takeTurn } from './turn.ts';
import { verifyRedirection } from './verify.ts';

/** Longer than one run takes, shorter than a kubelet's patience. */
const TURN_WAIT_MS = 10_000;

/** Where `weft redirect` speaks, and what it takes from its process. */
export interface RedirectContext {
  /** PATH. */
  readonly path: string;
  readonly out: (text: string) => void;
  /** A line for people. */
  readonly log: (line: string) => void;
  /** A line that is printed even with --quiet. */
  readonly fail: (line: string) => void;
}

/** Whether all that was asked is done and proven. */
export async function redirect(
  commandLine: CommandLine,
  context: RedirectContext,
): Promise<boolean> {
  for (const note of commandLine.notes) context.log(note);
  const settings = withNameservers(commandLine, context);
  if (settings === null) return false;
  if (commandLine.action === 'dry-run') {
    dryRun(settings, commandLine, context);
    return true;
  }
  if (commandLine.action === 'verify-only') {
    return verifyRedirection(settings, commandLine, null, context);
  }
  const turn = await takeTurn(TURN_WAIT_MS);
  let families: readonly Iptables[] | null;
  try {
    if (turn.late)
      context.log(`another weft redirect holds its turn for ${TURN_WAIT_MS / 1000} s; going on`);
    families = await writeRules(settings, commandLine, context);
  } finally {
    turn.end();
  }
  if (families === null) return false;
  if (!commandLine.verify || settings.mode === 'NONE') return true;
  return verifyRedirection(settings, commandLine, families, context);
}

/** The programs of each family that now has its rules; null where something went wrong, which was said. */
async function writeRules(
  settings: RedirectSettings,
  commandLine: CommandLine,
  context: RedirectContext,
): Promise<readonly Iptables[] | null> {
  const cleanup = commandLine.action === 'cleanup';
  if (settings.mode === 'NONE' && !cleanup) {
    context.log('mode NONE: no rules are written');
    return [];
  }
  // At the same time, since the kernel takes long over each change; said one after the other.
  const done = await Promise.all(
    FAMILIES.map(async (family) => {
      const lines: (() => void)[] = [];
      const later: RedirectContext = {
        ...context,
        log: (line) => void lines.push(() => context.log(line)),
        fail: (line) => void lines.push(() => context.fail(line)),
      };
      return { lines, written: await writeFamily(family, settings, commandLine, later) };
    }),
  );
  for (const { lines } of done) for (const line of lines) line();
  if (done.some(({ written }) => written === 'failed')) return null;
  return done.flatMap(({ written }) => (typeof written === 'string' ? [] : [written]));
}

async function writeFamily(
  family: Family,
  settings: RedirectSettings,
  commandLine: CommandLine,
  context: RedirectContext,
): Promise<Iptables | 'left out' | 'failed'> {
  const cleanup = commandLine.action === 'cleanup';
  const found = await programs(family, commandLine, context);
  if (typeof found === 'string') return found;
  const { iptables, other } = found;
  const name = family === 'v4' ? 'IPv4' : 'IPv6';
  if (family === 'v6' && !cleanup) {
    const problem = await addPassthroughSource(context.path);
    if (problem !== '') {
      context.fail(problem);
      return 'failed';
    }
  }
  const steps = [
    {
      programs: iptables,
      rules: cleanup ? [] : ruleSet(settings, family),
      force: commandLine.force,
    },
    ...(other === null ? [] : [{ programs: other, rules: [], force: false }]),
  ];
  for (const { programs, rules, force } of steps) {
    const done = await applyRules(programs, rules, force);
    if (!done.ok) {
      context.fail(`${name}: ${done.message}`);
      return 'failed';
    }
    for (const note of done.notes) context.log(`${name}: ${note}`);
    if (programs === other && done.change === 'unchanged') continue;
    context.log(`${name}: ${CHANGES[done.change]} (${programs.restorePath})`);
    if (rules.length > 0) {
      context.log(`${name}: now loaded\n${ownRules(done.tables).trimEnd()}`);
    }
  }
  if (family === 'v6' && cleanup) {
    const problem = await removePassthroughSource(context.path);
    if (problem !== '') context.log(problem);
  }
  return iptables;
}

const CHANGES = {
  unchanged: 'nothing to do, the rules are as they should be',
  written: 'rules written',
  repaired: 'rules repaired',
  removed: 'rules removed',
} as const;

async function programs(
  family: Family,
  { ipv6, action }: CommandLine,
  { path, log, fail }: RedirectContext,
): Promise<Extract<Found, { kind: 'found' }> | 'left out' | 'failed'> {
  if (family === 'v6' && ipv6 === 'off') return 'left out';
  if (family === 'v6' && !hasIpv6()) {
    if (ipv6 === 'require') {
      fail('IPv6 is disabled here (no interface has an IPv6 address), and --ipv6=require');
      return 'failed';
    }
    if (action !== 'cleanup') {
      log('IPv6 is disabled here (no interface has an IPv6 address): rules for IPv4 alone');
      return 'left out';
    }
  }
  const found = await findIptables(family, path);
  if (found.kind === 'found') {
    for (const note of found.notes) log(note);
    return found;
  }
  if (family === 'v6' && found.kind === 'unsupported' && ipv6 === 'auto') {
    log(`this kernel has no IPv6 nat table: rules for IPv4 alone (${found.message})`);
    return 'left out';
  }
  if (family === 'v6' && found.kind === 'missing' && action === 'cleanup') {
    log(`rules for IPv6 are not looked for: ${found.message}`);
    return 'left out';
  }
  fail(found.message);
  return 'failed';
}

function dryRun(
  settings: RedirectSettings,
  { ipv6 }: CommandLine,
  { out, log }: RedirectContext,
): void {
  if (settings.mode === 'NONE') {
    log('mode NONE: no rules would be written');
    return;
  }
  for (const family of FAMILIES) {
    if (family === 'v6' && ipv6 === 'off') continue;
    out(`# ${family === 'v4' ? 'iptables' : 'ip6tables'}-restore --noflush\n`);
    out(restoreText(ruleSet(settings, family), []));
  }
}

/** DNS capture needs the servers' addresses; null where they cannot be read, which was said. */
function withNameservers(
  { settings, resolvConf, action }: CommandLine,
  { log, fail }: RedirectContext,
): RedirectSettings | null {
  if (settings.dns.kind !== 'servers' || action === 'cleanup') return settings;
  let text: string;
  try {
    text = readFileSync(resolvConf, 'utf8');
  } catch (error) {
    fail(
      `the nameservers cannot be read: ${(error as Error).message}; --capture-all-dns needs none`,
    );
    return null;
  }
  const { v4, v6 } = parseNameservers(text);
  if (v4.length + v6.length > 0) return { ...settings, dns: { ...settings.dns, v4, v6 } };
  log(`${resolvConf} names no nameserver: DNS is not captured`);
  return { ...settings, dns: { kind: 'off' } };
}
