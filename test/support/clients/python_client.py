"""A gRPC client on the C core that knows the schema from a descriptor set.

Reads one JSON object a line: {"method", "request"}. Answers one a line: {"messages": [...]} or {"error": base64 status}.
"""

import base64
import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SERVICE = "taskwatch.v1.TaskService"


def load(path):
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as image:
        files.ParseFromString(image.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def main():
    address, image = sys.argv[1:]
    pool = load(image)
    factory = message_factory.MessageFactory(pool)
    service = pool.FindServiceByName(SERVICE)
    with grpc.insecure_channel(address) as channel:
        for line in sys.stdin:
            call = json.loads(line)
            method = service.methods_by_name[call["method"]]
            request = json_format.ParseDict(call["request"], factory.GetPrototype(method.input_type)())
            output = factory.GetPrototype(method.output_type)
            open_call = channel.unary_stream if call["method"] == "WatchStatus" else channel.unary_unary
            invoke = open_call(
                f"/{SERVICE}/{call['method']}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=output.FromString,
            )
            try:
                answer = invoke(request, timeout=30)
                messages = list(answer) if call["method"] == "WatchStatus" else [answer]
                reply = {"messages": [json_format.MessageToDict(message) for message in messages]}
            except grpc.RpcError as error:
                details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
                reply = {"error": base64.b64encode(details).decode(), "code": error.code().value[0]}
            print(json.dumps(reply), flush=True)


main()
