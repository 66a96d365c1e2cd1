"""The wire format between parties and the cloud: `parley.proto`, and what grpcio-tools generates from it.

After a change of `parley.proto`, from the root of the repository::

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. protocol/wire/parley.proto
"""
