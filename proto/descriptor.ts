/**
 * The part of a `google.protobuf.FileDescriptorSet` that the generators read, in the JSON form that
 * `buf build` prints. Used when generating and in tests, never at run time.
 */

export interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly messageType?: readonly MessageDescriptor[];
  readonly enumType?: readonly EnumDescriptor[];
  readonly service?: readonly ServiceDescriptor[];
}

export interface MessageDescriptor {
  readonly name: string;
  readonly field?: readonly FieldDescriptor[];
  readonly nestedType?: readonly MessageDescriptor[];
  readonly enumType?: readonly EnumDescriptor[];
  readonly oneofDecl?: readonly { readonly name: string }[];
  readonly reservedName?: readonly string[];
  /** `end` is exclusive. */
  readonly reservedRange?: readonly { readonly start: number; readonly end: number }[];
  readonly options?: { readonly mapEntry?: boolean };
}

export interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: 'LABEL_OPTIONAL' | 'LABEL_REPEATED' | 'LABEL_REQUIRED';
  /** `TYPE_STRING`, `TYPE_MESSAGE`, … */
  readonly type: string;
  /** `.package.Message`, for messages and enums. */
  readonly typeName?: string;
  readonly jsonName: string;
  readonly oneofIndex?: number;
  readonly proto3Optional?: boolean;
}

export interface EnumDescriptor {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number?: number }[];
}

export interface ServiceDescriptor {
  readonly name: string;
  readonly method: readonly {
    readonly name: string;
    readonly inputType: string;
    readonly outputType: string;
    readonly clientStreaming?: boolean;
    readonly serverStreaming?: boolean;
  }[];
}

export interface NamedMessage {
  /** `package.Outer.Inner`. */
  readonly fullName: string;
  /** Name of the generated interface and codec: `Outer_Inner`. */
  readonly exportName: string;
  readonly file: FileDescriptor;
  readonly message: MessageDescriptor;
}

/** Every message of the files, nested ones and map entries included, outer before inner. */
export function allMessages(files: readonly FileDescriptor[]): NamedMessage[] {
  const found: NamedMessage[] = [];
  const visit = (
    message: MessageDescriptor,
    scope: string,
    prefix: string,
    file: FileDescriptor,
  ) => {
    const fullName = `${scope}.${message.name}`;
    const exportName = `${prefix}${message.name}`;
    found.push({ fullName, exportName, file, message });
    for (const inner of message.nestedType ?? []) visit(inner, fullName, `${exportName}_`, file);
  };
  for (const file of files) {
    for (const message of file.messageType ?? []) visit(message, file.package, '', file);
  }
  return found;
}

/** Every enum of the files by full name. */
export function allEnums(files: readonly FileDescriptor[]): Map<string, EnumDescriptor> {
  const found = new Map<string, EnumDescriptor>();
  for (const file of files) {
    for (const each of file.enumType ?? []) found.set(`${file.package}.${each.name}`, each);
  }
  for (const { fullName, message } of allMessages(files)) {
    for (const each of message.enumType ?? []) found.set(`${fullName}.${each.name}`, each);
  }
  return found;
}
