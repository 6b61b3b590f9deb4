import type { Report } from './schema.ts';

/** Rules about which fields of one object go together. */

type FieldRule = (value: object, report: Report) => void;

export function exactlyOne(names: readonly string[]): FieldRule {
  return (value, report) => {
    if (names.every((name) => !Object.hasOwn(value, name)))
      report([], `needs one of ${names.join(', ')}`);
    else atMostOne(names)(value, report);
  };
}

export function atLeastOne(names: readonly string[]): FieldRule {
  return (value, report) => {
    if (names.every((name) => !Object.hasOwn(value, name)))
      report([], `needs at least one of ${names.join(', ')}`);
  };
}

export function atMostOne(names: readonly string[]): FieldRule {
  return (value, report) => {
    const [first, ...others] = names.filter((name) => Object.hasOwn(value, name));
    for (const other of others) report([other], `cannot be used together with ${first}`);
  };
}
