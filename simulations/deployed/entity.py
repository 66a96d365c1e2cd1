"""An entity's process. So far an entity attaches and says who it is; the `pool` workflow will ask more of it."""

from parties.party import Party
from simulations.deployed.kit import Kit
from simulations.deployed.party import stay_attached


class Entity(Party):
    """An institution that holds pictures. It introduces itself, and that is all there is to ask of it yet."""

    role = "entity"


def join(kit: Kit) -> None:
    """Stay attached until told to stop."""
    stay_attached(kit, Entity(kit.secret()))
