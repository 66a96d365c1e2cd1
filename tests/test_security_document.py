"""Every line of the security page names a test that there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "protocol" / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_line_of_a_table_names_a_test() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and not re.match(r"\|( who |-)", line)]
    assert len(lines) > 30
    assert [line for line in lines if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", line)] == []


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_it_is_there(path: str, name: str) -> None:
    assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
