"""Plots of pages: their colours in both colour schemes, and labels that stay apart."""

import re
from itertools import pairwise

import pytest
from matplotlib.text import Text

from protocol.storage.package import packaged_file
from simulations.reports.plot import (
    GREY,
    INK,
    NEAR,
    PAPER,
    SERIES,
    VARIABLES,
    apart,
    label_ends,
    label_marks,
    new_figure,
    to_svg,
)

STYLE = packaged_file("simulations/reports/style.css").read_text(encoding="utf-8")
DARK = dict(re.findall(r"--plot-([a-z]+): (#[0-9a-f]{6})", STYLE))


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*SERIES, GREY])
def test_lines_and_marks_stand_out_in_light_and_dark(colour: str) -> None:
    assert min(contrast(colour, ground) for ground in (PAPER, NEAR)) >= 3
    dark = DARK[VARIABLES[colour]]
    assert min(contrast(dark, DARK[ground]) for ground in ("paper", "near")) >= 3


def test_text_can_be_read_in_light_and_dark() -> None:
    assert contrast(INK, PAPER) >= 4.5
    assert contrast(DARK["ink"], DARK["paper"]) >= 4.5


def test_every_colour_of_a_plot_has_one_for_dark_screens() -> None:
    assert set(DARK) == set(VARIABLES.values())
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=SERIES[0])
    axes.bar([0], [1], facecolor=SERIES[1], edgecolor=INK, hatch="//")
    drawn = str(to_svg(figure))
    assert "var(--plot-blue, #0072b2)" in drawn
    assert not re.findall(rf"[^ ](?:{'|'.join(VARIABLES)})", drawn)  # each is the fallback of a variable


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    figure, axes = new_figure()
    names = [f"line {number}" for number in range(6)]
    lines = [axes.plot([0, 1], [0, 5 + number / 100])[0] for number in range(6)]
    label_ends(axes, lines, names)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the line to it
    assert [text.get_text() for text in axes.texts] == names
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)


def test_labels_of_marks_keep_clear_of_each_other() -> None:
    figure, axes = new_figure()
    places = {f"mark {number}": (number % 3 * 0.12, number // 3 * 0.5) for number in range(6)}
    axes.plot(*zip(*places.values(), strict=True), "o")
    label_marks(axes, places)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the line to it
    assert {text.get_text() for text in axes.texts} == set(places)
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_places_apart_already_stay() -> None:
    assert apart([1.0, 2.0, 4.0], gap=0.5) == pytest.approx([1.0, 2.0, 4.0])
