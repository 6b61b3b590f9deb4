import type { Kind } from '../control-plane/kinds/kind.ts';
import { KINDS } from '../control-plane/kinds/kind-registry.ts';
import { nearest } from '../proto/nearest.ts';
import { CommandError, ExitCode } from './exit-code.ts';

/** The kind that a person means: `vs`, `VirtualService`, `virtualservices`, `virtualservices.networking.istio.io`. */
export function kindByName(name: string): Kind {
  const lower = name.toLowerCase();
  const found = KINDS.find((kind) => namesOf(kind).includes(lower));
  if (found !== undefined) return found;
  const near = nearest(lower, KINDS.flatMap(namesOf));
  throw new CommandError(
    `unknown kind ${name}${near === undefined ? '' : `: did you mean ${near}?`}`,
    `there is ${KINDS.map((kind) => kind.plural).join(', ')}`,
    ExitCode.Usage,
  );
}

/** `virtualservice.networking.istio.io/reviews`. */
export function objectName(kind: Kind, name: string): string {
  return `${kind.singular}.${kind.group}/${name}`;
}

function namesOf(kind: Kind): string[] {
  const { plural, singular, group, shortNames } = kind;
  const full = [plural, singular].flatMap((word) => [
    `${word}.${group}`,
    ...kind.versions.map((version) => `${word}.${version}.${group}`),
  ]);
  return [plural, singular, ...shortNames, ...full];
}
