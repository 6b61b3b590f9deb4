/** What `iptables-save` says is loaded, table by table. */
export interface SavedTable {
  readonly name: string;
  /** Chain → policy, `-` for one that is not the kernel's. */
  readonly chains: ReadonlyMap<string, string>;
  readonly rules: readonly SavedRule[];
}

export interface SavedRule {
  readonly chain: string;
  /** Without `-A CHAIN`, as it was printed: `iptables-restore` takes it back. */
  readonly text: string;
  /** Chain or target that `-j` or `-g` names; empty where there is none. */
  readonly target: string;
  /** Equal for two rules that mean the same, whatever order the matches were printed in. */
  readonly key: string;
}

/** Takes any text: what is no table, chain or rule is passed over, as are comments and counters. */
export function parseSavedRules(text: string): readonly SavedTable[] {
  const tables: SavedTable[] = [];
  let chains = new Map<string, string>();
  let rules: SavedRule[] = [];
  let name = '';
  const close = () => {
    if (name !== '') tables.push({ name, chains, rules });
    name = '';
  };
  for (const line of text.split('\n')) {
    const mark = line[0];
    if (mark === '*') {
      close();
      name = line.slice(1).trim();
      chains = new Map();
      rules = [];
    } else if (name === '') {
      // Between tables: comments only.
    } else if (mark === ':') {
      const [chain = '', policy = '-'] = line.slice(1).split(' ');
      if (chain !== '') chains.set(chain, policy);
    } else if (line === 'COMMIT') {
      close();
    } else {
      const rule = savedRule(line);
      if (rule !== null) rules.push(rule);
    }
  }
  close();
  return tables;
}

function savedRule(line: string): SavedRule | null {
  const words = splitWords(line);
  const at = words[0]?.startsWith('[') === true ? 1 : 0; // `iptables-save -c` puts counters first
  const chain = words[at + 1];
  if (words[at] !== '-A' || chain === undefined) return null;
  const start = line.indexOf(' ', line.indexOf('-A ') + 3);
  const text = start < 0 ? '' : line.slice(start + 1).trim();
  return { chain, text, ...readRule(words.slice(at + 2)) };
}

/** Target and key of a rule of ours, to compare with a saved one. */
export function ruleKey(text: string): string {
  return readRule(splitWords(text)).key;
}

/**
 * Clauses (`! -d 127.0.0.1/32`, `--dport 53`) sorted, without what says nothing: which match module a clause belongs
 * to, and addresses that stand for all. Versions of iptables differ in that.
 */
function readRule(words: readonly string[]): { target: string; key: string } {
  const clauses: string[] = [];
  let clause: string[] = [];
  let target = '';
  let negated = false;
  const end = () => {
    const [option = '', value = ''] = clause;
    if (option === '-j' || option === '-g') target = value;
    const empty =
      option === '' ||
      option === '-m' ||
      (/^-[sd]$/.test(option) && /^(0\.0\.0\.0|::)\/0$/.test(value));
    if (!empty) clauses.push(`${negated ? '! ' : ''}${clause.join(' ')}`);
    clause = [];
  };
  let nextNegated = false;
  for (const word of words) {
    if (word === '!') {
      nextNegated = true;
    } else if (/^--?[A-Za-z]/.test(word)) {
      end();
      negated = nextNegated;
      nextNegated = false;
      clause = [word === '--to-port' ? '--to-ports' : word];
    } else {
      clause.push(word);
    }
  }
  end();
  return { target, key: clauses.sort().join(' ') };
}

/** As iptables quotes: `"…"` holds spaces, a backslash takes the next character as it is. */
function splitWords(line: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let open = false;
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    if (char === '\\' && quoted && at + 1 < line.length) word += line[++at];
    else if (char === '"') {
      quoted = !quoted;
      open = true;
    } else if (!quoted && (char === ' ' || char === '\t')) {
      if (open) words.push(word);
      word = '';
      open = false;
    } else {
      word += char;
      open = true;
    }
  }
  if (open) words.push(word);
  return words;
}
