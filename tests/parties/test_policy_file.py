"""A policy's file: a mistake in it is one sentence, and what is left out is strict."""

import re
from pathlib import Path

import pytest

from parties.policy.settings import Policy, read_policy
from protocol.errors import BadKit


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "publish: {mechanisms: [dp-pyx]}",
            "publish.mechanisms: there is no mechanism 'dp-pyx'; did you mean dp-pix?",
        ),
        ("federate: {ways: [plain, sum]}", "federate: plain and sum exclude each other"),
        ("# Mine.\nbudgets: {image: 0}", "line 2: budgets.image: input should be greater than 0, not 0"),
        ("budget: {image: 1}", "line 1: there is no key budget; did you mean budgets?"),
        ("budgets: {imgae: 1}", "line 1: there is no key budgets.imgae; did you mean image?"),
        ("workflows: purchase", "line 1: workflows: a list belongs here, not 'purchase'"),
        ("budgets: {image: .nan}", "line 1: budgets.image: input should be a finite number, not nan"),
        ("sums: 3", "line 1: sums: keys and values belong here, not 3"),
        ("- 1", "policy.yaml: keys and values belong here, not [1]"),
        ("a: b: c", "line 1: this is not YAML"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(BadKit, match=re.escape(sentence)):
        read_policy(tmp_path / "policy.yaml")


def test_what_is_left_out_is_strict(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("")
    assert read_policy(tmp_path / "policy.yaml") == Policy()
    (tmp_path / "policy.yaml").write_text("budgets: {image: null}")
    assert read_policy(tmp_path / "policy.yaml").budgets.image is None
