/**
 * Writes the schemas that ours import to a folder of the build cache, so that buf finds them without a network.
 *
 * google/rpc comes from the google-proto-files package. The validation rules come as a descriptor inside
 * `@bufbuild/protovalidate`; buf reads only sources, so the descriptor is printed as one. Options inside it are left out:
 * at run time the package's own descriptor is used, rules and all.
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescExtension, DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const root = join(import.meta.dirname, "..");
const target = join(root, "node_modules/.cache/proto");

function typeName(field: DescField | DescExtension): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar].toLowerCase();
    case "enum":
      return `.${field.enum.typeName}`;
    case "message":
      return `.${field.message.typeName}`;
    case "list":
      if (field.listKind === "scalar") return ScalarType[field.scalar].toLowerCase();
      return `.${field.listKind === "enum" ? field.enum.typeName : field.message.typeName}`;
    case "map": {
      const key = ScalarType[field.mapKey].toLowerCase();
      if (field.mapKind === "scalar") return `map<${key}, ${ScalarType[field.scalar].toLowerCase()}>`;
      return `map<${key}, .${field.mapKind === "enum" ? field.enum.typeName : field.message.typeName}>`;
    }
  }
}

function printField(field: DescField | DescExtension): string {
  const inOneof = field.kind === "field" && field.oneof !== undefined;
  const label = inOneof || field.fieldKind === "map" ? "" : field.fieldKind === "list" ? "repeated " : "optional ";
  return `${label}${typeName(field)} ${field.name} = ${field.number};`;
}

function printEnum(description: DescEnum): string {
  const values = description.values.map((value) => `${value.name} = ${value.number};`);
  return `enum ${description.name} {\n${values.join("\n")}\n}`;
}

function printMessage(description: DescMessage): string {
  const lines = description.members.map((member) =>
    member.kind === "oneof"
      ? `oneof ${member.name} {\n${member.fields.map(printField).join("\n")}\n}`
      : printField(member),
  );
  lines.push(...description.nestedEnums.map(printEnum), ...description.nestedMessages.map(printMessage));
  for (const range of description.proto.extensionRange) {
    lines.push(`extensions ${range.start} to ${range.end >= 536_870_912 ? "max" : range.end - 1};`);
  }
  return `message ${description.name} {\n${lines.join("\n")}\n}`;
}

function printFile(file: DescFile): string {
  const extensions = [...nestedTypes(file)].filter((type) => type.kind === "extension");
  return [
    `syntax = "proto2";`,
    `package ${file.proto.package};`,
    ...file.dependencies.map((dependency) => `import "${dependency.name}.proto";`),
    ...file.enums.map(printEnum),
    ...file.messages.map(printMessage),
    ...extensions.map((extension) => `extend .${extension.extendee.typeName} {\n${printField(extension)}\n}`),
    "",
  ].join("\n");
}

function write(path: string, text: string): void {
  const file = join(target, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

rmSync(target, { recursive: true, force: true });
write("buf/validate/validate.proto", printFile(file_buf_validate_validate));
for (const name of ["status", "error_details"]) {
  mkdirSync(join(target, "google/rpc"), { recursive: true });
  cpSync(
    join(root, `node_modules/google-proto-files/google/rpc/${name}.proto`),
    join(target, `google/rpc/${name}.proto`),
  );
}
