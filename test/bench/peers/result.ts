import { pairedRatio, type Spread, spread } from './statistics.ts';

/** What was measured: which proxy, and its value in each counted round, in the order of the rounds. */
export interface Figure {
  readonly subject: string;
  readonly rounds: readonly number[];
}

/** One line of a case: one load, every subject that was there. */
export interface Row {
  /** Unique within its case: `1 KiB, 32 connections`. */
  readonly name: string;
  /** `µs CPU/request`, `KiB/connection`, `ms`, … */
  readonly unit: string;
  readonly figures: readonly Figure[];
  readonly targets: readonly Target[];
  /** What a reader must know to judge the figures, or ''. */
  readonly remark: string;
}

/** A bound on `subject`: on its value, or on its ratio to the value of `to`. */
export interface Target {
  readonly subject: string;
  /** '' = the value itself. */
  readonly to: string;
  readonly bound: 'atMost' | 'atLeast';
  readonly limit: number;
}

/** Bound on Weft's ratio to another subject of its row. */
export function ratioTarget(to: string, bound: Target['bound'], limit: number): Target {
  return { subject: WEFT, to, bound, limit };
}

/** Bound on Weft's own value, in the row's unit. */
export function valueTarget(bound: Target['bound'], limit: number): Target {
  return { subject: WEFT, to: '', bound, limit };
}

export const WEFT = 'Weft';

/** `≤ 1.2 × nginx`, `≤ 35 MiB`. Part of what identifies a target in the document. */
export function targetText({ to, bound, limit }: Target, unit: string): string {
  const sign = bound === 'atMost' ? '≤' : '≥';
  return to === '' ? `${sign} ${limit} ${unit}` : `${sign} ${limit} × ${to}`;
}

export interface Judgement {
  readonly target: Target;
  /** The value or ratio; null = a side of it was not measured. */
  readonly measured: Spread | null;
  readonly verdict: 'met' | 'missed' | 'not measured';
  /** By which part of the limit it is missed: 0.2 = 20 % beyond it; 0 where it is met or not measured. */
  readonly missedBy: number;
}

export function judge(row: Row, target: Target): Judgement {
  const ours = row.figures.find(({ subject }) => subject === target.subject);
  const theirs = row.figures.find(({ subject }) => subject === target.to);
  if (ours === undefined || (target.to !== '' && theirs === undefined)) {
    return { target, measured: null, verdict: 'not measured', missedBy: 0 };
  }
  const measured =
    theirs === undefined ? spread(ours.rounds) : pairedRatio(ours.rounds, theirs.rounds);
  const part = measured.median / target.limit;
  const beyond = target.bound === 'atMost' ? part - 1 : 1 - part;
  // NaN is no figure that meets anything.
  if (beyond <= 0) return { target, measured, verdict: 'met', missedBy: 0 };
  return { target, measured, verdict: 'missed', missedBy: beyond };
}

/** A case as measured in one run. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  /** ISO 8601, when it ended. */
  readonly measuredAt: string;
  /** Short hash, with `+` where the working tree differed; '' = no git. */
  readonly commit: string;
  readonly machine: string;
  /** Name → version of every program that took part. */
  readonly programs: Readonly<Record<string, string>>;
  /** Peers and tools that would belong to it and are not on this machine. */
  readonly missing: readonly string[];
  readonly rows: readonly Row[];
}
