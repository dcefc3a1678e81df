import { parser } from "@prometheus-io/lezer-promql";

/** A metric as one expression uses it. */
export interface MetricUse {
  readonly name: string;
  /** The labels it is selected by. */
  readonly labels: readonly string[];
  /** The innermost function around it, such as `rate`; undefined if there is none. */
  readonly function: string | undefined;
  /** The range it is taken over, such as `5m`; undefined for an instant. */
  readonly range: string | undefined;
}

/** What an expression is made of. */
export interface PromqlAnalysis {
  readonly uses: readonly MetricUse[];
  /** The labels that aggregations keep. */
  readonly grouping: readonly string[];
}

type Node = ReturnType<(typeof parser)["parse"]>["topNode"];

/** Takes an expression apart. Throws a SyntaxError if it is not PromQL. */
export function analysePromql(expr: string): PromqlAnalysis {
  const textOf = (node: Node): string => expr.slice(node.from, node.to);
  const uses: MetricUse[] = [];
  const grouping: string[] = [];
  parser.parse(expr).iterate({
    enter({ node }) {
      if (node.type.isError) throw new SyntaxError(`not PromQL at character ${node.from}: ${expr}`);
      if (node.name === "GroupingLabels") grouping.push(...node.getChildren("LabelName").map(textOf));
      if (node.name === "VectorSelector") uses.push(metricUse(node, textOf));
    },
  });
  return { uses, grouping };
}

function metricUse(selector: Node, textOf: (node: Node) => string): MetricUse {
  const name = selector.getChild("Identifier");
  const matchers = selector.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? [];
  const matrix = selector.parent?.name === "MatrixSelector" ? selector.parent : null;
  const range = matrix?.getChild("DurationExpr") ?? null;
  const call = enclosing(selector, "FunctionCall")?.getChild("FunctionIdentifier") ?? null;
  return {
    name: name === null ? "" : textOf(name),
    labels: matchers.flatMap((matcher) => matcher.getChildren("LabelName").map(textOf)),
    function: call === null ? undefined : textOf(call),
    range: range === null ? undefined : textOf(range),
  };
}

function enclosing(node: Node, name: string): Node | undefined {
  for (let parent = node.parent; parent !== null; parent = parent.parent) {
    if (parent.name === name) return parent;
  }
  return undefined;
}
