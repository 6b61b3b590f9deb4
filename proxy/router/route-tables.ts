import type { RouteConfig } from './route-config.ts';
import { RouteTable } from './route-table.ts';

/** Where a connection manager finds its RDS route table. */
export interface RouteTableSource {
  /** The table now in force; undefined where the resource has not arrived. */
  get(name: string): RouteTable | undefined;
}

/** All live route tables by RDS name. A swap is one assignment; a request keeps the table it began with. */
export class RouteTables implements RouteTableSource {
  readonly #tables = new Map<string, RouteTable>();

  get(name: string): RouteTable | undefined {
    return this.#tables.get(name);
  }

  /** Swaps in; header formats have been checked by the compiler of `xds/`. */
  set(config: RouteConfig): void {
    this.#tables.set(config.name, new RouteTable(config));
  }

  remove(name: string): void {
    this.#tables.delete(name);
  }

  /** For `/config_dump`. */
  configs(): RouteConfig[] {
    return [...this.#tables.values()].map((table) => table.config);
  }
}
