"""A deployment for one run: the cloud here, the parties in processes beside it, mutual TLS between them."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe
from typing import Any

import cloudpickle
from flwr.app import RecordDict
from flwr.clientapp import ClientApp

from deploy.turns import Turns
from parties.party import PartyApp
from protocol.compute.ray_cluster import loose_modules, search_path
from protocol.crypto.certificates import ROLES, Credentials, mint, mint_authority
from protocol.encoding.records import pack, unpack
from protocol.errors import GridUnavailable
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import Attachment, GrpcGrid, Roster, Secure
from protocol.storage.vault import Vault

HOST = "127.0.0.1"
PATIENCE = 300.0
"""Seconds that all parties have to start and attach."""
_TRIAL = 0.5


class ProcessesGrid(GrpcGrid):
    """A `GrpcGrid` that starts and stops its parties.

    Each party has its own stream, and a certificate from a temporary authority. The first party has its own process;
    the others share a few, since PyTorch takes some hundred megabytes in each process.

    Args:
        apps: The parties; in a purchase, the buyer first. They are pickled.
        vault: The cloud's.
        workers: How many processes the others share.

    Raises:
        GridUnavailable: When they cannot be started.
    """

    def __init__(self, apps: Sequence[ClientApp], vault: Vault, workers: int) -> None:
        authority = mint_authority()
        urns = [_urn(app, number) for number, app in enumerate(apps)]
        super().__init__(f"{HOST}:0", _security(authority, "urn:parley:cloud:cloud"), Roster(urns), vault)
        self._home: dict[int, _Process] = {}
        try:
            nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + len(apps))
            members = list(zip(nodes, (_security(authority, urn) for urn in urns), apps, strict=True))
            ends = [1 + (len(members) - 1) * number // workers for number in range(workers + 1)]
            shares = [members[start:end] for start, end in pairwise([0, *ends]) if start < end]
            started: list[_Process] = []
            for share in shares:
                started.append(_Process())
                self._home |= {node_id: started[-1] for node_id, _, _ in share}
            for process, share in zip(started, shares, strict=True):
                process.send(self.address, share)
            self._await(set(nodes))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the parties, then the cloud's end."""
        for process in set(self._home.values()):
            process.stop()
        super().close()

    def state(self, node_id: int) -> RecordDict:
        """Return the memory of a node."""
        return self._home[node_id].state(node_id)

    def _await(self, nodes: set[int]) -> None:
        waited = 0.0
        while missing := self.wait_attached(nodes, _TRIAL):
            waited += _TRIAL
            if waited > PATIENCE or not all(process.alive for process in self._home.values()):
                raise GridUnavailable(
                    f"{len(missing)} of {len(nodes)} parties did not attach to the cloud at {self.address}"
                )


class _Process:
    """One process for some parties; it ends when its pipe closes, however this process ends.

    It is a separate program that does not import the script that runs here: without
    ``if __name__ == "__main__":`` the script would begin again.
    """

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.processes", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": search_path(), "OMP_NUM_THREADS": "1"},  # threads: PyTorch's
                process_group=0,  # an interrupt from the terminal goes to this process only, which then stops the other
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, address: str, members: Sequence[tuple[int, Secure, ClientApp]]) -> None:
        """Send the parties to the process; classes from a script are sent by value."""
        for module in loose_modules():
            cloudpickle.register_pickle_by_value(module)
        with suppress(OSError):  # the process has ended, and `alive` shows it
            self._pipe.send_bytes(cloudpickle.dumps((address, members)))

    def state(self, node_id: int) -> RecordDict:
        self._pipe.send(node_id)
        return unpack(self._pipe.recv_bytes())

    def stop(self) -> None:
        self._pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _urn(app: ClientApp, number: int) -> str:
    """Name a party after its role."""
    role = app.party.role if isinstance(app, PartyApp) and app.party.role in ROLES else "seller"
    return f"urn:parley:{role}:{role}{number}"


def _security(authority: Credentials, urn: str) -> Secure:
    _, _, role, name = urn.split(":")
    return Secure(mint(authority, role, name, [HOST] if role == "cloud" else []), authority.certificate)


def _host(pipe: Connection) -> None:
    """Host the parties that are sent through a pipe, until it closes.

    They are unpickled here, as the program that started this one has pickled them. Answers are not pickled.
    """
    logging.disable(logging.ERROR)  # the report names what failed
    try:
        pickled = pipe.recv_bytes()
    except EOFError:
        return
    address, members = cloudpickle.loads(pickled)
    asyncio.run(_attend(pipe, address, members))


async def _attend(pipe: Connection, address: str, members: Sequence[tuple[int, Secure, ClientApp]]) -> None:
    states: dict[int, RecordDict] = {}
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), partial(_answer, pipe, states, ended))
    turns = Turns()
    attachments = [
        Attachment(address, security, app, keep=partial(states.__setitem__, node_id), executor=turns)
        for node_id, security, app in members
    ]
    running = [asyncio.create_task(attachment.run()) for attachment in attachments]
    running.append(asyncio.create_task(_let_on(turns)))
    over = asyncio.create_task(ended.wait())
    done, others = await asyncio.wait([over, *running], return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done - {over}:
        task.result()


async def _let_on(turns: Turns) -> None:
    """Let a party that waits for something hold up no other, for ever."""
    while True:
        await asyncio.sleep(_TRIAL)
        turns.let_on()


def _answer(pipe: Connection, states: Mapping[int, RecordDict], ended: asyncio.Event) -> None:
    """Answer a question for the memory of a node."""
    try:
        asked: Any = pipe.recv()
        pipe.send_bytes(pack(states.get(asked, RecordDict())))
    except (EOFError, OSError):
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        ended.set()


if __name__ == "__main__":
    _host(Connection(int(sys.argv[1])))
    os._exit(0)  # a late party may be at work still, and nobody waits for it
