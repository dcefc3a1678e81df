import { create, type JsonObject, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { NullValue, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

import { type Content, ContentSchema } from "../gen/taskwatch/v1/task_pb.ts";
import { invalidArgument } from "./taskwatch-error.ts";

/** A JSON value nested deeper than this is refused, here as by the service. */
const maxDepth = 100;

/**
 * A value as content: a `Uint8Array` goes as bytes, untouched; undefined means nothing; all else goes as JSON, read as
 * `JSON.stringify` reads it. Throws INVALID_ARGUMENT naming `field` for what JSON cannot say.
 */
export function contentFromValue(value: unknown, contentType: string | undefined, field: string): Content {
  const contentTypeOrNone = contentType ?? "";
  if (value === undefined) return create(ContentSchema, { contentType: contentTypeOrNone });
  if (value instanceof Uint8Array) {
    return create(ContentSchema, { value: { case: "data", value }, contentType: contentTypeOrNone });
  }
  const json = create(ValueSchema, { kind: kindFromJson(value, field, 0) });
  return create(ContentSchema, { value: { case: "json", value: json }, contentType: contentTypeOrNone });
}

/** What is in the content: a JSON value, bytes, or undefined for nothing. */
export function valueFromContent(content: Content | undefined): JsonValue | Uint8Array | undefined {
  if (content?.value.case === "json") return jsonFromValue(content.value.value);
  // A copy, so that a small result does not keep the whole answer in memory that it came in.
  if (content?.value.case === "data") return new Uint8Array(content.value.value);
  return undefined;
}

type KindInit = NonNullable<MessageInitShape<typeof ValueSchema>["kind"]>;

function kindFromJson(value: unknown, path: string, depth: number): KindInit {
  switch (typeof value) {
    case "string":
      return { case: "stringValue", value };
    case "boolean":
      return { case: "boolValue", value };
    case "number":
      if (!Number.isFinite(value)) throw invalidArgument(path, `${value} is not a JSON number`, "JSON_INVALID");
      return { case: "numberValue", value };
    case "object":
      return value === null ? { case: "nullValue", value: NullValue.NULL_VALUE } : kindFromObject(value, path, depth);
    default:
      throw invalidArgument(path, `a ${typeof value} is not a JSON value`, "JSON_INVALID");
  }
}

function kindFromObject(value: object, path: string, depth: number): KindInit {
  if (depth >= maxDepth) throw invalidArgument(path, `is nested deeper than ${maxDepth}`, "JSON_TOO_DEEP");
  if (Array.isArray(value)) {
    const values = value.map((item: unknown, index) => ({
      kind: kindFromJson(item === undefined ? null : item, `${path}[${index}]`, depth + 1),
    }));
    return { case: "listValue", value: { values } };
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return kindFromJson((value.toJSON as () => unknown)(), path, depth + 1);
  }
  const fields: Record<string, { kind: KindInit }> = {};
  for (const [key, item] of Object.entries(value) as [string, unknown][]) {
    if (item !== undefined) setOwn(fields, key, { kind: kindFromJson(item, `${path}.${key}`, depth + 1) });
  }
  return { case: "structValue", value: { fields } };
}

function jsonFromValue({ kind }: Value): JsonValue {
  switch (kind.case) {
    case "stringValue":
    case "boolValue":
    case "numberValue":
      return kind.value;
    case "listValue":
      return kind.value.values.map(jsonFromValue);
    case "structValue": {
      const object: JsonObject = {};
      for (const [key, value] of Object.entries(kind.value.fields)) setOwn(object, key, jsonFromValue(value));
      return object;
    }
    default:
      return null;
  }
}

/** Sets a property of any name; a plain assignment to `__proto__` would set something else. */
function setOwn<Item>(object: Record<string, Item>, key: string, value: Item): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}
