"""What can go wrong between parties."""

import difflib
import re
from collections.abc import Iterable

_OURS = re.compile(r"^(protocol|parties|strategies|deploy|simulations)(\.\w+)+: ")
"""What a traceback's last line puts before the sentence of an error of Parley's."""


class UserError(Exception):
    """A mistake that the user can correct; the text is one sentence that says what, where and how.

    Attributes:
        exit_code: What the command line exits with. 0 is success, 1 a fault of Parley's own, 2 a wrong command line,
            130 an interrupt.
    """

    exit_code = 1


class BadScenario(UserError):
    """The scenario cannot be read or asks for something impossible."""

    exit_code = 3


class BadApp(UserError):
    """A directory holds no Flower app that can be run as asked."""

    exit_code = 3


class BadInput(UserError):
    """Pictures, folders or weights cannot be used."""

    exit_code = 4


class OutputExists(UserError):
    """The output folder is already there."""

    exit_code = 5


class ExpectationFailed(UserError):
    """The run completed, and an expectation of its scenario was not met."""

    exit_code = 7


class RunFailed(UserError):
    """The parties could not finish the protocol."""

    exit_code = 6


class GridUnavailable(UserError):
    """Parties cannot run where they should: no Ray, no cluster at the address, no processes for them."""

    exit_code = 8


class BadKit(UserError):
    """A start-up folder, a certificate or a setting of a deployed party cannot be used."""

    exit_code = 9


class Unreachable(UserError):
    """The cloud cannot be reached, or does not let this party in."""

    exit_code = 10


class CheckFailed(UserError):
    """`parley doctor` found something that keeps a party from working, or `parley audit` something wrong."""

    exit_code = 11


class Stopped(UserError):
    """The user interrupted something that can be resumed."""

    exit_code = 130


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the known name that is nearest to a wrong one, or list all of them."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"


def last_sentence(text: str) -> str:
    r"""Return the last line of a traceback, or of any text; without the name of the error, if it is one of Parley's.

    Examples:
        >>> last_sentence("Traceback (most recent call last):\nprotocol.errors.ProtocolError: the bid is late")
        'the bid is late'
        >>> last_sentence("Traceback (most recent call last):\nKeyError: 3")
        'KeyError: 3'
    """
    return _OURS.sub("", text.strip().splitlines()[-1].strip(), count=1)


class ProtocolError(Exception):
    """A peer, or what it sent, broke the protocol; the text is one sentence that says how."""


class PolicyRefusal(ProtocolError):
    """A party's policy does not allow what was asked; the text says in one sentence what was, and what is allowed."""
