import { ResponseFlag } from '../observe/request-record.ts';
import { matchHeaders } from '../router/header-match.ts';
import type { FaultConfig } from '../router/route-config.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import {
  type FilterContext,
  FilterResult,
  type HttpFilter,
  type HttpFilterFactory,
} from './http-filter.ts';

const MILLION = 1_000_000;

/**
 * envoy.filters.http.fault (TM-18): delay, then abort, drawn independently for each request. A fault
 * of the route replaces the listener's, the virtual host's stands between them.
 */
export class FaultFilterFactory implements HttpFilterFactory {
  readonly name: string;
  readonly #fault: FaultConfig | null;

  constructor(name: string, fault: FaultConfig | null) {
    this.name = name;
    this.#fault = fault;
  }

  create(context: FilterContext): HttpFilter | null {
    const route = context.route;
    const fault =
      route === null
        ? this.#fault
        : (route.entry.fault ?? route.virtualHost.config.fault ?? this.#fault);
    if (fault === null || !matchHeaders(fault.headers, context.head)) return null;
    const delays = fault.delayMs > 0 && draw(fault.delayPerMillion, context.random);
    const aborts = hasAbort(fault) && draw(fault.abortPerMillion, context.random);
    return delays || aborts ? new Fault(context, fault, delays, aborts) : null;
  }
}

function hasAbort(fault: FaultConfig): boolean {
  return fault.abortStatus > 0 || fault.abortGrpcStatus >= 0;
}

/** Certain outcomes draw nothing, so that a 100 % fault needs no luck in the source of randomness. */
function draw(perMillion: number, random: () => number): boolean {
  if (perMillion <= 0) return false;
  return perMillion >= MILLION || random() * MILLION < perMillion;
}

/** Holds one timer while it delays; the body stays unread in the connection. */
class Fault implements HttpFilter, TimerOwner {
  readonly body = null;
  readonly #context: FilterContext;
  readonly #fault: FaultConfig;
  readonly #delays: boolean;
  readonly #aborts: boolean;
  readonly #timer = new Timer(this, 0);

  constructor(context: FilterContext, fault: FaultConfig, delays: boolean, aborts: boolean) {
    this.#context = context;
    this.#fault = fault;
    this.#delays = delays;
    this.#aborts = aborts;
  }

  onRequest(): FilterResult {
    if (this.#delays) {
      this.#context.record.flags |= ResponseFlag.DI;
      this.#context.timers.arm(this.#timer, this.#fault.delayMs);
      return FilterResult.Wait;
    }
    this.#abort();
    return FilterResult.Answered;
  }

  onTimer(): void {
    if (this.#aborts) this.#abort();
    else this.#context.resume();
  }

  onResponse(): void {}

  destroy(): void {
    this.#context.timers.cancel(this.#timer);
  }

  #abort(): void {
    this.#context.answer({
      kind: 'faultAbort',
      status: this.#fault.abortStatus,
      grpcStatus: this.#fault.abortGrpcStatus,
    });
  }
}
