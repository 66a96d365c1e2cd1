"""An entity's process: an institution with folders of pictures, attached to the cloud until it is stopped."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from deploy.cheats import cheating
from deploy.kit import Kit
from deploy.party import log, stay_attached
from parties.album import Album, FolderImages, Pixels, UnreadableImage, read_folder
from parties.party import Party, step
from parties.pool.entity import Entity
from parties.pool.holdings import Habits, Holdings
from protocol.errors import BadInput, ProtocolError
from protocol.messages.pool import Enrolment, Refined, RefinementCall, Rules
from protocol.storage.files import private_folder, write_private
from protocol.storage.user_files import composed, printable
from strategies.features.featurizer import prepare
from strategies.learning.weights import weights

MODELS = "models"
"""The folder in an entity's state for refined models, one folder for each pool."""


class Scaled:
    """Some pictures of a folder, cropped and scaled to a side when they are opened."""

    def __init__(self, pictures: FolderImages, chosen: Sequence[int], side: int) -> None:
        self._pictures, self._chosen, self._side = pictures, chosen, side

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Pixels:
        try:
            return prepare(self._pictures[self._chosen[index]], self._side)
        except UnreadableImage as gone:
            log("picture lost", why=str(gone))
            raise ProtocolError("a picture of this entity is gone; its log says which") from None


@dataclass(frozen=True, eq=False)
class Pictures:
    """What an institution has on its disk.

    Attributes:
        own: Its own, in sub-folders named after the classes.
        public: Any public pictures; without them it cannot pre-train.
        held_back: The share of its own pictures that tests its model, in 0..1.
    """

    own: FolderImages
    public: FolderImages | None
    held_back: float

    def holdings(self, rules: Rules, generator: np.random.Generator) -> Holdings:
        """Open them for a pool; the same share of each class is held back."""
        numbers = {composed(name): number for number, name in enumerate(rules.names)}
        labels = np.array([numbers[name or ""] for name in self.own.labels], dtype=np.int64)
        apart = np.zeros(len(labels), dtype=bool)
        for number in np.unique(labels):
            places = generator.permutation(np.flatnonzero(labels == number))
            apart[places[: round(self.held_back * len(places))]] = True

        def part(chosen: NDArray[np.bool_]) -> tuple[Album, NDArray[np.int64]]:
            places = np.flatnonzero(chosen)
            return Scaled(self.own, places.tolist(), rules.side), labels[places]

        public: Album = [] if self.public is None else Scaled(self.public, range(len(self.public)), rules.side)
        return Holdings(*part(~apart), *part(apart), public)


def open_pictures(own: Path, public: Path | None, held_back: float, before: Pictures | None = None) -> Pictures:
    """Read an institution's folders.

    Args:
        own: A folder of pictures, in sub-folders named after the classes.
        public: A folder of any public pictures.
        held_back: The share of its own pictures that tests its model.
        before: The same folders, read earlier: only what has changed is checked again.

    Raises:
        BadInput: When a folder cannot be used.
    """
    found = read_folder(own, None if before is None else before.own)
    if None in found.labels:
        raise BadInput(
            f"{printable(own)} holds pictures outside of sub-folders; put each into a sub-folder named after its class"
        )
    others = None if public is None else read_folder(public, None if before is None else before.public)
    log("pictures found", own=len(found), classes=len(set(found.labels)), public=len(others or ()))
    return Pictures(found, others, held_back)


class Institution(Entity):
    """An entity with pictures in folders, which stores its refined model on its disk.

    Args:
        secret: The party's secret, 32 bytes.
        pictures: What is in its folders now.
        read: Reads them again, at the beginning of each pool.
        models: The folder for models.
    """

    def __init__(
        self,
        secret: bytes,
        pictures: Pictures,
        read: Callable[[Pictures], Pictures],
        habits: Habits,
        models: Path,
    ) -> None:
        Party.__init__(self, secret)
        self.habits = habits
        self._pictures, self._read, self._models = pictures, read, models
        self._opened: tuple[Rules, Holdings] | None = None

    @property
    def holdings(self) -> Holdings:
        """Its images, prepared by the pool's rules."""
        return self._open(self.memory.recall("rules", Rules))

    @step("enrol")
    def enrol(self, rules: Rules) -> Enrolment:
        """Read the folders and remember the rules; it is an error to have pictures of other classes."""
        try:
            self._pictures, self._opened = self._read(self._pictures), None
        except BadInput as error:
            log("pictures cannot be read", why=str(error))
            raise ProtocolError("this entity's pictures cannot be read; its log says why") from None
        if strange := sorted({str(name) for name in self._pictures.own.labels} - set(map(composed, rules.names))):
            raise ProtocolError(
                f"there are pictures of {strange[0]!r}, but the pool has the classes {', '.join(rules.names[:20])}"
            )
        self.memory.keep("rules", rules)
        return super().enrol(rules)

    @step("refine")
    def refine(self, call: RefinementCall) -> Refined:
        """Refine the decider, and store featurizer, decider and their description in a folder."""
        refined = super().refine(call)
        rules, model = self.memory.recall("rules", Rules), self.model()
        folder = self._models / rules.pool.hex()[:16]
        private_folder(self._models)
        private_folder(folder)
        write_private(folder / "featurizer.safetensors", save(weights(model.featurizer)))
        write_private(folder / "decider.safetensors", save(weights(model.decider)))
        described = {
            "architecture": rules.architecture,
            "side": rules.side,
            "classes": rules.names,
            "top1": refined.top1,
        }
        write_private(folder / "model.json", json.dumps(described, indent=2).encode())
        log("model refined", folder=str(folder), top1=refined.top1)
        return refined

    def _open(self, rules: Rules) -> Holdings:
        if self._opened is None or self._opened[0] != rules:
            self._opened = (rules, self._pictures.holdings(rules, self.generator("held back", rules.pool)))
        return self._opened[1]


def join(
    kit: Kit,
    own: Path,
    public: Path | None,
    held_back: float,
    habits: Habits,
    cheat: type[Any] | None = None,
) -> None:
    """Take part in the cloud's pools until the process is stopped.

    Args:
        kit: The entity's.
        own: A folder of pictures, in sub-folders named after the classes.
        public: A folder of any public pictures.
        held_back: The share of its own pictures that tests its model.
        cheat: An entity that cheats, in the place of an honest one.

    Raises:
        BadInput: When a folder cannot be used.
        Unreachable: When the cloud cannot be reached for a long time, or refuses this party.
    """
    read = partial(open_pictures, own, public, held_back)
    kind = cheating(Institution, cheat)
    stay_attached(kit, kind(kit.secret(), read(), read, habits, kit.state / MODELS))
