"""What users get wrong, as scripts see it: exit codes mean what `parley` says of them."""

import pytest

import simulations.cli
from protocol import errors
from protocol.errors import UserError

CODES: list[tuple[type[UserError], int, str]] = [
    (errors.UserError, 1, "a fault of Parley's own"),
    (errors.BadScenario, 3, "a bad scenario or Flower app"),
    (errors.BadApp, 3, "a bad scenario or Flower app"),
    (errors.BadInput, 4, "unusable pictures or weights"),
    (errors.OutputExists, 5, "the output is already there"),
    (errors.RunFailed, 6, "the protocol could not be finished"),
    (errors.ExpectationFailed, 7, "an expectation of the scenario did not hold"),
    (errors.GridUnavailable, 8, "no Ray, or no cluster at the address"),
    (errors.BadKit, 9, "a kit, a setting or a disk of a deployed party that cannot be used"),
    (errors.Unreachable, 10, "the cloud cannot be reached or refuses"),
    (errors.CheckFailed, 11, "`parley doctor` or `parley audit` found something to fix"),
    (errors.Stopped, 130, "interrupted"),
]


@pytest.mark.parametrize(("kind", "code", "meaning"), CODES, ids=lambda value: getattr(value, "__name__", None))
def test_a_mistake_has_the_exit_code_that_the_command_says(kind: type[UserError], code: int, meaning: str) -> None:
    assert kind("a mistake").exit_code == code
    assert f"{code} {meaning}" in " ".join((simulations.cli.__doc__ or "").split())


def test_every_mistake_is_listed() -> None:
    assert {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UserError)} == {
        kind for kind, _, _ in CODES
    }
