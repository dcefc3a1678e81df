/** One expression of a panel. */
export interface Query {
  readonly expr: string;
  /** Names its series; may use labels, such as `{{queue}}`. */
  readonly legend: string;
}

/** Selects the processes that the viewer chose. */
export const ofProcess = 'job=~"$job", instance=~"$instance"';
/** Selects the queues that the viewer chose, of the chosen processes. */
export const ofQueue = `${ofProcess}, queue=~"$queue"`;

/** How often a counter grows, per second, added up over everything else than the given labels. */
export function ratePerSecond(metric: string, selector: string, by: readonly string[] = []): string {
  return `sum${grouping(by)}(rate(${metric}{${selector}}[$__rate_interval]))`;
}

/** The part of a counter's growth that has certain labels, between 0 and 1. Idle means 0, not nothing. */
export function ratio(metric: string, selector: string, part: string, by: readonly string[] = []): string {
  const whole = ratePerSecond(metric, selector, by);
  return `${ratePerSecond(metric, `${selector}, ${part}`, by)} / clamp_min(${whole}, 1e-9)`;
}

/** A quantile of a histogram, over everything else than the given labels. */
export function quantile(q: number, histogram: string, selector: string, by: readonly string[] = []): string {
  return `histogram_quantile(${q}, ${ratePerSecond(`${histogram}_bucket`, selector, ["le", ...by])})`;
}

/** The median, and the 95th and 99th percentile of a histogram. */
export function percentiles(histogram: string, selector: string): Query[] {
  return [50, 95, 99].map((percent) => ({
    expr: quantile(percent / 100, histogram, selector),
    legend: `p${percent}`,
  }));
}

/** A queue gauge, added up over the queues. Every API process reports the same, so the processes are not added up. */
export function queueGauge(metric: string, by: readonly string[] = []): string {
  return `sum${grouping(by)}(max by (queue) (${metric}{${ofQueue}}))`;
}

/** The same for a gauge that tells priorities apart. */
export function queueGaugeOfPriorities(metric: string, by: readonly string[] = []): string {
  return `sum${grouping(by)}(max by (queue, priority) (${metric}{${ofQueue}}))`;
}

function grouping(by: readonly string[]): string {
  return by.length === 0 ? " " : ` by (${by.join(", ")}) `;
}
