"""Runs a party: alone with its state folder, attached to the cloud, its memory on disk."""

import asyncio
import fcntl
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from parties.party import Party
from protocol.certificates import CertificateError
from protocol.codec import decode, encode
from protocol.grids.grpc import Attachment, AttachRefused, CloudUnreachable, Secure, call
from protocol.messages.base import ProtocolMessage
from protocol.private_files import private_folder
from simulations.deployed.kit import Kit
from simulations.deployed.logs import log
from simulations.errors import BadKit, Unreachable

M = TypeVar("M", bound=ProtocolMessage)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state folder: no second process may be the same party.

    Raises
    ------
    BadKit
        When another process has it.
    """
    private_folder(state)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadKit(f"another process is this party and holds {lock.name}; stop it, or use another kit") from None
        yield


def credentials(kit: Kit) -> Secure:
    """Return what the party shows on the wire, and whom it trusts."""
    return Secure(kit.credentials, kit.ca)


def ask_cloud(kit: Kit, method: str, question: ProtocolMessage, answer: type[M], timeout: float = 10.0) -> M:
    """Ask something of the cloud; see `protocol.messages.service`.

    Raises
    ------
    Unreachable
        When it does not answer, or refuses.
    """
    with _said_in_one_sentence():
        return decode(call(str(kit.party.address), credentials(kit), method, encode(question), timeout), answer)


def stay_attached(kit: Kit, party: Party) -> None:
    """Let a party answer the cloud until the process is told to stop (SIGINT or SIGTERM).

    Raises
    ------
    Unreachable
        When the cloud cannot be reached for a long time, or refuses this party.
    """

    async def forever() -> None:
        attached = asyncio.create_task(Attachment(str(kit.party.address), credentials(kit), party.client_app()).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, attached.cancel)
        with suppress(asyncio.CancelledError):
            await attached
        log("stopped", party=kit.identity.urn)

    with alone(kit.state), _said_in_one_sentence():
        asyncio.run(forever())


@contextmanager
def _said_in_one_sentence() -> Iterator[None]:
    try:
        yield
    except (AttachRefused, CloudUnreachable, CertificateError) as error:
        raise Unreachable(f"{error}; `parley doctor` looks for the reason") from None
