import { fromBinary, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Value } from "@bufbuild/protobuf/wkt";

import { type Content, ContentSchema } from "../../gen/taskwatch/v1/task_pb.ts";
import { tag, writeJson } from "./write-json.ts";

const jsonTag = tag(ContentSchema.field.json, WireType.LengthDelimited);
const dataTag = tag(ContentSchema.field.data, WireType.LengthDelimited);
const contentTypeTag = tag(ContentSchema.field.contentType, WireType.LengthDelimited);

/** A value on its way into a message, with the field that errors name. */
export interface ContentInput {
  readonly value: unknown;
  readonly contentType: string | undefined;
  readonly field: string;
}

/**
 * Writes the fields of a Content: a `Uint8Array` goes as bytes, untouched; undefined means nothing; all else goes as JSON.
 * Throws INVALID_ARGUMENT for what JSON cannot say.
 */
export function writeContent(writer: BinaryWriter, { value, contentType, field }: ContentInput): void {
  if (value instanceof Uint8Array) {
    writer.uint32(dataTag).bytes(value);
  } else if (value !== undefined) {
    writer.uint32(jsonTag).fork();
    writeJson(writer, value, field);
    writer.join();
  }
  if (contentType !== undefined) writer.uint32(contentTypeTag).string(contentType);
}

/** The same as a message. */
export function contentFromValue(input: ContentInput): Content {
  const writer = new BinaryWriter();
  writeContent(writer, input);
  return fromBinary(ContentSchema, writer.finish());
}

/** What is in the content: a JSON value, bytes, or undefined for nothing. */
export function valueFromContent(content: Content | undefined): JsonValue | Uint8Array | undefined {
  if (content?.value.case === "json") return jsonFromValue(content.value.value);
  // A copy, so that a small result does not keep the whole answer in memory that it came in.
  if (content?.value.case === "data") return new Uint8Array(content.value.value);
  return undefined;
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
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}
