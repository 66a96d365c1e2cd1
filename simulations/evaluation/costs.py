"""What a run cost its parties: counted on the wire, and measured where they computed."""

from protocol.flower import SERVER_NODE_ID
from simulations.data.phone_models import PHONES
from simulations.reports.evaluation import Cost, OnePhone
from simulations.runs.session import OTHERS, Session, Tally

PHONE = "paper"
"""The phone on which one party's work is told."""
CORE = 2.7
"""How many times as fast as that phone a core is here: VGG-16 takes it 0.37 s, the phone 1 s (CrowdBuy, VI.E)."""


def costs(session: Session) -> list[Cost]:
    """Add up what the parties of every role sent, received and computed."""
    return _rows(session, session.tally())


def costs_of_methods(session: Session) -> dict[str, list[Cost]]:
    """Return the same for each of several methods of a run, as far as it was charged to it (`Session.charge`)."""
    return {name: _rows(session, tally) for name, tally in session.charges.items() if name != OTHERS}


def _rows(session: Session, tally: Tally) -> list[Cost]:
    rows = []
    for role, nodes in session.parties.items():
        serves, count = SERVER_NODE_ID in nodes, len(nodes)
        worked = tally.worked
        seconds = None if serves or worked is None else sum(worked.get(node, 0.0) for node in nodes)
        rows.append(
            Cost(
                role=role,
                parties=count,
                seconds=None if seconds is None else round(seconds, 3),
                sent=tally.sent[role],
                received=tally.received[role],
                messages=tally.messages[role],
                rounds=0 if serves else max(tally.answers[session.name_of(node)] for node in nodes),
                phone=None
                if seconds is None
                else one_phone(*(x / count for x in (seconds, tally.received[role], tally.sent[role]))),
            )
        )
    return rows


def one_phone(seconds: float, received: float, sent: float) -> OnePhone:
    """Return what a party's work would take on a phone.

    Args:
        seconds: Of CPU here.
        received, sent: Bytes.
    """
    phone = PHONES[PHONE]
    there = seconds * CORE / phone.speed
    return OnePhone(
        model=PHONE,
        seconds=round(there, 3),
        moving=round(phone.moving(received, sent), 3),
        joules=round(phone.joules(there, received, sent), 3),
    )
