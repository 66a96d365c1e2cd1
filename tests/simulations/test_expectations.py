import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.adversaries import ADVERSARIES
from simulations.reports.model import RunReport
from simulations.scenarios.expectations import parse_condition, report_keys, unknown, unmet
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.scenario import PurchaseScenario

REPORT = {
    "outcome": {"bids": 3, "precision": 0.875, "recall": None, "quality": {"diversity": 2.5}},
    "adversaries": {"ring": {"profit": -2}},
}


@pytest.mark.parametrize(
    ("key", "condition"),
    [
        ("outcome.bids", "== 3"),
        ("outcome.bids", ">outcome.quality.diversity"),
        ("outcome.precision", " >= 0.875 "),
        ("outcome.precision", "!= 1"),
        ("adversaries.ring.profit", "< -1.5"),
        ("adversaries.ring.profit", "<= outcome.bids"),
    ],
)
def test_what_holds_is_not_told(key: str, condition: str) -> None:
    assert unmet({key: condition}, REPORT) == []


@pytest.mark.parametrize(
    ("key", "condition", "sentence"),
    [
        ("outcome.bids", "> 3", "expected outcome.bids > 3, but it is 3"),
        ("outcome.recall", ">= 0", "expected outcome.recall >= 0, but it is unknown"),
        ("outcome.bids", "< adversaries.ring.profit", "bids < adversaries.ring.profit = -2, but it is 3"),
        ("outcome.precision", "> outcome.recall", "precision > outcome.recall = unknown, but it is 0.875"),
    ],
)
def test_what_does_not_hold_is_one_sentence(key: str, condition: str, sentence: str) -> None:
    assert unmet({key: condition}, REPORT)[0].endswith(sentence)


@pytest.mark.parametrize("text", ["", "3", "= 3", ">= three", ">= 1 or 1", "__import__('os')", ">= 1e3", "> outcome"])
def test_anything_else_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError, match="not a condition"):
        parse_condition(text)


@given(st.text())
def test_a_condition_is_read_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ValueError:
        return
    assert (condition.number is None) != (condition.key is None)


def test_keys_are_known_before_a_run() -> None:
    scenario = PurchaseScenario.model_validate(
        {"adversaries": {"ring": 0.1}}, context={"adversaries": {"ring": ADVERSARIES["overbidding"]}}
    )
    known = list(report_keys(PurchaseReport, RunReport, scenario))
    assert "phones.seconds" in known
    assert not {"seed", "timings.total", "adversaries.overbidding.profit"} & set(known)
    assert {"outcome.precision", "outcome.quality.diversity", "adversaries.ring.damage"} <= set(known)
    assert "outcome.digest" not in known
    assert unknown({"outcome.bids": "> 0"}, known) is None
    assert "did you mean adversaries.ring.profit?" in str(unknown({"adversaries.ring.proft": "> 0"}, known))
    assert "its keys begin with adversaries or auction or costs or leaks or outcome or phones" in str(
        unknown({"x": "> 0"}, known)
    )
    assert "no outcome.bets" in str(unknown({"outcome.bids": "> outcome.bets"}, known))


def test_of_several_observers_the_strongest_attack_counts() -> None:
    def row(observer: str, criterion: str, risk: float | None) -> dict[str, object]:
        found = None if risk is None else {"value": risk, "low": risk / 2, "high": 1.0, "n": 9}
        return {"method": "lambda 0.5", "observer": observer, "criterion": criterion, "risk": found}

    leaks = [row("buyer", "linkability", 0.0), row("both", "linkability", 0.9), row("cloud", "inference", None)]
    report = {"leaks": leaks, "costs": [{"role": "seller", "sent": 12}]}
    assert unmet({"leaks.lambda 0.5.linkability.risk": "== 0.9", "costs.seller.sent": "== 12"}, report) == []
    assert unmet({"leaks.lambda 0.5.linkability.risk.low": "== 0.45"}, report) == []
    (said,) = unmet({"leaks.lambda 0.5.inference.risk": "<= 1"}, report)
    assert said == "expected leaks.lambda 0.5.inference.risk <= 1, but it is unknown"
