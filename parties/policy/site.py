"""A site's policy around anybody's Flower app: a mod that lets it answer only what the site allows.

It holds where the site itself decides which app runs: an app that a server sends could leave the mod out.
"""

import secrets
import threading
from os import PathLike
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage

from parties.policy.ledger import EVERYBODY, Kind, Ledger, Release
from parties.policy.settings import Policy, Way, read_policy
from parties.store import PARTY
from protocol.errors import BadKit, PolicyRefusal
from protocol.storage.database import Database, DatabaseUnavailable, opening
from strategies.privacy.composition import pure

_TRAIN = "train"


class Site:
    """The mod of `parties.policy.policy`.

    1. Message types other than the policy's are refused, and so is an answer with arrays to any but ``train``;
    2. an answer to ``train`` is a *sum* if it goes through Flower's SecAgg+ (its mod stands after this one), and its
       arrays are empty; it is *private* if the policy says which epsilon the app's own mods give it; else
       *plain*;
    3. the policy names the ways that are allowed; answers are counted, and each private one costs its epsilon anew, as
       nothing here knows whether the app repeats its noise.

    The ledger is beside the policy; where a node has a partition, as in simulations, it is one of its own.

    Args:
        path: The policy.

    Raises:
        BadKit: When it is missing, or cannot be used.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        try:
            self.policy = read_policy(self.path)
        except FileNotFoundError:
            raise BadKit(f"there is no policy {self.path}; without one this site answers nothing") from None
        self._turn, self._ledgers = threading.Lock(), dict[Path, Ledger]()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "policy": self.policy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.policy = state["path"], state["policy"]
        self._turn, self._ledgers = threading.Lock(), {}

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Answer a message, if the policy allows it.

        Raises:
            PolicyRefusal: When it does not.
        """
        policy, kind = self.policy, message.metadata.message_type
        action, _, _ = kind.partition(".")
        if kind not in policy.app.answers and action not in policy.app.answers:
            raise PolicyRefusal(f"{kind} was asked for, and this site answers {_listed(policy.app.answers)}")
        if action != _TRAIN:
            answer = call_next(message, context)
            if not answer.has_error() and _has_arrays(answer.content):
                raise PolicyRefusal(f"the app answers {kind} with arrays, and here only answers to train may have some")
            return answer
        stage = _stage(message.content)
        if stage is not None:
            _check_clients(stage, message.content, policy)
        way = _way(policy, stage)
        told = _told(way, policy) if stage in (None, Stage.COLLECT_MASKED_VECTORS) else []
        ledger, rounds = self.ledger(context), policy.federate.rounds
        ledger.check(told, policy.budgets, rounds)
        answer = call_next(message, context)
        if answer.has_error():
            return answer
        if way == "sum" and (_has_arrays(answer.content) or RECORD_KEY_CONFIGS not in answer.content):
            raise PolicyRefusal(
                "the app answers a secure sum in the plain: its mods need secaggplus_mod after this one"
            )
        ledger.spend(told, policy.budgets, rounds)
        return answer

    def ledger(self, context: Context) -> Ledger:
        """Return a node's privacy ledger; it is opened when it is needed."""
        named = Path(self.policy.app.ledger)
        part = context.node_config.get("partition-id")
        path = self.path.parent / (named if part is None else named.with_stem(f"{named.stem}-{part}"))
        with self._turn:
            if path not in self._ledgers:
                try:
                    with opening(path):
                        self._ledgers[path] = Ledger(Database(path, PARTY))
                except DatabaseUnavailable as error:
                    raise BadKit(str(error)) from None
            return self._ledgers[path]


def _way(policy: Policy, stage: str | None) -> Way:
    """Return how train is answered."""
    ways = policy.federate.ways
    if stage is not None and "sum" in ways:
        return "sum"
    if stage is None and "private" in ways and policy.app.epsilon is not None:
        return "private"
    if stage is None and "plain" in ways:
        return "plain"
    allowed = [each for each in ways if each != "private" or policy.app.epsilon is not None]
    asked = "outside of a secure sum" if stage is None else "in a secure sum"
    raise PolicyRefusal(f"an update was asked for {asked}, and this site sends it by {_listed(allowed)}")


def _told(way: Way, policy: Policy) -> list[Release]:
    """Return what an answer to train tells; each is another question, so that none is free."""
    epsilon, asked = policy.app.epsilon, secrets.token_bytes(32)
    loss = pure(epsilon, policy.app.delta) if way == "private" and epsilon is not None else None
    what = f"train, answered by {way}" + ("" if loss is None else f" at epsilon {epsilon:g}")
    kinds: tuple[Kind, ...] = ("image", "person", "life")
    return [Release("round", asked, asked, what), *(Release(kind, EVERYBODY, asked, what, loss) for kind in kinds)]


def _stage(content: RecordDict) -> str | None:
    """Return the stage of SecAgg+ that a message is of; None for one that is not."""
    configs = content.get(RECORD_KEY_CONFIGS)
    stage = configs.get(Key.STAGE) if isinstance(configs, ConfigRecord) else None
    return stage if isinstance(stage, str) and stage in Stage.all() else None


def _check_clients(stage: str, content: RecordDict, policy: Policy) -> None:
    configs, fewest = content[RECORD_KEY_CONFIGS], policy.sums.fewest
    clients: Any = fewest
    if stage == Stage.SETUP:
        clients = configs.get(Key.SAMPLE_NUMBER, 0)
    elif stage == Stage.SHARE_KEYS:
        clients = len(configs) - 1  # beside the stage, there is an entry for each
    if not isinstance(clients, int) or clients < fewest:
        raise PolicyRefusal(f"a secure sum of {clients} clients was asked for, and {fewest} are the fewest")


def _has_arrays(content: RecordDict) -> bool:
    return any(isinstance(record, ArrayRecord) and len(record) for record in content.values())


def _listed(names: Any) -> str:
    return " or ".join(names) or "nothing"
