import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseFlags } from './flags.ts';
import { compareRules } from './residue.ts';
import { restoreText } from './restore-text.ts';
import { ruleSet, type TableRules } from './rule-set.ts';
import { parseSavedRules, ruleKey } from './saved-rules.ts';

/** A kernel of a few lines: takes what `iptables-restore --noflush` takes, prints what `iptables-save` prints. */
class FakeKernel {
  readonly #tables = new Map<string, Map<string, string[]>>();

  restore(text: string): void {
    let table = new Map<string, string[]>();
    for (const line of text.split('\n')) {
      const [word = '', chain = '', ...rest] = line.split(' ');
      const rule = rest.join(' ');
      if (line.startsWith('*')) {
        const name = line.slice(1);
        table =
          this.#tables.get(name) ??
          new Map([
            ['PREROUTING', []],
            ['OUTPUT', []],
          ]);
        this.#tables.set(name, table);
      } else if (line.startsWith(':')) table.set(word.slice(1), []);
      else if (word === '-A') this.#chain(table, chain).push(rule);
      else if (word === '-I') {
        expect(rest[0]).toBe('1');
        this.#chain(table, chain).unshift(rest.slice(1).join(' '));
      } else if (word === '-D') {
        const at = this.#chain(table, chain).indexOf(rule);
        expect(at, `no such rule: ${line}`).toBeGreaterThanOrEqual(0);
        this.#chain(table, chain).splice(at, 1);
      } else if (word === '-X') {
        expect(this.#chain(table, chain)).toEqual([]);
        const users = [...table.values()].flat().filter((r) => r.endsWith(`-j ${chain}`));
        expect(users, `chain in use: ${chain}`).toEqual([]);
        table.delete(chain);
      } else expect(['', 'COMMIT']).toContain(line);
    }
  }

  save(): string {
    return [...this.#tables]
      .map(([name, chains]) => {
        const heads = [...chains.keys()].map(
          (chain) => `:${chain} ${/^[A-Z]+$/.test(chain) ? 'ACCEPT' : '-'} [0:0]`,
        );
        const rules = [...chains].flatMap(([chain, all]) => all.map((r) => `-A ${chain} ${r}`));
        return `# Generated\n*${name}\n${[...heads, ...rules].join('\n')}\nCOMMIT\n# Completed\n`;
      })
      .join('');
  }

  #chain(table: Map<string, string[]>, name: string): string[] {
    const chain = table.get(name);
    if (chain === undefined) throw new Error(`no chain ${name}`);
    return chain;
  }
}

function wanted(...args: string[]): readonly TableRules[] {
  const parsed = parseFlags(args);
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed));
  return ruleSet(parsed.commandLine.settings, 'v4');
}

function reconcile(kernel: FakeKernel, rules: readonly TableRules[]): void {
  kernel.restore(restoreText(rules, parseSavedRules(kernel.save())));
}

const stateOf = (rules: readonly TableRules[], kernel: FakeKernel) =>
  compareRules(rules, parseSavedRules(kernel.save()));

const FOREIGN = `*nat
:DOCKER_OUTPUT - [0:0]
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:41000
COMMIT
*filter
-A OUTPUT -m comment --comment "not -j ISTIO_OUTPUT" -j ACCEPT
COMMIT
`;

const ARGS = fc
  .record({
    b: fc.constantFrom('*', '', '80', '80,443,8000:8010'),
    i: fc.constantFrom('*', '', '10.0.0.0/8', '0.0.0.0/0', '127.0.0.0/8,fd00::/8'),
    x: fc.constantFrom('', '10.1.0.0/16', '1.1.1.1,2.2.2.2'),
    o: fc.constantFrom('', '22', '1:100'),
    q: fc.constantFrom('', '5432'),
    u: fc.constantFrom('1337', '3,4'),
    c: fc.constantFrom('', 'eth1', 'veth+'),
    k: fc.constantFrom('', 'vnet0'),
    more: fc.subarray(['--capture-all-dns', '--drop-invalid', '--owner-groups=7,8']),
  })
  .map(({ more, ...flags }) => [
    ...Object.entries(flags).flatMap(([flag, value]) => [`-${flag}`, value]),
    ...more,
  ]);

test('what was written reads back as equal, and writing over anything ends equal (fuzz)', () => {
  fc.assert(
    fc.property(ARGS, ARGS, (first, second) => {
      const kernel = new FakeKernel();
      kernel.restore(FOREIGN);
      const before = kernel.save();
      expect(stateOf(wanted(...first), kernel).state).toBe('none');
      reconcile(kernel, wanted(...first));
      expect(stateOf(wanted(...first), kernel)).toEqual({ state: 'equal', differences: [] });
      reconcile(kernel, wanted(...second));
      expect(stateOf(wanted(...second), kernel)).toEqual({ state: 'equal', differences: [] });
      reconcile(kernel, []);
      // Tables that were not there stay, without a rule.
      const left = parseSavedRules(kernel.save());
      expect(left.flatMap(({ rules }) => rules)).toEqual(
        parseSavedRules(before).flatMap(({ rules }) => rules),
      );
      expect(
        left.flatMap(({ chains }) => [...chains.keys()].filter((c) => c.startsWith('ISTIO_'))),
      ).toEqual([]);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('any part of the rules, in any order and any number, is repaired (fuzz)', () => {
  fc.assert(
    fc.property(ARGS, fc.array(fc.nat()), fc.array(fc.nat()), (args, drops, copies) => {
      const rules = wanted(...args);
      const kernel = new FakeKernel();
      kernel.restore(FOREIGN);
      reconcile(kernel, rules);
      const lines = kernel.save().split('\n');
      const own = () => lines.flatMap((line, at) => (/^-A .*ISTIO/.test(line) ? [at] : []));
      for (const drop of drops) {
        const at = own();
        if (at.length > 0) lines.splice(at[drop % at.length]!, 1);
      }
      for (const copy of copies) {
        const at = own();
        if (at.length > 0) lines.splice(at[copy % at.length]!, 0, lines[at[copy % at.length]!]!);
      }
      const broken = new FakeKernel();
      broken.restore(lines.filter((line) => !/^[#]|^:[A-Z]+ ACCEPT/.test(line)).join('\n'));
      reconcile(broken, rules);
      expect(stateOf(rules, broken)).toEqual({ state: 'equal', differences: [] });
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('fuzz: any text is read, and none of it is taken for ours by accident', () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '*nat',
      'COMMIT',
      ':OUTPUT ACCEPT [0:0]',
      '-A OUTPUT "',
      '-A',
      '-A X -j',
      '*',
      ':',
    ),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const tables = parseSavedRules(lines.join('\n'));
      expect(compareRules([], tables).state).toBe('none');
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('a rule reads equal whatever order its matches are printed in', () => {
  const key = ruleKey(
    '! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j X',
  );
  expect(
    ruleKey('-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j X'),
  ).toBe(key);
  expect(
    ruleKey('-d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j X'),
  ).not.toBe(key);
  expect(
    ruleKey('! -d 127.0.0.1/32 -o lo -p tcp --dport 15008 -m owner --uid-owner 1337 -j X'),
  ).not.toBe(key);
  expect(ruleKey('-d 0.0.0.0/0 -p tcp -j X')).toBe(ruleKey('-p tcp -j X'));
});

test('counters and quotes are read as iptables-save -c writes them', () => {
  const [table] = parseSavedRules(
    '*nat\n:OUTPUT ACCEPT [1:2]\n[3:4] -A OUTPUT -m comment --comment "a \\" -j ISTIO_OUTPUT" -j ACCEPT\nCOMMIT\n',
  );
  expect(table!.rules[0]).toMatchObject({
    chain: 'OUTPUT',
    target: 'ACCEPT',
    text: '-m comment --comment "a \\" -j ISTIO_OUTPUT" -j ACCEPT',
  });
});

test('a table without COMMIT counts as far as it goes', () => {
  const rules = wanted();
  const cut = restoreText(rules, []).split('\n').slice(0, 8).join('\n');
  expect(compareRules(rules, parseSavedRules(cut)).state).toBe('different');
});

test('a rule before a jump that must be first is a difference, and the jump moves before it', () => {
  const rules = wanted('--capture-all-dns');
  const kernel = new FakeKernel();
  reconcile(kernel, rules);
  kernel.restore('*nat\n-I OUTPUT 1 -d 127.0.0.11/32 -j ACCEPT\nCOMMIT\n');
  expect(stateOf(rules, kernel).differences).toEqual([
    'nat: OUTPUT: "-d 127.0.0.11/32 -j ACCEPT" stands before our jump',
  ]);
  reconcile(kernel, rules);
  expect(stateOf(rules, kernel).state).toBe('equal');
  expect(kernel.save()).toContain(
    '-A OUTPUT -j ISTIO_OUTPUT\n-A OUTPUT -d 127.0.0.11/32 -j ACCEPT',
  );
});

test('a chain that a rule of somebody else leads to is emptied and stays', () => {
  const kernel = new FakeKernel();
  reconcile(kernel, wanted());
  kernel.restore('*nat\n:MY_CHAIN - [0:0]\n-A MY_CHAIN -j ISTIO_REDIRECT\nCOMMIT\n');
  reconcile(kernel, []);
  const [nat] = parseSavedRules(kernel.save());
  expect([...nat!.chains.keys()]).toEqual(['PREROUTING', 'OUTPUT', 'ISTIO_REDIRECT', 'MY_CHAIN']);
  expect(nat!.rules.map(({ chain, text }) => `${chain} ${text}`)).toEqual([
    'MY_CHAIN -j ISTIO_REDIRECT',
  ]);
});

test('chains of that name in other tables, and other chains of Istio, are not ours', () => {
  const text =
    '*filter\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n*mangle\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_DIVERT - [0:0]\nCOMMIT\n';
  expect(compareRules([], parseSavedRules(text)).state).toBe('none');
  expect(restoreText([], parseSavedRules(text))).toBe('');
});
