"""The people of a comparison: painted, or in folders of one's own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import parley
import pytest
from PIL import Image

from protocol.errors import BadInput, BadScenario
from simulations.data.cohort import draw_cohort
from simulations.scenarios.cohort import CohortSection

COHORT = {"people": 20, "pictures": 2, "known": 2, "owners": 4, "public": 50, "fresh": 60, "side": 32}


class TestCohort:
    def test_no_person_is_in_two_parts_and_owners_have_as_many(self) -> None:
        cohort = draw_cohort(CohortSection(**COHORT), 3)
        parts = (cohort.shared, cohort.control, cohort.public, cohort.fresh)
        people = [set(part.persons.tolist()) for part in parts]
        assert sum(map(len, people)) == len(set.union(*people))
        assert set(cohort.known.persons.tolist()) == people[0] == set(range(20))
        assert [len(cohort.held_by(owner)) for owner in range(4)] == [10] * 4
        private = cohort.shared.column("Male").reshape(20, 2)
        assert (private[:, 0] == private[:, 1]).all()

    def test_the_same_seed_draws_the_same_people_and_another_one_others(self) -> None:
        one, again, other = (draw_cohort(CohortSection(**COHORT), seed) for seed in (3, 3, 4))
        assert (one.shared.pictures == again.shared.pictures).all()
        assert (one.shared.pictures != other.shared.pictures).any()

    def test_what_follows_from_a_cohort_cannot_be_set_otherwise(self) -> None:
        with pytest.raises(BadScenario, match=r"owners\.count follows from cohort, it is 20: leave it out"):
            parley.load("publish", {"cohort": COHORT, "owners.count": 7})


class TestFolder:
    def make(self, root: Path, people: int = 170, rows: str = "file,ill,sex\n") -> Path:
        generator = np.random.default_rng(1)
        for person in range(people):
            (root / f"p{person}").mkdir(parents=True)
            for image in range(4):
                pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / f"p{person}" / f"{image}.png")
                rows += f"p{person}/{image}.png,{'yes' if image % 2 else 'no'},{'f' if person % 2 else 'm'}\n"
        (root / "labels.csv").write_text(rows)
        return root

    def section(self, root: Path, **changes: Any) -> CohortSection:
        return CohortSection(**{**COHORT, "root": str(root), "task": "ill", "private": "sex", **changes})

    def test_people_are_sub_folders_and_labels_are_columns(self, tmp_path: Path) -> None:
        cohort = draw_cohort(self.section(self.make(tmp_path / "scans")), 1)
        assert cohort.shared.names == ("ill", "sex")
        assert len(cohort.shared) == 40
        assert len(cohort.fresh) == 60
        assert cohort.shared.column("ill").reshape(20, 2).any(axis=1).all()
        assert cohort.classes == ("not ill, not sex", "not ill, sex", "ill, not sex", "ill, sex")

    @pytest.mark.parametrize(
        ("rows", "changes", "message"),
        [
            ("file,ill,sex\n", {"task": "il"}, "has no column 'il'; did you mean ill?"),
            ("file,ill,sex\n", {"public": 400}, "people with 2 images or more left for the part public"),
            ("file,ill,sex\n../x.png,yes,m\n", {}, "is not a file below"),
            ("file,ill,sex\nlost/x.png,perhaps,m\n", {}, "column ill has to hold two values"),
        ],
    )
    def test_mistakes_are_told_in_a_sentence(
        self, tmp_path: Path, rows: str, changes: dict[str, Any], message: str
    ) -> None:
        root = self.make(tmp_path / "scans", 20 if "public" not in changes else 200, rows)
        with pytest.raises(BadInput, match=re.escape(message)):
            draw_cohort(self.section(root, **changes), 1)

    def test_a_folder_without_labels_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"there is no .*labels\.csv: write one with the columns file, ill and sex"):
            draw_cohort(self.section(tmp_path), 1)
