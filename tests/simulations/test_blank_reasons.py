"""A party may fail without a word: in no workflow does that end the run with anything but a sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from flwr.app import Context, Error, Message

from parties.adversaries import adversary
from protocol.errors import RunFailed
from simulations.runs.runner import run
from simulations.scenarios.adversaries import known_adversaries
from simulations.scenarios.files import load

SMALL: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("digests.yaml").read_text())["scenarios"]
PARTIES = (
    ("purchase", "seller"),
    ("purchase", "buyer"),
    ("pool", "entity"),
    ("crowdsource", "participant"),
    ("publish", "publisher"),
    ("federate", "client"),
)


def wordless(role: str) -> Any:
    """A party that is there, and answers everything else with an error whose reason is blank."""

    @adversary("wordless", role=role, knowledge="nothing beyond its role", profit="none")
    def fail(message: Message, context: Context, call_next: Any) -> Message:
        """Fails every step without a reason."""
        if message.metadata.message_type == "query.introduce":
            answer: Message = call_next(message, context)
            return answer
        return Message(error=Error(code=2, reason=" \n "), reply_to=message)

    return fail


@pytest.mark.parametrize(("workflow", "role"), PARTIES)
def test_parties_that_fail_without_a_reason_end_a_run_with_a_sentence(tmp_path: Path, workflow: str, role: str) -> None:
    cheats = known_adversaries([wordless(role)])
    settings = [
        *SMALL[workflow]["settings"],
        "grid=local",
        "adversaries.wordless=1.0",
        "expect={}",
        "twin=false",
        "workers=1",
    ]
    scenario = load(workflow, settings, cheats)
    try:
        report: Any = run(scenario, tmp_path / "run", adversaries=cheats)
        said = [step.what for step in report.failed]
    except RunFailed as failed:
        said = str(failed).splitlines()
    assert any("error 2" in line or "answered" in line for line in said), said
    assert len(said) == 1 or (tmp_path / "run").exists()
