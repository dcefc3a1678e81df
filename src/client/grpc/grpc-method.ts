import {
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";

/** A method as grpc-js wants it told. */
export interface GrpcMethod<Request, Response> {
  readonly path: string;
  serialize(this: void, request: Request): Buffer;
  deserialize(this: void, bytes: Buffer): Response;
}

/** Any method of the schema. */
export function grpcMethod<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output> | DescMethodServerStreaming<Input, Output>,
): GrpcMethod<MessageShape<Input>, MessageShape<Output>> {
  const { input, output } = method;
  return {
    path: pathOf(method),
    serialize: (request) => bufferOf(toBinary(input, request)),
    deserialize: (bytes) => fromBinary(output, bytes),
  };
}

/** Any unary method, for those who encode and decode by themselves. */
export function grpcBytesMethod(method: DescMethodUnary): GrpcMethod<Uint8Array, Uint8Array> {
  return { path: pathOf(method), serialize: bufferOf, deserialize: (bytes) => bytes };
}

function pathOf({ parent, name }: DescMethodUnary | DescMethodServerStreaming): string {
  return `/${parent.typeName}/${name}`;
}

/** The same memory, not a copy. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
