import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";

import { services } from "../methods.ts";

/** Adds reflection (v1 and v1alpha) to a server: tools find the services of the API without having its schema. */
export function addReflection(server: Server): void {
  const files = new Map<string, Buffer>();
  for (const { file } of services) collect(file, files);
  // The library reads nothing of what proto-loader makes but the descriptors.
  const definition = { api: { fileDescriptorProtos: [...files.values()] } };
  new ReflectionService(definition as unknown as ConstructorParameters<typeof ReflectionService>[0]).addToServer(
    server,
  );
}

function collect(file: DescFile, files: Map<string, Buffer>): void {
  if (files.has(file.proto.name)) return;
  files.set(file.proto.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
  for (const dependency of file.dependencies) collect(dependency, files);
}
