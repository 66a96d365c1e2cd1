"""The `pool` workflow: Deep Poisoning's three steps, as the cloud drives them."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from parties.pool.checks import contribution_refusal
from parties.pool.published import BadNetwork, Published, feature_shape, highest_features, published
from parties.pool.record import Pooled, PoolRecord
from parties.workflow import OnStep, Workflow, WorkflowFailed, any_step
from protocol.exchange import Exchange, Failed
from protocol.messages.base import Acknowledgement, ProtocolMessage
from protocol.messages.pool import (
    MAX_PART_BYTES,
    ContributionCall,
    Enrolment,
    NetworkCall,
    Poisoned,
    PoisonedFeatures,
    PoisoningCall,
    PretrainingCall,
    Refined,
    RefinementCall,
    Role,
    Rules,
    SignedNetwork,
)
from protocol.storage.vault import Vault

M = TypeVar("M", bound=ProtocolMessage)


@dataclass(frozen=True)
class Keeper:
    """The cloud as the keeper of a pool. It sees poisoned features and labels, and no image.

    Attributes:
        rules: The settings that all entities share.
        vault: Where features are kept.
        patience: Seconds that entities have for each step.
        clock: Seconds that no setting of a clock changes, as no deadline of a pool leaves the cloud.
        most_images: An entity that enrols with more is refused.
    """

    rules: Rules
    vault: Vault
    patience: float = 24 * 3600.0
    clock: Callable[[], float] = field(default=time.monotonic)
    most_images: int = 1_000_000


class Pool(Workflow[PoolRecord]):
    """A pool of poisoned features, and the entities that contribute and draw them.

    Each round

    1. new entities enrol; in the first round, 2. the publisher pre-trains (the next one does if it fails), and 3. its
       featurizer, decider and reconstructor go to all new ones;
    4. new entities train their private modules and 5. contribute poisoned features, which the pool checks;
    6. contributors draw the features that are new to them, and 7. refine their deciders, the first time or with new
       features.

    So an entity may join late: it draws everything in the pool, and the others draw its features. An entity that
    contributes nothing draws nothing.

    Args:
        keeper: Rules and storage.
        exchange: Asks the parties.
        on_step: Called as each step begins.
        late: Node ids of entities that join in a second round.
        publishers: Node ids of who pre-trains, the first that can; none: whoever enrolled, by node id. What an entity
            says of itself makes it no publisher.
    """

    role = "keeper"
    STEPS = (
        "enrolment",
        "pre-training",
        "publication",
        "training of private modules",
        "contribution of poisoned features",
        "drawing from the pool",
        "refinement",
    )
    """The steps of a round."""

    def __init__(
        self,
        keeper: Keeper,
        exchange: Exchange,
        on_step: OnStep = any_step,
        *,
        late: Collection[int] = (),
        publishers: Sequence[int] = (),
    ) -> None:
        super().__init__(exchange, PoolRecord(), keeper.patience, on_step)
        self.keeper = keeper
        self._late, self._publishers = late, publishers
        self._networks: dict[Role, SignedNetwork] = {}
        self._published: Published | None = None
        self._shape = (0, 0, 0)
        self._highest = np.zeros(0, np.float32)
        self._members: list[int] = []
        self._drawn: set[tuple[int, int]] = set()

    def run(self) -> PoolRecord:
        """Play a round with all entities but the late ones, and another one with all.

        Raises:
            WorkflowFailed: When there is no entity, or none could pre-train.
        """
        self.round(absent=self._late)
        if self._late:
            self.round()
        return self.record

    def round(self, absent: Collection[int] = ()) -> None:
        """Play one round without those who are absent."""
        self.begin(1)
        here = [node for node in self.present("entity") if node not in absent]
        newcomers = self._enrol([node for node in here if node not in self._members])
        if self._published is None:
            self._pretrain(newcomers)
        self.begin(3)
        newcomers = self._publish(newcomers)
        self._members += newcomers
        self.begin(4)
        ready = self._poison(newcomers)
        self.begin(5)
        self._contribute(ready)
        self.begin(6)
        updated = self._draw([node for node in self._members if node in here])
        self.begin(7)
        willing = [node for node in self._members if node in updated or node in newcomers]
        self.record.refined.append(self._ask_all("refine", willing, RefinementCall(pool=self._id), Refined))

    def close(self) -> None:
        """The pool has ended: remove the features."""
        self.exchange.close(self.keeper.vault, [part.blob for part in self.record.parts])

    @property
    def _id(self) -> bytes:
        return self.keeper.rules.pool

    def _ask_all(self, step: str, nodes: Collection[int], question: ProtocolMessage, answer: type[M]) -> dict[int, M]:
        return self.ask(step, dict.fromkeys(nodes, question), answer)

    def _enrol(self, nodes: Collection[int]) -> list[int]:
        answers, most = self._ask_all("enrol", nodes, self.keeper.rules, Enrolment), self.keeper.most_images
        self.record.fail("enrol", {
            node: f"it says that it has {each.samples} images, and {most} are the most that an entity may have"
            for node, each in answers.items() if each.samples > most
        })  # fmt: skip
        enrolled = {node: each.samples for node, each in answers.items() if each.samples <= most}
        self.record.samples |= enrolled
        return list(enrolled)

    def _pretrain(self, nodes: Collection[int]) -> None:
        """Have the publisher pre-train; if it fails, or its networks cannot be used, the next one."""
        publishers = [node for node in self._publishers if node in nodes] if self._publishers else sorted(nodes)
        if nodes and not publishers:
            raise WorkflowFailed("the publisher did not enrol")
        for node in publishers:
            self.begin(2)
            if not self._ask_all("pretrain", [node], PretrainingCall(pool=self._id), Acknowledgement):
                continue
            networks: dict[Role, SignedNetwork] = {}
            for role in Role:
                call = NetworkCall(pool=self._id, role=role)
                networks |= dict.fromkeys([role], *self._ask_all("publish", [node], call, SignedNetwork).values())
            if None in networks.values():
                continue
            try:
                found = published(self.keeper.rules, {role: each.network for role, each in networks.items()})
                self._highest = highest_features(found.network, self.keeper.rules.side)
            except BadNetwork as bad:
                self.record.fail("publish", {node: str(bad)})
                continue
            self._published, self._networks = found, networks
            self._shape = feature_shape(self._published.network, self.keeper.rules.side)
            self.record.publisher, self.record.fingerprint = node, self._published.fingerprint
            return
        raise WorkflowFailed(f"of {len(publishers)} entities none could pre-train the network")

    def _publish(self, nodes: Collection[int]) -> list[int]:
        """Send the published networks to entities; return those that have all of them."""
        for role in Role:
            nodes = list(self._ask_all("adopt", nodes, self._networks[role], Acknowledgement))
        return list(nodes)

    def _poison(self, nodes: Collection[int]) -> dict[int, int]:
        """Have entities train their modules; return how many parts each has to contribute."""
        call = PoisoningCall(pool=self._id, featurizer=self.record.fingerprint)
        answers = self._ask_all("poison", nodes, call, Poisoned)
        self.record.poisoned |= answers
        return {node: poisoned.parts for node, poisoned in answers.items()}

    def _contribute(self, parts: Mapping[int, int]) -> None:
        """Collect features part by part; an entity with a refused part is not asked again."""
        pending = dict(parts)
        for part in range(max(parts.values(), default=0)):
            call = ContributionCall(pool=self._id, part=part)
            asked = dict.fromkeys((node for node, count in pending.items() if part < count), call)
            for node, answer in self.exchange.each("contribute", asked, PoisonedFeatures, self.deadline()):
                if isinstance(answer, Failed):
                    self.record.fail("contribute", {node: str(answer)})
                    del pending[node]
                elif (refusal := self._refusal(node, answer)) is not None:
                    self.record.refused.append((node, refusal))
                    del pending[node]
                else:
                    self._keep(node, answer)

    def _refusal(self, node: int, contribution: PoisonedFeatures) -> str | None:
        classes = self.keeper.rules.classes
        have = sum(part.count for part in self.record.parts if part.entity == node)
        if have + len(contribution.labels) > self.record.samples[node]:
            return "there are more features than the entity said it has images"
        return contribution_refusal(
            contribution, self._id, self.record.fingerprint, self._shape, classes, self._highest
        )

    def _keep(self, node: int, contribution: PoisonedFeatures) -> None:
        features = np.ascontiguousarray(contribution.features, dtype="<f4")
        stored = self.keeper.vault.put([features.tobytes()], MAX_PART_BYTES)
        labels = np.array(contribution.labels)
        self.record.parts.append(Pooled(node, stored.digest, len(labels), labels))

    def _draw(self, nodes: Collection[int]) -> set[int]:
        """Send contributors the parts that they lack; return who got any."""
        contributors = {part.entity for part in self.record.parts}
        updated: set[int] = set()
        for number, part in enumerate(self.record.parts):
            lacking = [
                node
                for node in nodes
                if node in contributors and node != part.entity and (node, number) not in self._drawn
            ]
            if lacking:
                drawn = self._ask_all("draw", lacking, self._read(part), Acknowledgement)
                self._drawn |= {(node, number) for node in drawn}
                updated |= drawn.keys()
        return updated

    def _read(self, part: Pooled) -> PoisonedFeatures:
        features = np.frombuffer(self.keeper.vault.read(part.blob, MAX_PART_BYTES), dtype="<f4")
        return PoisonedFeatures(
            pool=self._id,
            featurizer=self.record.fingerprint,
            features=features.reshape(part.count, *self._shape),
            labels=part.labels,
        )
