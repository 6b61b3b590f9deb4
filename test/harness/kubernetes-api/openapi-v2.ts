import type { ServedKind } from './served-kind.ts';

/** Go programs since 1.18 do not read the `@` of the older name. */
export const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/**
 * `/openapi/v2` in the only form that kubectl asks for, gnostic's protobuf. It says that every kind takes a dry run, and
 * nothing of their fields: kubectl then checks none.
 */
export function openApiV2(kinds: readonly ServedKind[]): Buffer {
  const paths = kinds.flatMap((kind) =>
    kind.versions.map((version) => {
      const root = kind.group === '' ? `/api/${version}` : `/apis/${kind.group}/${version}`;
      const scope = kind.namespaced ? '/namespaces/{namespace}' : '';
      const item = message(8, patchOperation(kind, version));
      return message(
        2,
        Buffer.concat([text(1, `${root}${scope}/${kind.plural}/{name}`), message(2, item)]),
      );
    }),
  );
  const info = Buffer.concat([text(1, 'Kubernetes'), text(2, 'v1.32.0')]);
  return Buffer.concat([text(1, '2.0'), message(2, info), message(8, Buffer.concat(paths))]);
}

/** Operation: operation_id 5, parameters 8, vendor_extension 13. */
function patchOperation({ group, kind }: ServedKind, version: string): Buffer {
  const query = Buffer.concat([text(2, 'query'), text(4, 'dryRun'), text(6, 'string')]);
  // ParametersItem.parameter 1 → Parameter.non_body_parameter 2 → NonBodyParameter.query 3
  const parameter = message(1, message(2, message(3, query)));
  const yaml = `group: "${group}"\nkind: ${kind}\nversion: ${version}\n`;
  const extension = Buffer.concat([
    text(1, 'x-kubernetes-group-version-kind'),
    message(2, text(2, yaml)),
  ]);
  return Buffer.concat([text(5, `patch${kind}`), message(8, parameter), message(13, extension)]);
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value));
}

/** A length-delimited field. */
function message(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  return Buffer.from([...bytes, left]);
}
