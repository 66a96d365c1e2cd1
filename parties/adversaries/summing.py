"""Clouds that lie about secure sums, to read what one client adds."""

from typing import Any, ClassVar

from parties.adversaries.adversary import adversary
from parties.federate.workflow import Federate
from parties.secure_sum.board import Board
from parties.secure_sum.summing import SecureSum, Summed
from protocol.messages.secure_sum import Confirmation, ShownShares

VICTIM = 0
"""The place of the client whose update is wanted."""


class _Lying(SecureSum):
    """Keeps what it needs for a second try."""

    def _met(self) -> Board:
        self.board = super()._met()
        return self.board

    def _others(self) -> list[int]:
        return [place for place, tags in enumerate(self.board.added) if len(tags) and place != VICTIM]


class Reopening(_Lying):
    """A sum that is asked about again when it is over, with the victim absent: for the other half of its secrets."""

    def run(self) -> Summed:
        """Sum, and ask again."""
        summed = super().run()
        bits = self.board.bits(self._others())
        again = {place: self.board.present(place, bits) for place in self._others()}
        confirmed = self._asked("confirm", again, Confirmation)
        shows = self.board.shows({place: answer.signature for place, answer in confirmed.items()})
        self._asked("show", shows, ShownShares)
        return summed


class LyingDropout(_Lying):
    """A sum of which half of the clients are told that the victim is in it, and the others that it is not."""

    def _asked(self, step: str, questions: Any, kind: Any, *refusal: Any) -> Any:
        if step == "confirm":
            bits, half = self.board.bits(self._others()), len(questions) // 2
            told = list(questions.items())
            questions = dict(told[:half]) | {
                place: question.model_copy(update={"present": bits}) for place, question in told[half:]
            }
            refusal = ()
        return super()._asked(step, questions, kind, *refusal)


@adversary(
    "reopening-cloud",
    knowledge="nothing beyond its role",
    profit="the update of one client, where others answer twice about a sum",
)
class ReopeningCloud(Federate):
    """Asks about each secure sum again when it is over, as if one of its clients had dropped out."""

    sums: ClassVar = Reopening


@adversary(
    "lying-dropout-cloud",
    knowledge="nothing beyond its role",
    profit="the update of one client, where others do not compare who they are told is in the sum",
)
class LyingDropoutCloud(Federate):
    """Tells half of the clients of a secure sum that one of them has dropped out, and the others that it has not."""

    sums: ClassVar = LyingDropout
