"""What every role has in common: typed steps, its own secret, a memory that outlives a message."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, get_type_hints

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from protocol.codec import RECORDS, decode, encode
from protocol.messages.base import ProtocolMessage
from protocol.messages.purchase import Hello, Introduction
from protocol.signing import SigningKey, derive

M = TypeVar("M", bound=ProtocolMessage)
Step = TypeVar("Step", bound=Callable[..., ProtocolMessage])


def step(name: str) -> Callable[[Step], Step]:
    """Mark a method as a protocol step that answers ``query.<name>``.

    The method takes one message and returns one; both types are read from its annotations.
    """

    def mark(method: Step) -> Step:
        method.__dict__["protocol_step"] = name
        return method

    return mark


class Memory:
    """Messages that a party keeps from one step to the next, in Flower's `Context.state`."""

    def __init__(self, state: RecordDict) -> None:
        self._state = state

    def keep(self, name: str, message: ProtocolMessage) -> None:
        """Keep a message under a name, in place of any earlier one."""
        for record, value in encode(message).items():
            self._state[f"{name}:{record}"] = value

    def recall(self, name: str, kind: type[M]) -> M:
        """Return the message kept under a name; KeyError when there is none."""
        if f"{name}:{RECORDS[0]}" not in self._state:
            raise KeyError(f"nothing is kept under {name}")
        return decode(RecordDict({record: self._state[f"{name}:{record}"] for record in RECORDS}), kind)


class Party:
    """An actor of the protocol.

    A role subclasses it, names itself in `role`, and marks its steps:

    >>> from protocol.messages.purchase import Acknowledgement, Statement
    >>> class Bystander(Party):
    ...     role = "bystander"
    ...     @step("settle")
    ...     def settle(self, statement: Statement) -> Acknowledgement:
    ...         return Acknowledgement()
    >>> sorted(Bystander(secret=bytes(32)).steps())
    ['introduce', 'settle']

    Parameters
    ----------
    secret : bytes
        32 bytes that only this party knows. Its keys, salts and random draws all derive from it and
        from what they are for, so a step that is asked for twice gives the same answer.
    """

    role: ClassVar[str] = "party"
    mods: ClassVar[tuple[Mod, ...]] = ()
    """Flower mods ``(message, context, call_next) -> message`` that this kind of party has around every step."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.identity = SigningKey.derive(secret, "identity")
        self.memory = Memory(RecordDict())

    @step("introduce")
    def introduce(self, hello: Hello) -> Introduction:
        """Say who this is."""
        return Introduction(role=self.role, identity=self.identity.public)

    def derive(self, *labels: str | bytes, length: int = 32) -> bytes:
        """Return secret bytes for one purpose (at most 8,160)."""
        return derive(self.secret, *labels, length=length)

    def generator(self, *labels: str | bytes) -> np.random.Generator:
        """Return this party's generator for one purpose."""
        return np.random.default_rng(int.from_bytes(self.derive("generator", *labels)))

    def steps(self) -> dict[str, Callable[[Any], ProtocolMessage]]:
        """Return the steps by name; an overriding method replaces the step it overrides."""
        found: dict[str, Callable[[Any], ProtocolMessage]] = {}
        for owner in reversed(type(self).__mro__):
            for attribute, method in vars(owner).items():
                if name := getattr(method, "protocol_step", None):
                    found[name] = getattr(self, attribute)
        return found

    def client_app(self, mods: list[Mod] | None = None) -> ClientApp:
        """Compile the party into a Flower app that answers ``query.<step>`` for each of its steps.

        Parameters
        ----------
        mods : list of Mod, optional
            More mods, inside the party's own.
        """
        app = ClientApp()
        for name, method in self.steps().items():
            app.query(name, mods=[*self.mods, *(mods or [])])(self._handler(method))
        return app

    def _handler(self, method: Callable[[Any], ProtocolMessage]) -> Callable[[Message, Context], Message]:
        hints = get_type_hints(method)
        hints.pop("return")
        (question,) = hints.values()

        def handle(message: Message, context: Context) -> Message:
            self.memory = Memory(context.state)
            return Message(encode(method(decode(message.content, question))), reply_to=message)

        return handle
