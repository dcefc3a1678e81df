import { create, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { NullValue, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

import { type Content, ContentSchema } from "../../gen/taskwatch/v1/task_pb.ts";

/** The largest result, encoded. Larger data belongs in an object store, by reference. */
export const maxResultBytes = 256 * 1024;

/** The deepest result. An object is three levels of messages, and readers of protobuf give up after a hundred. */
export const maxResultDepth = 30;

/** A handler returned something that cannot be stored. */
export class UnusableResult extends Error {
  override readonly name = "UnusableResult";
  readonly code: "INVALID_RESULT" | "RESULT_TOO_LARGE";

  constructor(code: "INVALID_RESULT" | "RESULT_TOO_LARGE", message: string) {
    super(message);
    this.code = code;
  }
}

/** What a task was submitted with. Throws on a JSON value without a value. */
export function payloadFromContent(content: Content | undefined): JsonValue | Uint8Array | undefined {
  const value = content?.value;
  if (value?.case === "json") return toJson(ValueSchema, value.value);
  return value?.case === "data" ? value.value : undefined;
}

/**
 * What a handler returned, ready to be stored: undefined means nothing, a `Uint8Array` bytes, and all else is read as
 * `JSON.stringify` reads it, except that what that would silently turn into something else is refused: functions, symbols,
 * numbers that are not finite, maps, sets, errors, bytes within a value.
 *
 * Throws `UnusableResult`, and whatever a getter or `toJSON` throws. Work is bounded by the size limit.
 */
export function contentFromResult(result: unknown): Content | undefined {
  if (result === undefined) return undefined;
  if (result instanceof Uint8Array) {
    if (result.length > maxResultBytes) throw tooLarge();
    return create(ContentSchema, { value: { case: "data", value: result } });
  }
  const value = new ResultReader().read(result, "result", 0);
  const content = create(ContentSchema, { value: { case: "json", value } });
  if (toBinary(ContentSchema, content).length > maxResultBytes) throw tooLarge();
  return content;
}

class ResultReader {
  #bytes = 0;

  read(value: unknown, path: string, depth: number): Value {
    this.#count(2);
    switch (typeof value) {
      case "string":
        this.#count(value.length);
        return valueOf({ case: "stringValue", value: value.toWellFormed() });
      case "boolean":
        return valueOf({ case: "boolValue", value });
      case "number":
        if (!Number.isFinite(value)) throw invalid(`${path}: ${value} is not a JSON number`);
        return valueOf({ case: "numberValue", value });
      case "object":
        if (value === null) return valueOf({ case: "nullValue", value: NullValue.NULL_VALUE });
        return this.#readObject(value, path, depth);
      default:
        throw invalid(`${path}: a ${typeof value} is not a JSON value`);
    }
  }

  #readObject(object: object, path: string, depth: number): Value {
    if (depth >= maxResultDepth) throw invalid(`${path}: nested deeper than ${maxResultDepth} levels, or in itself`);
    if (Array.isArray(object)) {
      const values = object.map((item: unknown, index) => this.read(item ?? null, `${path}[${index}]`, depth + 1));
      return valueOf({ case: "listValue", value: { $typeName: "google.protobuf.ListValue", values } });
    }
    if ("toJSON" in object && typeof object.toJSON === "function") {
      return this.read((object.toJSON as () => unknown)(), path, depth + 1);
    }
    if (isNoPlainObject(object))
      throw invalid(`${path}: ${Object.prototype.toString.call(object)} is not a JSON value`);
    const fields: Record<string, Value> = {};
    for (const [key, item] of Object.entries(object) as [string, unknown][]) {
      if (item === undefined) continue;
      this.#count(key.length + 2);
      setOwn(fields, key, this.read(item, `${path}.${key}`, depth + 1));
    }
    return valueOf({ case: "structValue", value: { $typeName: "google.protobuf.Struct", fields } });
  }

  /** Counts what the encoded value needs at least. */
  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > maxResultBytes) throw tooLarge();
  }
}

function valueOf(kind: Value["kind"]): Value {
  return create(ValueSchema, { kind });
}

function isNoPlainObject(object: object): boolean {
  return object instanceof Map || object instanceof Set || object instanceof Error || ArrayBuffer.isView(object);
}

/** Sets a property of any name; a plain assignment to `__proto__` would set something else. */
function setOwn(fields: Record<string, Value>, key: string, value: Value): void {
  if (key !== "__proto__") fields[key] = value;
  else Object.defineProperty(fields, key, { value, enumerable: true, configurable: true, writable: true });
}

function invalid(message: string): UnusableResult {
  return new UnusableResult("INVALID_RESULT", message);
}

function tooLarge(): UnusableResult {
  return new UnusableResult("RESULT_TOO_LARGE", `result is larger than ${maxResultBytes} bytes encoded`);
}
