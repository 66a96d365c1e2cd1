"""Covered areas against pixels and shapely; distinct points against sets."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.features.coverage import SignaturePoints, Squares

coordinates = st.integers(0, 40)
centres = st.lists(st.tuples(coordinates, coordinates), max_size=25).map(
    lambda points: np.array(points, int).reshape(-1, 2)
)


def area_by_shapely(squares: Squares) -> float:
    x, y = squares.centres.T
    d = squares.reach
    return float(shapely.union_all(shapely.box(x - d, y - d, x + d, y + d)).area)


class TestSquares:
    @given(centres, st.integers(1, 20))
    @settings(max_examples=300, deadline=None)
    def test_area_equals_counted_pixels(self, points: np.ndarray, reach: int) -> None:
        plane = np.zeros((80, 80), bool)
        for x, y in points + 20:
            plane[x - reach : x + reach, y - reach : y + reach] = True
        assert Squares(points, reach).union_area() == plane.sum()

    @pytest.mark.parametrize("reach", [1, 7, 300, 5000, 65535])
    @pytest.mark.parametrize("spread", [30, 3000, 65536])
    def test_area_equals_shapely(self, reach: int, spread: int) -> None:
        squares = Squares(np.random.default_rng(reach).integers(0, spread, (400, 2)), reach)
        assert squares.union_area() == area_by_shapely(squares)

    def test_area_of_many_steps(self) -> None:
        steps = np.arange(0, 600)
        staircase = Squares(np.stack([steps, steps[::-1]], axis=1), 300)
        comb = Squares(np.concatenate([staircase.centres, staircase.centres[:, ::-1] + [0, 450]]), 300)
        assert comb.union_area() == area_by_shapely(comb)

    def test_squares_that_only_touch_do_not_overlap(self) -> None:
        assert Squares(np.array([[10, 10], [20, 10], [10, 20], [20, 20]]), 5).union_area() == 400

    def test_a_duplicate_adds_nothing(self) -> None:
        assert Squares(np.array([[9, 9], [9, 9], [9, 9]]), 2).union_area() == 16

    def test_nothing_covers_nothing(self) -> None:
        squares = Squares(np.empty((0, 2), int), 3)
        assert (len(squares), squares.union_area(), Squares(np.array([[1, 1]]), 3).value([])) == (0, 0, 0)

    @given(centres.filter(len), st.integers(1, 20), st.data())
    @settings(max_examples=100, deadline=None)
    def test_value_is_monotone_and_submodular(self, points: np.ndarray, reach: int, data: st.DataObject) -> None:
        check_monotone_and_submodular(Squares(points, reach), data)

    def test_bad_squares_are_refused(self) -> None:
        with pytest.raises(ValueError, match="reach is 0"):
            Squares(np.array([[1, 1]]), 0)
        with pytest.raises(ValueError, match=r"feature 1 is \[65536, 0\]"):
            Squares(np.array([[1, 1], [65536, 0]]), 5)


class TestSignaturePoints:
    @given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=3), max_size=9))
    def test_distinct_equals_the_size_of_a_set(self, signatures: list) -> None:
        points = SignaturePoints(np.array(signatures, np.uint16).reshape(-1, 3, 2))
        assert points.distinct() == len({point for signature in signatures for point in signature})
        assert points.value([0] if signatures else []) == len(set(signatures[0] if signatures else []))

    def test_large_coordinates_stay_apart(self) -> None:
        corners = np.array([[[0, 65535], [65535, 0]], [[65535, 65535], [0, 0]]], np.uint16)
        assert SignaturePoints(corners).distinct() == 4

    @given(st.data())
    @settings(max_examples=100, deadline=None)
    def test_value_is_monotone_and_submodular(self, data: st.DataObject) -> None:
        generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
        check_monotone_and_submodular(SignaturePoints(generator.integers(0, 4, (generator.integers(1, 8), 4, 2))), data)

    @pytest.mark.parametrize("shape", [(3, 2), (3, 4, 3)])
    def test_bad_shapes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"shape \(n, k, 2\)"):
            SignaturePoints(np.zeros(shape, int))

    def test_a_point_off_the_lattice_is_refused(self) -> None:
        with pytest.raises(ValueError, match="signature 1 has a point off the lattice"):
            SignaturePoints(np.array([[[1, 1]], [[1, -1]]]))


def check_monotone_and_submodular(coverage: Squares | SignaturePoints, data: st.DataObject) -> None:
    indices = st.sets(st.integers(0, len(coverage) - 1))
    smaller = data.draw(indices)
    larger = smaller | data.draw(indices)
    bid = data.draw(st.integers(0, len(coverage) - 1))

    def added(to: set[int]) -> int:
        return coverage.value(sorted(to | {bid})) - coverage.value(sorted(to))

    assert 0 <= added(larger) <= added(smaller) <= coverage.largest_value
    assert coverage.value(sorted(smaller)) <= coverage.value(sorted(larger))
