import { accessSync, constants, globSync, readFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { ROOT } from '../harness/node-process.ts';
import { until } from '../harness/until.ts';
import type { ComposeProject } from './compose-project.ts';

/**
 * A real Prometheus in the network of the project, with the example's own configuration: the program of this machine
 * in a container, since the profile's image may not be there to be pulled.
 */
export class Prometheus {
  readonly #project: ComposeProject;
  readonly #container: string;

  private constructor(project: ComposeProject) {
    this.#project = project;
    this.#container = `${project.name}-scraper`;
  }

  /** The program, or '' where this machine has none. */
  static get program(): string {
    for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
      const file = join(directory, 'prometheus');
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // The next one.
      }
    }
    return '';
  }

  static async start(project: ComposeProject): Promise<Prometheus> {
    const prometheus = new Prometheus(project);
    const configuration = join(ROOT, 'examples/compose/prometheus');
    await project.outsider(
      [
        ...['--detach', '--name', prometheus.#container, '--tmpfs', '/data:mode=1777'],
        ...['--volume', `${Prometheus.program}:/usr/bin/prometheus:ro`],
        ...['--volume', `${configuration}:/etc/prometheus:ro`],
      ],
      '/usr/bin/prometheus',
      ['--config.file=/etc/prometheus/prometheus.yaml', '--storage.tsdb.path=/data'],
    );
    return prometheus;
  }

  /** Those that are not up, with what Prometheus says of each, once all have been tried. */
  async targetsDown(timeoutMs: number): Promise<{ readonly up: number; readonly down: string[] }> {
    let up = 0;
    let down: string[] = ['none was tried yet'];
    await until(
      'every target to be up',
      async () => {
        const { activeTargets } = await this.#get<{ activeTargets: Target[] }>('targets');
        up = activeTargets.filter(({ health }) => health === 'up').length;
        down = activeTargets
          .filter(({ health }) => health !== 'up')
          .map(({ scrapeUrl, lastError }) => `${scrapeUrl}: ${lastError}`);
        return activeTargets.length > 0 && down.length === 0;
      },
      timeoutMs,
    ).catch(() => {});
    return { up, down };
  }

  /** How many series each query of the dashboards gives; -1 where it is refused. */
  async askDashboards(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const file of globSync(join(ROOT, 'deploy/grafana/*.json'))) {
      const { panels } = JSON.parse(readFileSync(file, 'utf8')) as { panels: Panel[] };
      for (const { title, targets = [] } of panels) {
        for (const { expr, refId } of targets) {
          const query = expr
            .replaceAll('$__rate_interval', '1m')
            .replaceAll(/\$(service|workload)/g, '.*');
          const path = `query?query=${encodeURIComponent(query)}`;
          const count = await this.#get<{ result: unknown[] }>(path).then(
            ({ result }) => result.length,
            () => -1,
          );
          counts.set(`${basename(file, '.json')}: ${title} ${refId}`, count);
        }
      }
    }
    return counts;
  }

  async #get<Data>(path: string): Promise<Data> {
    const script = `fetch('http://localhost:9090/api/v1/${path.replaceAll("'", '%27')}').then(async (r) => console.log(await r.text()))`;
    const text = await this.#project.docker('exec', this.#container, 'node', '-e', script);
    const { status, data, error } = JSON.parse(text) as {
      status: string;
      data: Data;
      error?: string;
    };
    if (status !== 'success') throw new Error(`Prometheus refuses ${path}: ${error}`);
    return data;
  }
}

interface Target {
  readonly scrapeUrl: string;
  readonly health: string;
  readonly lastError: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}
