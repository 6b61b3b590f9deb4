/**
 * The subset against the official files, as `@grpc/grpc-js-xds` ships them: every message, field name, number
 * and type is the same, and an official field that Weft does not carry is reserved by number and name.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { allEnums, allMessages } from './descriptor.ts';
import { describe as describeFiles } from './generate.ts';

const MODULES = path.join(import.meta.dirname, '..', 'node_modules');
const ROOTS = [
  ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((dir) =>
    path.join(MODULES, '@grpc', 'grpc-js-xds', 'deps', dir),
  ),
  path.join(MODULES, 'protobufjs'), // descriptor.proto, which the official annotations import
];

/** Not among the official files there; the well-known types come from buf itself. */
const NOT_SHIPPED = ['istio/v1/auth/ca.proto', 'istio/networking/nds/v1/nds.proto'];

const files = describeFiles(import.meta.dirname);
const ours = files.filter(
  (file) => !file.name.startsWith('google/protobuf/') && !NOT_SHIPPED.includes(file.name),
);
const official = loadOfficial(ours.map((file) => file.name));

describe('the subset equals the official files', () => {
  test('every file has the official path and package', () => {
    const missing = ours
      .map((file) => file.name)
      .filter((name) => officialPath(name) === undefined);
    expect(missing).toEqual([]);
  });

  test('every message has the official fields, or reserves them', () => {
    const differences: string[] = [];
    let compared = 0;
    for (const { fullName, message, file } of allMessages(ours)) {
      if (message.options?.mapEntry) continue;
      const theirs = official.lookup(fullName);
      if (!(theirs instanceof protobuf.Type)) {
        differences.push(`${file.name}: there is no message ${fullName}`);
        continue;
      }
      const ourFields = new Map((message.field ?? []).map((field) => [field.name, field]));
      for (const their of theirs.fieldsArray) {
        compared++;
        const our = ourFields.get(their.name);
        ourFields.delete(their.name);
        if (our === undefined) {
          if (!message.reservedName?.includes(their.name)) {
            differences.push(`${fullName}.${their.name} is neither carried nor reserved by name`);
          }
          if (
            !message.reservedRange?.some(({ start, end }) => start <= their.id && their.id < end)
          ) {
            differences.push(`${fullName}.${their.name} is neither carried nor reserved by number`);
          }
          continue;
        }
        const ourOneof =
          our.oneofIndex === undefined || our.proto3Optional
            ? ''
            : message.oneofDecl![our.oneofIndex]!.name;
        const entry = message.nestedType?.find(
          (nested) => nested.options?.mapEntry && our.typeName === `.${fullName}.${nested.name}`,
        );
        const seen = {
          number: our.number,
          type: entry
            ? `map<${typeOf(entry.field![0]!)}, ${typeOf(entry.field![1]!)}>`
            : `${our.label === 'LABEL_REPEATED' ? 'repeated ' : ''}${typeOf(our)}`,
          oneof: ourOneof,
          optional: our.proto3Optional ?? false,
        };
        const wanted = {
          number: their.id,
          type: theirType(their),
          oneof: their.options?.['proto3_optional'] ? '' : (their.partOf?.name ?? ''),
          optional: Boolean(their.options?.['proto3_optional']),
        };
        if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
          differences.push(
            `${fullName}.${their.name}: ${JSON.stringify(seen)} ≠ ${JSON.stringify(wanted)}`,
          );
        }
      }
      for (const name of ourFields.keys())
        differences.push(`${fullName} has no official field ${name}`);
    }
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(1500);
  });

  test('every enum has the official values', () => {
    for (const [fullName, { value }] of allEnums(ours)) {
      const seen = Object.fromEntries(value.map((each) => [each.name, each.number ?? 0]));
      expect(seen, fullName).toEqual(official.lookupEnum(fullName).values);
    }
  });

  test('every service has official methods', () => {
    const differences: string[] = [];
    for (const file of ours) {
      for (const service of file.service ?? []) {
        const theirs = official.lookupService(`${file.package}.${service.name}`);
        for (const method of service.method) {
          const their = theirs.methods[method.name]!;
          const seen = [
            method.inputType,
            method.outputType,
            method.clientStreaming,
            method.serverStreaming,
          ];
          const wanted = [
            their.resolvedRequestType?.fullName,
            their.resolvedResponseType?.fullName,
            their.requestStream,
            their.responseStream,
          ];
          if (JSON.stringify(seen) !== JSON.stringify(wanted))
            differences.push(`${service.name}.${method.name}`);
        }
      }
    }
    expect(differences).toEqual([]);
  });
});

function typeOf(field: { readonly type: string; readonly typeName?: string }): string {
  return field.typeName ?? field.type.slice('TYPE_'.length).toLowerCase();
}

function theirType(field: protobuf.Field): string {
  const value = field.resolvedType?.fullName ?? field.type;
  if (field instanceof protobuf.MapField) return `map<${field.keyType}, ${value}>`;
  return field.repeated ? `repeated ${value}` : value;
}

function officialPath(name: string): string | undefined {
  return ROOTS.map((root) => path.join(root, name)).find((file) => existsSync(file));
}

function loadOfficial(names: readonly string[]): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => officialPath(target) ?? target;
  root.loadSync([...names], { keepCase: true });
  root.resolveAll();
  return root;
}
