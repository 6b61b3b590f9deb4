import { run } from './command.ts';

export type ComposeProgram =
  | { readonly ok: true; readonly words: readonly string[]; readonly version: string }
  | { readonly ok: false; readonly problem: string };

/** Before it, `depends_on` had no `service_completed_successfully`. */
const V1_LEAST = [1, 29];

/**
 * Docker and compose on this machine: `docker compose` (v2), else `docker-compose` 1.29; `asked` (such as `docker-compose`)
 * leaves no choice.
 */
export async function findCompose(asked: string): Promise<ComposeProgram> {
  const engine = await run(['docker', 'version', '--format', '{{.Server.Version}}']);
  if (engine.code === 127) {
    return failed('docker is not installed; install Docker Engine (Debian: docker.io)');
  }
  if (engine.code !== 0) {
    return failed(`the Docker engine does not answer: ${engine.err.trim()}; start it (dockerd)`);
  }
  const candidates = asked === '' ? ['docker compose', 'docker-compose'] : [asked];
  for (const words of candidates.map((each) => each.split(' '))) {
    const { code, out } = await run([...words, 'version', '--short']);
    if (code !== 0) continue;
    const version = out.trim().replace(/^v/, '');
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major === V1_LEAST[0]! && minor < V1_LEAST[1]!) {
      return failed(`${words.join(' ')} is ${version}; 1.29 or 2 is needed`);
    }
    return { ok: true, words, version };
  }
  return failed(
    `${candidates.join(' and ')} cannot be run; install Docker Compose v2, or docker-compose 1.29 (Debian: docker-compose)`,
  );
}

function failed(problem: string): ComposeProgram {
  return { ok: false, problem };
}
