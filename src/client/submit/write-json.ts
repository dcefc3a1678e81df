import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ListValueSchema, NullValue, StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";

import { invalidArgument } from "../taskwatch-error.ts";

/**
 * A JSON value nested deeper than this is refused. An object is three levels of messages, and readers of protobuf give up after a
 * hundred: they would refuse the whole call, and with it everybody else's tasks.
 */
const maxDepth = 30;

const { Varint, Bit64, LengthDelimited } = WireType;
const value = ValueSchema.field;
const nullTag = tag(value.nullValue, Varint);
const numberTag = tag(value.numberValue, Bit64);
const stringTag = tag(value.stringValue, LengthDelimited);
const boolTag = tag(value.boolValue, Varint);
const structTag = tag(value.structValue, LengthDelimited);
const listTag = tag(value.listValue, LengthDelimited);
const itemTag = tag(ListValueSchema.field.values, LengthDelimited);
const entryTag = tag(StructSchema.field.fields, LengthDelimited);
// Of any map.
const keyTag = tag({ number: 1 }, LengthDelimited);
const entryValueTag = tag({ number: 2 }, LengthDelimited);

/**
 * Writes the fields of a google.protobuf.Value straight to the wire, which takes a fraction of the time of making messages
 * of it first. Reads what it is given as `JSON.stringify` does. Throws INVALID_ARGUMENT naming the place, below `path`, of
 * what JSON cannot say.
 */
export function writeJson(writer: BinaryWriter, json: unknown, path: string, depth = 0): void {
  switch (typeof json) {
    case "string":
      writer.uint32(stringTag).string(json);
      break;
    case "boolean":
      writer.uint32(boolTag).bool(json);
      break;
    case "number":
      if (!Number.isFinite(json)) throw invalidArgument(path, `${json} is not a JSON number`, "JSON_INVALID");
      writer.uint32(numberTag).double(json);
      break;
    case "object":
      if (json === null) writer.uint32(nullTag).int32(NullValue.NULL_VALUE);
      else writeObject(writer, json, path, depth);
      break;
    default:
      throw invalidArgument(path, `a ${typeof json} is not a JSON value`, "JSON_INVALID");
  }
}

/** The tag of a field, as it precedes each of its values. */
export function tag({ number }: { readonly number: number }, type: WireType): number {
  return ((number << 3) | type) >>> 0;
}

function writeObject(writer: BinaryWriter, json: object, path: string, depth: number): void {
  if (depth >= maxDepth) throw invalidArgument(path, `is nested deeper than ${maxDepth}`, "JSON_TOO_DEEP");
  if (Array.isArray(json)) {
    writer.uint32(listTag).fork();
    for (const [index, item] of (json as unknown[]).entries()) {
      writer.uint32(itemTag).fork();
      writeJson(writer, item === undefined ? null : item, `${path}[${index}]`, depth + 1);
      writer.join();
    }
    writer.join();
  } else if ("toJSON" in json && typeof json.toJSON === "function") {
    writeJson(writer, (json.toJSON as () => unknown)(), path, depth + 1);
  } else {
    writer.uint32(structTag).fork();
    for (const [key, item] of Object.entries(json) as [string, unknown][]) {
      if (item === undefined) continue;
      writer.uint32(entryTag).fork().uint32(keyTag).string(key).uint32(entryValueTag).fork();
      writeJson(writer, item, `${path}.${key}`, depth + 1);
      writer.join().join();
    }
    writer.join();
  }
}
