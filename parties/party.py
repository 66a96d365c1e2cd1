"""The base of all roles: typed steps, a secret, and a memory that outlives a message."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_type_hints, overload

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import Mod

from protocol.crypto.certificates import Identity
from protocol.crypto.signing import SigningKey, derive
from protocol.crypto.vouchers import Vouching
from protocol.encoding.codec import RECORDS, decode, encode
from protocol.grids.host import Shared
from protocol.messages.base import Hello, Introduction, ProtocolMessage, Voucher

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

    def keeps(self, name: str) -> bool:
        """Whether a message is kept under a name."""
        return f"{name}:{RECORDS[0]}" in self._state

    def recall(self, name: str, kind: type[M]) -> M:
        """Return the message kept under a name; KeyError when there is none."""
        if not self.keeps(name):
            raise KeyError(f"nothing is kept under {name}")
        return decode(RecordDict({record: self._state[f"{name}:{record}"] for record in RECORDS}), kind)

    def forget(self, name: str) -> None:
        """Delete the message kept under a name, if there is one."""
        for record in RECORDS:
            self._state.pop(f"{name}:{record}", None)


class Facts(Protocol):
    """What a party remembers for good, whatever conversation it is in."""

    def get(self, name: str) -> bytes | None:
        """Return what is known under a name."""

    def put(self, name: str, value: bytes) -> None:
        """Remember, from when the answer is given."""


class StateFacts:
    """Facts in Flower's `Context.state`, for a party all of whose conversations share it."""

    RECORD = "facts"

    def __init__(self, state: RecordDict) -> None:
        self._state = state

    def get(self, name: str) -> bytes | None:
        """Return what is known under a name."""
        known = self._state.config_records.get(self.RECORD)
        value = None if known is None else known.get(name)
        return value if isinstance(value, bytes) else None

    def put(self, name: str, value: bytes) -> None:
        """Remember."""
        if self.RECORD not in self._state:
            self._state[self.RECORD] = ConfigRecord()
        self._state.config_records[self.RECORD][name] = value


class LastingContext(Context):
    """A context of one conversation, with facts that outlast it; see `parties.store`."""

    facts: Facts


def system_entropy(size: int) -> bytes:
    """Return random bytes of the operating system's."""
    return os.urandom(size)


class Party:
    """An actor of the protocol.

    A role subclasses it, names itself in `role`, and marks its steps:

    >>> from protocol.messages.base import Acknowledgement
    >>> from protocol.messages.purchase import Statement
    >>> class Bystander(Party):
    ...     role = "bystander"
    ...     @step("settle")
    ...     def settle(self, statement: Statement) -> Acknowledgement:
    ...         return Acknowledgement()
    >>> sorted(Bystander(secret=bytes(32)).steps())
    ['introduce', 'settle']

    Args:
        secret: 32 bytes that only this party knows. Its keys, salts and random draws derive from it and from their
            purpose, so a repeated step gives the same answer.
    """

    role: ClassVar[str] = "party"
    mods: ClassVar[tuple[Mod, ...]] = ()
    """Flower mods ``(message, context, call_next) -> message`` around every step of this kind of party."""

    vouching: Vouching | None = None
    """Its certificate, where parties have some; set by who deploys it."""
    guard: Mod | None = None
    """What stands before all of its steps: its policy (`parties.policy`), if it has one; set by who deploys it."""

    entropy: Callable[[int], bytes] = staticmethod(system_entropy)
    """Random bytes that nobody can repeat; simulated worlds replace it by a stream that follows from their seed."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.memory = Memory(state := RecordDict())
        self.facts: Facts = StateFacts(state)
        self.prepared: Prepared | None = None

    @property
    def identity(self) -> SigningKey:
        """The key that identifies this party."""
        return SigningKey.derive(self.secret, "identity")

    def voucher(self, public: bytes) -> Voucher | None:
        """Return what shows that a signing key is this party's; None where there are no certificates."""
        return None if self.vouching is None else self.vouching.vouch(public)

    def check_holder(self, public: bytes, voucher: Voucher | None, role: str) -> Identity | None:
        """Return whose a peer's key is; refuse one that no certificate of its role vouches for.

        Where there are no certificates, nobody can tell whose a key is: None.

        Raises:
            CertificateError: When it is not the key of a party of this role.
        """
        return None if self.vouching is None else self.vouching.holder(voucher, public, role)

    def attend(self, context: Context) -> None:
        """Turn to a conversation: remember what was said in it."""
        self.memory = Memory(context.state)
        self.facts = context.facts if isinstance(context, LastingContext) else StateFacts(context.state)

    @step("introduce")
    def introduce(self, hello: Hello) -> Introduction:
        """Return role and key."""
        return Introduction(role=self.role, identity=self.identity.public)

    def derive(self, *labels: str | bytes, length: int = 32) -> bytes:
        """Return secret bytes for one purpose (at most 8,160)."""
        return derive(self.secret, *labels, length=length)

    def generator(self, *labels: str | bytes) -> np.random.Generator:
        """Return this party's generator for one purpose."""
        return np.random.default_rng(int.from_bytes(self.derive("generator", *labels)))

    @classmethod
    def steps_of(cls) -> dict[str, Callable[..., ProtocolMessage]]:
        """Return the functions of this role's steps by name; an overriding method replaces the step it overrides."""
        return {marked.protocol_step: getattr(cls, attribute) for attribute, marked in _marked(cls).items()}

    @classmethod
    def questions(cls) -> dict[str, type[ProtocolMessage]]:
        """Return the message that each step takes; an overriding method need not repeat it."""
        return {marked.protocol_step: _question(marked) for marked in _marked(cls).values()}

    def steps(self) -> dict[str, Callable[[Any], ProtocolMessage]]:
        """Return the steps by name."""
        return {name: function.__get__(self) for name, function in self.steps_of().items()}

    def client_app(self, mods: list[Mod] | None = None) -> PartyApp:
        """Compile the party into a Flower app that answers ``query.<step>`` for each of its steps.

        Args:
            mods: More mods, inside the party's own.
        """
        return PartyApp(self, mods or [])


class PartyApp(Shared):
    """A party as a Flower app; where many are in one process, they prepare together (see `parties.party`).

    Args:
        mods: Mods inside the party's own.
    """

    def __init__(self, party: Party, mods: list[Mod]) -> None:
        super().__init__()
        self.party = party
        self._inner_mods = mods
        self._questions = {f"query.{name}": question for name, question in party.questions().items()}
        for name, method in party.steps().items():
            self.query(name, mods=[*party.mods, *mods])(self._handler(method, self._questions[f"query.{name}"]))

    def __reduce__(self) -> tuple[Any, ...]:
        return PartyApp, (self.party, self._inner_mods)

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message, if the party's policy allows it."""
        guard = self.party.guard
        return super().__call__(message, context) if guard is None else guard(message, context, super().__call__)

    @staticmethod
    def prepare(batch: Sequence[tuple[PartyApp, Message]]) -> None:
        """Run each `Together` once for all parties with the same message."""
        same: dict[tuple[str, int], list[tuple[PartyApp, RecordDict]]] = {}
        for app, message in batch:
            key = (message.metadata.message_type, id(message.content))
            same.setdefault(key, []).append((app, message.content))
        for (kind, _), asked in same.items():
            shares: dict[Together[Any, Any, Any], list[Party]] = {}
            for app, _ in asked:
                for share in _shares(type(app.party), kind):  # type: ignore[arg-type]
                    shares.setdefault(share, []).append(app.party)
            if not shares:
                continue
            first, content = asked[0]
            question = decode(content, first._questions[kind])
            for app, _ in asked:
                app.party.prepared = Prepared(content, question)
            for share, parties in shares.items():
                for party, result in zip(parties, share.function(parties, question), strict=True):
                    assert party.prepared is not None
                    party.prepared.results[share] = result

    def _handler(
        self, method: Callable[[Any], ProtocolMessage], expected: type[ProtocolMessage]
    ) -> Callable[[Message, Context], Message]:
        party = self.party

        def handle(message: Message, context: Context) -> Message:
            party.attend(context)
            prepared = party.prepared
            if prepared is not None and prepared.content == message.content:
                question = prepared.question
            else:
                question = decode(message.content, expected)
            try:
                answer: object = method(question)
            finally:
                party.prepared = None
            if not isinstance(answer, ProtocolMessage):
                what = "nothing" if answer is None else f"a {type(answer).__name__}"
                raise TypeError(
                    f"{type(party).__name__} answered {message.metadata.message_type} with {what}; a step has to return"
                    " a message of the protocol"
                )
            return Message(encode(answer), reply_to=message)

        return handle


def _marked(role: type[Party]) -> dict[str, Any]:
    """Return the methods that are marked as steps, in a role or in what it extends, by attribute."""
    return {
        attribute: method
        for owner in reversed(role.__mro__)
        for attribute, method in vars(owner).items()
        if hasattr(method, "protocol_step")
    }


@functools.cache
def _question(step: Callable[..., ProtocolMessage]) -> type[ProtocolMessage]:
    """Return the type of the message that a step takes."""
    hints = get_type_hints(step)
    hints.pop("return")
    (question,) = hints.values()
    return question  # type: ignore[no-any-return]


@functools.cache
def _shares(role: type[Party], kind: str) -> list[Together[Any, Any, Any]]:
    """Return what parties of a class compute together for a message type."""
    found = {
        attribute: value
        for owner in reversed(role.__mro__)
        for attribute, value in vars(owner).items()
        if isinstance(value, Together) and f"query.{value.step}" == kind
    }
    return [share for share in found.values() if share.is_shared_by(role)]


P = TypeVar("P", bound="Party")
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Prepared:
    """Results computed for one party ahead of one message.

    Attributes:
        content: The message then; a mod may still change it.
        question: The same, decoded.
        results: What each `Together` computed.
    """

    content: RecordDict
    question: object
    results: dict[Together[Any, Any, Any], Any] = field(default_factory=dict)


class Together(Generic[P, Q, R]):
    """The batched form of a computation; see `together`."""

    def __init__(self, step: str, function: Callable[[Sequence[P], Q], Sequence[R]]) -> None:
        self.step = step
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[Party], name: str) -> None:
        self.owner = owner

    @overload
    def __get__(self, party: None, owner: type[P]) -> Together[P, Q, R]: ...

    @overload
    def __get__(self, party: P, owner: type[P]) -> Callable[[Q], R]: ...

    def __get__(self, party: P | None, owner: type[P]) -> Together[P, Q, R] | Callable[[Q], R]:
        """Return a function of the question that answers for one party."""
        if party is None:
            return self

        def for_one(question: Q) -> R:
            prepared = party.prepared
            if prepared is not None and prepared.question is question and self in prepared.results:
                found: R = prepared.results[self]
                return found
            return self.function([party], question)[0]

        return for_one

    def is_shared_by(self, role: type[Party]) -> bool:
        """Whether this kind of party takes the step as its role does; one that overrides it computes alone."""
        return role.steps_of()[self.step] is self.owner.steps_of()[self.step]


def together(step: str) -> Callable[[Callable[[Sequence[P], Q], Sequence[R]]], Together[P, Q, R]]:
    """Mark the batched form of a computation that a step needs.

    It is a function of parties and of the message that all of them got, and returns one result
    per party. The step calls it like a method with the message alone. Where many parties of one
    process get the same message, it has then run once for all of them; otherwise it runs for the one.

    Mods and adversaries still work: each party takes the step itself, and a party whose message was
    changed, or whose class overrides the step, computes alone.

    Examples:
        >>> from parties.party import Party, step
        >>> from protocol.messages.base import Hello, Introduction
        >>> class Twin(Party):
        ...     @together("introduce")
        ...     def squares(twins, hello):
        ...         return [index**2 for index, twin in enumerate(twins)]
        >>> Twin(secret=bytes(32)).squares(Hello())
        0
    """
    return lambda function: Together(step, function)
