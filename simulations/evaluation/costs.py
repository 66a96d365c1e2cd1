"""What a run cost its parties: counted on the wire, and measured where they computed."""

from collections import Counter

from protocol.flower import SERVER_NODE_ID
from simulations.data.phone_models import PHONES
from simulations.reports.evaluation import Cost, OnePhone
from simulations.runs.session import Session

PHONE = "paper"
"""The phone on which one party's work is told."""
CORE = 2.7
"""How many times as fast as that phone a core is here: VGG-16 takes it 0.37 s, the phone 1 s (CrowdBuy, VI.E)."""


def costs(session: Session) -> list[Cost]:
    """Add up what the parties of every role sent, received and computed."""
    sent, received, messages = Counter[str](), Counter[str](), Counter[str]()
    for flow in session.flows:
        sent[flow.source] += flow.bytes
        received[flow.target] += flow.bytes
        messages[flow.source] += flow.messages
        messages[flow.target] += flow.messages
    rows = []
    for role, nodes in session.parties.items():
        serves, count = SERVER_NODE_ID in nodes, len(nodes)
        seconds = None if serves or session.worked is None else sum(session.worked.get(node, 0.0) for node in nodes)
        rows.append(
            Cost(
                role=role,
                parties=count,
                seconds=None if seconds is None else round(seconds, 3),
                sent=sent[role],
                received=received[role],
                messages=messages[role],
                rounds=0 if serves else max(map(session.answered, nodes)),
                phone=None
                if seconds is None
                else one_phone(*(x / len(nodes) for x in (seconds, received[role], sent[role]))),
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
