import type { Counter, Registry } from "prom-client";

/*
 * Counters and histograms whose hot path is an addition.
 *
 * The library's own look up their labels by building a string at each call, which costs as much as writing a task does.
 * Here a caller makes its cell once and keeps it; the registry reads the cells when it is scraped.
 */

/** The labels of one time series. */
export type Labels<Label extends string> = Readonly<Record<Label, string>>;

/** One time series of a counter. Add to `value`, never take away. */
export interface CounterCell {
  value: number;
}

/** The time series of a histogram that share their labels. */
export interface HistogramCell {
  /** Counts one value, in the unit of the metric. A negative one, which only a moved clock can give, counts as 0. */
  observe(value: number): void;
}

/** A metric whose cells live as long as it does. Make one for each combination of labels, once. */
export interface Tally<Label extends string, Cell> {
  /** A new cell, which is reported from now on. */
  cell(labels: Labels<Label>): Cell;
}

/** What a tally is called. */
export interface TallyOptions {
  readonly name: string;
  readonly help: string;
  /** Where it is reported; undefined: nowhere. */
  readonly registry: Registry | undefined;
}

/** Makes a counter. */
export function createTallyCounter<Label extends string>(options: TallyOptions): Tally<Label, CounterCell> {
  const samples: (CounterCell & Sample)[] = [];
  register(options, "counter", () => samples);
  return {
    cell(labels) {
      const sample = { labels, value: 0 };
      samples.push(sample);
      return sample;
    },
  };
}

/** Makes a histogram with the given upper bounds, ascending and finite. */
export function createTallyHistogram<Label extends string>(
  options: TallyOptions & { readonly buckets: readonly number[] },
): Tally<Label, HistogramCell> {
  const bounds = Float64Array.from(options.buckets);
  const series: Series[] = [];
  register(options, "histogram", () => series.flatMap((one) => one.samples(options.name)));
  return {
    cell(labels) {
      const one = new Series(labels, bounds);
      series.push(one);
      return one;
    },
  };
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

class Series implements HistogramCell {
  readonly #labels: Readonly<Record<string, string>>;
  readonly #bounds: Float64Array;
  /** One more than there are bounds: the last is what lies above all of them. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(labels: Readonly<Record<string, string>>, bounds: Float64Array) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const clamped = value > 0 ? value : 0;
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && clamped > (bounds[index] ?? Infinity)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += clamped;
  }

  samples(name: string): Sample[] {
    let total = 0;
    const buckets = Array.from(this.#counts, (count, index): Sample => {
      total += count;
      return {
        metricName: `${name}_bucket`,
        labels: { le: this.#bounds[index] ?? "+Inf", ...this.#labels },
        value: total,
      };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: this.#labels, value: this.#sum },
      { metricName: `${name}_count`, labels: this.#labels, value: total },
    ];
  }
}

function register(
  { name, help, registry }: TallyOptions,
  type: "counter" | "histogram",
  samples: () => readonly Sample[],
): void {
  if (registry === undefined) return;
  const metric = {
    name,
    help,
    type,
    aggregator: "sum",
    get: async () => ({ name, help, type, aggregator: "sum", values: samples() }),
    reset: () => {
      throw new Error(`${name}: cannot be reset`);
    },
  };
  // The registry asks of a metric no more than this, but its types name the library's own classes.
  registry.registerMetric(metric as unknown as Counter);
}
