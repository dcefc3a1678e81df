import type { FieldViolation } from "../task/errors.ts";

/** 0001-01-01 to 9999-12-31, as google/protobuf/timestamp.proto has it. */
const timestampSeconds = [-62_135_596_800n, 253_402_300_799n] as const;
/** About 10,000 years, as google/protobuf/duration.proto has it. */
const maxDurationSeconds = 315_576_000_000n;
const maxNanos = 999_999_999;

/**
 * What is wrong with a message that its type does not forbid and that could not be written down as JSON: times, durations and JSON
 * values beyond what their specifications allow. Protobuf carries them all the same.
 */
export function malformedFields(message: object, path = ""): FieldViolation[] {
  return Object.entries(message).flatMap(([name, value]: [string, unknown]) => {
    if (name.startsWith("$")) return [];
    return inValue(value, path === "" ? snakeCase(name) : `${path}.${snakeCase(name)}`, path);
  });
}

function inValue(value: unknown, path: string, parent: string): FieldViolation[] {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  if (Array.isArray(value)) return value.flatMap((item, index) => inValue(item, `${path}[${index}]`, path));
  const { $typeName: type } = value as { readonly $typeName?: string };
  if (type === undefined) return inOneof(value, path, parent);
  if (type.startsWith("google.protobuf.")) {
    const problem = wellKnownProblem(type, value);
    return problem === undefined ? [] : [{ field: path, description: problem, rule: "MALFORMED" }];
  }
  return malformedFields(value, path);
}

/** A oneof is named by the field that is set; a map is not looked into, because none of ours holds messages. */
function inOneof(value: object, path: string, parent: string): FieldViolation[] {
  const { case: name, value: inner } = value as { readonly case?: unknown; readonly value?: unknown };
  if (typeof name !== "string") return [];
  const field = parent === "" ? snakeCase(name) : `${parent}.${snakeCase(name)}`;
  return inValue(inner, isJson(inner) ? parent : field, path);
}

function isJson(value: unknown): boolean {
  return (value as { readonly $typeName?: string } | undefined)?.$typeName === "google.protobuf.Value";
}

function wellKnownProblem(type: string, value: object): string | undefined {
  switch (type) {
    case "google.protobuf.Timestamp": {
      const { seconds, nanos } = value as { readonly seconds: bigint; readonly nanos: number };
      const [first, last] = timestampSeconds;
      const isGood = seconds >= first && seconds <= last && nanos >= 0 && nanos <= maxNanos;
      return isGood ? undefined : "must be a time from year 1 to 9999, with nanos from 0 to 999999999";
    }
    case "google.protobuf.Duration": {
      const { seconds, nanos } = value as { readonly seconds: bigint; readonly nanos: number };
      const size = seconds < 0n ? -seconds : seconds;
      const agree = seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0;
      const isGood = agree && size <= maxDurationSeconds && Math.abs(nanos) <= maxNanos;
      return isGood ? undefined : "must be a duration whose seconds and nanos have one sign, with nanos below a second";
    }
    case "google.protobuf.Value":
      return isJsonValue(value as JsonMessage)
        ? undefined
        : "must be a JSON value: finite numbers, and every value set";
    default:
      return undefined;
  }
}

interface JsonMessage {
  readonly kind: { readonly case?: string | undefined; readonly value?: unknown };
}

/** As deep as the decoder let it be, which is bounded. */
function isJsonValue({ kind }: JsonMessage): boolean {
  switch (kind.case) {
    case "numberValue":
      return Number.isFinite(kind.value);
    case "structValue":
      return Object.values((kind.value as { readonly fields: Record<string, JsonMessage> }).fields).every(isJsonValue);
    case "listValue":
      return (kind.value as { readonly values: JsonMessage[] }).values.every(isJsonValue);
    default:
      return kind.case !== undefined;
  }
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
