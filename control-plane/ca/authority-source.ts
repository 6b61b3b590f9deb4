import { join } from 'node:path';
import type { SigningMaterial } from './authority.ts';
import { openAuthorityFiles, openSecretFile } from './authority-files.ts';

/** What all replicas of a control plane share: who signs, whom the mesh trusts, and by what join tokens are known. */
export interface AuthorityContent {
  readonly material: SigningMaterial;
  /** 32 bytes. */
  readonly tokenKey: Buffer;
}

/** Where the authority is kept. */
export interface AuthoritySource {
  /** Rejects with an error for people where it cannot be read or is not usable. */
  read(): Promise<AuthorityContent>;
}

/** In `directory`, for a control plane that is alone. */
export function authorityInFiles(
  directory: string,
  trustDomain: string,
  wallMs: () => number,
): AuthoritySource {
  return {
    read: async () => ({
      material: await openAuthorityFiles(directory, trustDomain, wallMs()),
      tokenKey: openSecretFile(join(directory, 'join-token-key')),
    }),
  };
}
