import { GrpcMessageScanner } from '../http/grpc-message-scanner.ts';
import type { IstioMetrics, TrafficDirection } from '../observe/istio-metrics.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';

/** Milliseconds after which messages of a stream that goes on are reported; a call that is over sooner reports them once, with its status. */
export const REPORT_MS = 5000;

/** The messages of one gRPC call, both ways (OB-01), reported while it lasts. */
export class GrpcMessages implements TimerOwner {
  readonly #record: RequestRecord;
  readonly #direction: TrafficDirection;
  readonly #metrics: Pick<IstioMetrics, 'grpcMessages'>;
  readonly #timers: TimerLists;
  readonly #timer = new Timer(this, 0);
  readonly #requests = new GrpcMessageScanner();
  readonly #responses = new GrpcMessageScanner();
  #requestsReported = 0;
  #responsesReported = 0;

  constructor(
    record: RequestRecord,
    direction: TrafficDirection,
    metrics: Pick<IstioMetrics, 'grpcMessages'>,
    timers: TimerLists,
  ) {
    this.#record = record;
    this.#direction = direction;
    this.#metrics = metrics;
    this.#timers = timers;
  }

  onRequestData(chunk: Buffer): void {
    this.#requests.scan(chunk);
    if (!this.#timer.armed) this.#timers.arm(this.#timer, REPORT_MS);
  }

  onResponseData(chunk: Buffer): void {
    this.#responses.scan(chunk);
    if (!this.#timer.armed) this.#timers.arm(this.#timer, REPORT_MS);
  }

  onTimer(): void {
    this.#report();
  }

  /** The call is over and its record complete. */
  close(): void {
    this.#timers.cancel(this.#timer);
    this.#report();
  }

  #report(): void {
    const requests = this.#requests.messages - this.#requestsReported;
    const responses = this.#responses.messages - this.#responsesReported;
    this.#requestsReported += requests;
    this.#responsesReported += responses;
    this.#metrics.grpcMessages(this.#record, this.#direction, requests, responses);
  }
}
