import { Counter, Gauge, Histogram, type Registry } from "prom-client";

import type { MetricDefinition, Role } from "./catalogue.ts";

type Definition<Kind extends MetricDefinition["kind"]> = MetricDefinition & { readonly kind: Kind };
type LabelsOf<D extends MetricDefinition> = Extract<keyof D["labels"], string>;

/** Makes metrics from their definitions. Those of another role count as usual, and are not reported. */
export interface Instruments {
  counter<const D extends Definition<"counter">>(definition: D): Counter<LabelsOf<D>>;
  histogram<const D extends Definition<"histogram"> & { readonly buckets: readonly number[] }>(
    definition: D,
  ): Histogram<LabelsOf<D>>;
  /** Reports nothing until it is set. */
  gauge<const D extends Definition<"gauge">>(definition: D): Gauge<LabelsOf<D>>;
}

/** Where metrics are reported, and for which roles. */
export interface InstrumentsOptions {
  readonly registry: Registry;
  readonly roles: readonly Role[];
}

/** Makes the metrics of a process that has the given roles. */
export function createInstruments({ registry, roles }: InstrumentsOptions): Instruments {
  const configure = <D extends MetricDefinition>(definition: D) => ({
    name: definition.name,
    help: definition.help,
    labelNames: Object.keys(definition.labels) as LabelsOf<D>[],
    registers: definition.roles.some((role) => roles.includes(role)) ? [registry] : [],
  });
  return {
    counter: (definition) => new Counter(configure(definition)),
    histogram: (definition) => new Histogram({ ...configure(definition), buckets: [...definition.buckets] }),
    gauge(definition) {
      const gauge = new Gauge(configure(definition));
      // The library reports 0 for a gauge without labels before anybody knows its value.
      if (Object.keys(definition.labels).length === 0) gauge.remove();
      return gauge;
    },
  };
}

/** What histograms observe: a negative time, which only a moved clock can give, counts as 0, as does one not known. */
export function duration(seconds: number): number {
  return seconds > 0 ? seconds : 0;
}
