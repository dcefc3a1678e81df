import { Gauge, type Registry } from "prom-client";

import type { MetricDefinition, Role } from "./catalogue.ts";
import { overflowLabel } from "./label-values.ts";
import { type CounterCell, createTallyCounter, createTallyHistogram, type HistogramCell, type Tally } from "./tally.ts";

type Definition<Kind extends MetricDefinition["kind"]> = MetricDefinition & { readonly kind: Kind };
type LabelsOf<D extends MetricDefinition> = Extract<keyof D["labels"], string>;

/** Makes metrics from their definitions. Those of another role count as usual, and are not reported. */
export interface Instruments {
  counter<const D extends Definition<"counter">>(definition: D): Tally<LabelsOf<D>, CounterCell>;
  histogram<const D extends Definition<"histogram"> & { readonly buckets: readonly number[] }>(
    definition: D,
  ): Tally<LabelsOf<D>, HistogramCell>;
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
  const registryOf = (definition: MetricDefinition): Registry | undefined =>
    definition.roles.some((role) => roles.includes(role)) ? registry : undefined;
  return {
    counter: (definition) => createTallyCounter({ ...definition, registry: registryOf(definition) }),
    histogram: (definition) => createTallyHistogram({ ...definition, registry: registryOf(definition) }),
    gauge<const D extends Definition<"gauge">>(definition: D) {
      const own = registryOf(definition);
      const gauge = new Gauge<LabelsOf<D>>({
        name: definition.name,
        help: definition.help,
        labelNames: Object.keys(definition.labels) as LabelsOf<D>[],
        registers: own === undefined ? [] : [own],
      });
      // The library reports 0 for a gauge without labels before anybody knows its value.
      if (Object.keys(definition.labels).length === 0) gauge.remove();
      return gauge;
    },
  };
}

/**
 * One cell for each value of a closed label, all reported from the start. A value that is not in the list, which the
 * types do not allow, counts as `other`.
 */
export function closedCells<Value extends string, Cell>(
  values: readonly Value[],
  make: (value: string) => Cell,
): (value: Value) => Cell {
  const cells = new Map<string, Cell>(values.map((value) => [value, make(value)]));
  const overflow = lazyCell(() => make(overflowLabel));
  return (value) => cells.get(value) ?? overflow();
}

/** Like `closedCells`, but each cell is reported from its first use on: for histograms, which are many series each. */
export function lazyClosedCells<Value extends string, Cell>(
  values: readonly Value[],
  make: (value: string) => Cell,
): (value: Value) => Cell {
  const cells = new Map<string, () => Cell>(values.map((value) => [value, lazyCell(() => make(value))]));
  const overflow = lazyCell(() => make(overflowLabel));
  return (value) => (cells.get(value) ?? overflow)();
}

/** A cell that is reported from its first use on. */
export function lazyCell<Cell>(make: () => Cell): () => Cell {
  let cell: Cell | undefined;
  return () => (cell ??= make());
}
