"""Parties on separate machines: `GrpcGrid` is the cloud's end of the wire, `attach` a party's."""

from protocol.grids.grpc.attach import Attachment, Backoff, attach
from protocol.grids.grpc.calling import AttachRefused, CloudUnreachable, call
from protocol.grids.grpc.grid import SWITCH, GrpcGrid
from protocol.grids.grpc.quotas import Allowance, Quotas
from protocol.grids.grpc.roster import EnrolledRoster, Roster
from protocol.grids.grpc.service import Call
from protocol.grids.grpc.transfers import Pace
from protocol.grids.grpc.transport import BadAddress, Insecure, InsecureAddress, Secure, Security

__all__ = [
    "SWITCH",
    "Allowance",
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
    "Quotas",
    "Roster",
    "Secure",
    "Security",
    "attach",
    "call",
]
