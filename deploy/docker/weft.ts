/**
 * The entry of the image: the first word is the role, `proxy`, `control-plane`, `redirect` or `cli`; any other word is a
 * command of `weft`. Loads the bundle of that role and nothing of the others.
 */
const words = process.argv.slice(2);
const [word = '', ...rest] = words;
// By code, not by an empty event loop: what a peer keeps open must not keep the process.
process.exit(await run());

async function run(): Promise<number> {
  switch (word) {
    case 'proxy':
      return (await import('../../proxy/main.ts')).main(rest);
    case 'control-plane':
      return (await import('../../control-plane/main.ts')).main(rest);
    case 'redirect':
      return (await import('../../redirect/main.ts')).main(rest);
    case 'cli':
      return (await import('../../cli/main.ts')).main(rest);
    default:
      return (await import('../../cli/main.ts')).main(words);
  }
}
