import {
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";

import type { RequestOf } from "./transport.ts";

/** A method as grpc-js wants it told. */
export interface GrpcMethod<Input extends DescMessage, Output extends DescMessage> {
  readonly path: string;
  serialize(this: void, request: RequestOf<Input>): Buffer;
  deserialize(this: void, bytes: Uint8Array): MessageShape<Output>;
}

/** Any method of the schema. A request that comes as bytes is taken for an encoded one. */
export function grpcMethod<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output> | DescMethodServerStreaming<Input, Output>,
): GrpcMethod<Input, Output> {
  const { input, output, parent, name } = method;
  return {
    path: `/${parent.typeName}/${name}`,
    serialize: (request) => bufferOf(request instanceof Uint8Array ? request : toBinary(input, request)),
    deserialize: (bytes) => fromBinary(output, bytes),
  };
}

/** The same memory, not a copy. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
