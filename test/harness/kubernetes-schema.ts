interface Model {
  validate(): void;
}

/**
 * What the Kubernetes OpenAPI types say against an object, or '' where they say nothing; rejects for a kind that they do not
 * have. They see a wrong type and a missing field, not a field that is too many.
 */
export async function schemaProblem(object: {
  readonly apiVersion: string;
  readonly kind: string;
}): Promise<string> {
  const { apiVersion, kind } = object;
  const name = `kubernetes-models/${apiVersion}`;
  const models: Record<string, new (data: object) => Model> = await import(/* @vite-ignore */ name);
  const Kind = models[kind];
  if (Kind === undefined) throw new Error(`kubernetes-models has no ${apiVersion} ${kind}`);
  try {
    new Kind(structuredClone(object)).validate();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}
