"""One cohort for several workflows: people with several images, in parts that have no person in common."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parties.album import UnreadableImage, read_folder
from protocol.errors import BadInput, nearest
from protocol.storage.user_files import user_path
from simulations.data import faces
from simulations.data.scene import Split
from simulations.runs.seeding import numpy_generator, torch_generator
from simulations.scenarios.cohort import FEWEST, LABELS, MOSTLY, CohortSection
from strategies.features.featurizer import prepare

NO, YES = ("0", "no", "false"), ("1", "yes", "true")
"""How a column says that an image does not show something, or does, beside two words of its own."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some people's images.

    Attributes:
        pictures: (n, side, side, 3)
        persons: (n,), who is in each; no number is in two parts, but for shared images and known ones.
        attributes: (n, k) bool.
        names: Of the k attributes.
    """

    pictures: NDArray[np.uint8]
    persons: NDArray[np.int64]
    attributes: NDArray[np.bool_]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.persons)

    def column(self, name: str) -> NDArray[np.bool_]:
        """Return one attribute, (n,)."""
        found: NDArray[np.bool_] = self.attributes[:, self.names.index(name)]
        return found

    def part(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Part":
        """Return some of them."""
        return Part(self.pictures[chosen], self.persons[chosen], self.attributes[chosen], self.names)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Everybody.

    Attributes:
        shared: Images of the people 0, 1, 2, ..., one person after the other, as many of each.
        known: Other images of the same people, as many of each.
        control: Images of as many people, as many of each, that nobody shares.
        public: Images that everybody has.
        fresh: One image of each person that models are tested on.
        task, private: Names of attributes.
        owners: Institutions.
    """

    shared: Part
    known: Part
    control: Part
    public: Part
    fresh: Part
    task: str
    private: str
    owners: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the four classes of images: by the task, and by the private attribute."""
        task, private = (name.replace("_", " ").lower() for name in (self.task, self.private))
        return tuple(f"{t}, {p}" for t in (f"not {task}", task) for p in (f"not {private}", private))

    def classes_of(self, part: Part) -> NDArray[np.int64]:
        """Return the class of each image, a position in `classes`."""
        return 2 * part.column(self.task).astype(np.int64) + part.column(self.private)

    def held_by(self, owner: int) -> Part:
        """Return the images of an institution: of as many people each."""
        size = len(self.shared) // self.owners
        return self.shared.part(slice(owner * size, (owner + 1) * size))


def draw_cohort(section: CohortSection, seed: int) -> Cohort:
    """Draw a cohort.

    As far as there are such people, most of those of every second owner have the private attribute, and most of the
    others' have it not (`MOSTLY`): so that there is a property of an owner's people to be told.

    Raises:
        BadInput: When a user's own images cannot be used, or are of too few people.
    """
    cohort = _painted(section, seed) if section.root is None else _own(section, seed)
    order = _dealt(cohort)
    return replace(cohort, shared=_ordered(cohort.shared, order), known=_ordered(cohort.known, order))


def _dealt(cohort: Cohort) -> NDArray[np.int64]:
    """Return which of the people each owner has, owner by owner."""
    people = int(cohort.shared.persons.max()) + 1
    share = cohort.shared.column(cohort.private).reshape(people, -1).mean(axis=1)
    having, lacking = list(np.flatnonzero(share >= 0.5)), list(np.flatnonzero(share < 0.5))
    size, order = people // cohort.owners, []
    for owner in range(cohort.owners):
        wanted = round(size * (MOSTLY if owner % 2 == 0 else 1 - MOSTLY))
        some = [having.pop() for _ in range(min(wanted, len(having)))]
        some += [lacking.pop() for _ in range(min(size - len(some), len(lacking)))]
        order += some + [having.pop() for _ in range(size - len(some))]
    return np.array(order, dtype=np.int64)


def _ordered(part: Part, people: NDArray[np.int64]) -> Part:
    """Return images of people in another order, and number the people by it."""
    of_each = len(part) // len(people)
    places = (people[:, None] * of_each + np.arange(of_each)).ravel()
    return replace(part.part(places), persons=np.arange(len(people)).repeat(of_each))


def _painted(section: CohortSection, seed: int) -> Cohort:
    for key, name in (("task", section.task), ("private", section.private)):
        if name not in faces.ATTRIBUTES:
            raise BadInput(f"cohort.{key}: faces have no attribute {name!r}; {nearest(name, faces.ATTRIBUTES)}")
    counts = {"shared": section.people, "control": section.people, "public": section.public, "fresh": section.fresh}
    numbers = numpy_generator(seed, "cohort").choice(2**40, sum(counts.values()), replace=False)
    first, parts = 0, {}
    for name, count in counts.items():
        parts[name] = np.arange(first, first + count)
        first += count

    def paint(name: str, persons: NDArray[np.int64], of_each: int, split: Split = "traded") -> Part:
        whose = persons.repeat(of_each)
        drawn = faces.draw(numbers[whose], section.side, torch_generator(seed, "paint cohort", name), split)
        return Part(drawn.images, whose, drawn.attributes, faces.ATTRIBUTES)

    return Cohort(
        shared=paint("shared", parts["shared"], section.pictures),
        known=paint("known", parts["shared"], section.known),
        control=paint("control", parts["control"], section.pictures),
        public=paint("public", parts["public"], section.pictures, "public"),
        fresh=paint("fresh", parts["fresh"], 1),
        task=section.task,
        private=section.private,
        owners=section.owners,
    )


@dataclass(frozen=True)
class _Row:
    """A file of the user's, who is in it, and what it shows."""

    file: str
    person: str
    shows: tuple[bool, ...]


def people_in(section: CohortSection) -> dict[str, int]:
    """Return how many images there are of each person of a user's own folder."""
    counts: dict[str, int] = {}
    for row in _rows(section):
        counts[row.person] = counts.get(row.person, 0) + 1
    return counts


def fitted(section: CohortSection) -> CohortSection:
    """Return a cohort with as many of a user's own people as there are, in the same proportions, or as it is.

    Raises:
        BadInput: When there are too few, or their labels cannot be read.
    """
    if section.root is None:
        return section
    counts = people_in(section)
    usual = int(np.median(list(counts.values()))) if counts else 0
    known = min(section.known, max(1, usual * 2 // 5))
    pictures = min(section.pictures, max(2, usual - known))
    rich = sum(count >= pictures + known for count in counts.values())
    some = sum(count >= pictures for count in counts.values())
    wanted = 2 * section.people + section.public
    share = min(1.0, rich / section.people, some / wanted, len(counts) / (wanted + section.fresh))
    people = int(section.people * share) // section.owners * section.owners
    sizes = {
        "people": people, "public": max(people, int(section.public * share)), "fresh": int(section.fresh * share),
        "pictures": pictures, "known": known,
    }  # fmt: skip
    try:
        return CohortSection.model_validate({**section.model_dump(), **sizes})
    except ValueError:
        raise BadInput(
            f"{section.root} has {len(counts)} people, of whom {rich} have {pictures + known} images or more: too few"
            f" for a comparison, which needs {FEWEST} people who share, as many others, and 50 each that are public and"
            " fresh"
        ) from None


def _own(section: CohortSection, seed: int) -> Cohort:
    rows: dict[str, list[_Row]] = {}
    for row in _rows(section):
        rows.setdefault(row.person, []).append(row)
    order = [sorted(rows)[place] for place in numpy_generator(seed, "cohort").permutation(len(rows))]
    wanted = {
        "shared": (section.people, section.pictures + section.known),
        "control": (section.people, section.pictures),
        "fresh": (section.fresh, 1),
        "public": (section.public, section.pictures),
    }
    first, chosen, numbers = 0, dict[str, list[_Row]](), dict[str, int]()
    for part, (people, of_each) in wanted.items():
        able = [person for person in order if len(rows[person]) >= of_each][:people]
        if len(able) < people:
            raise BadInput(
                f"cohort.root: {section.root} has {len(able)} people with {of_each} images or more left for the part "
                f"{part}, but cohort wants {people}: ask for fewer people or images, or add some"
            )
        order = [person for person in order if person not in set(able)]
        numbers |= {person: first + number for number, person in enumerate(able)}
        first += people
        chosen[part] = [row for person in able for row in rows[person][:of_each]]
    names = (section.task, section.private)
    opened = {part: _opened(section, found, numbers, names) for part, found in chosen.items()}
    both, size = opened.pop("shared"), section.pictures + section.known
    is_shared = np.arange(len(both)) % size < section.pictures
    return Cohort(
        shared=both.part(is_shared), known=both.part(~is_shared), **opened, task=section.task,
        private=section.private, owners=section.owners,
    )  # fmt: skip


def _rows(section: CohortSection) -> list[_Row]:
    root = user_path(section.root or "")
    path = root / LABELS
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, lines = list(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise BadInput(
            f"there is no {path}: write one with the columns file, {section.task} and {section.private}, a row for "
            "each image"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    by_folder = section.people_by == "folder"
    for column in ("file", section.task, section.private, *(() if by_folder else (section.people_by,))):
        if column not in columns:
            raise BadInput(f"{path} has no column {column!r}; {nearest(column, columns)}")
    shows = [_said([line[name] for line in lines], name, path) for name in (section.task, section.private)]
    rows = []
    for number, (line, *has) in enumerate(zip(lines, *shows, strict=True), 2):
        inside = Path(line["file"])
        if inside.is_absolute() or ".." in inside.parts:
            raise BadInput(f"{path}, line {number}: {inside} is not a file below {root}")
        if by_folder and len(inside.parts) < 2:
            raise BadInput(f"{path}, line {number}: {inside} is in no sub-folder, which would say who is in it")
        rows.append(_Row(line["file"], inside.parts[0] if by_folder else line[section.people_by], tuple(has)))
    return rows


def _said(values: Sequence[str | None], column: str, path: Path) -> list[bool]:
    """Read a column of two values."""
    said = [(value or "").strip().lower() for value in values]
    found = sorted(set(said))
    if len(found) != 2 or "" in found:
        shown = ", ".join(map(repr, found[:5]))
        raise BadInput(f"{path}: column {column} has to hold two values, such as yes and no, but it holds {shown}")
    low, high = found
    if (low in YES and high in NO) or (low in NO and high in YES):
        low, high = (low, high) if low in NO else (high, low)
    return [value == high for value in said]


def _opened(section: CohortSection, rows: Sequence[_Row], numbers: dict[str, int], names: tuple[str, ...]) -> Part:
    root = user_path(section.root or "")
    album = read_folder(root, besides=(LABELS,))
    places = {Path(path).relative_to(root).as_posix(): place for place, path in enumerate(album.paths)}
    pictures = np.empty((len(rows), section.side, section.side, 3), dtype=np.uint8)
    for number, row in enumerate(rows):
        place = places.get(Path(row.file).as_posix())
        if place is None:
            raise BadInput(f"{root / LABELS} names {row.file}, but there is no such image in {root}")
        try:
            pictures[number] = prepare(album[place], section.side)
        except UnreadableImage as unreadable:
            raise BadInput(f"{root / row.file} does not open: {unreadable}") from None
    return Part(
        pictures,
        np.array([numbers[row.person] for row in rows], dtype=np.int64),
        np.array([row.shows for row in rows], dtype=bool).reshape(len(rows), len(names)),
        names,
    )
