"""Parties on separate machines: `GrpcGrid` is the cloud's end of the wire, `attach` a party's."""

from protocol.grids.grpc.attach import Attachment, AttachRefused, Backoff, CloudUnreachable, attach, call
from protocol.grids.grpc.grid import GrpcGrid
from protocol.grids.grpc.roster import EnrolledRoster, Roster
from protocol.grids.grpc.service import Call, Pace
from protocol.grids.grpc.transport import BadAddress, Insecure, InsecureAddress, Secure, Security

__all__ = [
    "AttachRefused",
    "Attachment",
    "Backoff",
    "BadAddress",
    "Call",
    "CloudUnreachable",
    "EnrolledRoster",
    "GrpcGrid",
    "Insecure",
    "InsecureAddress",
    "Pace",
    "Roster",
    "Secure",
    "Security",
    "attach",
    "call",
]
