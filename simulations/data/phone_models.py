"""Phone models by name, out of ``models.yaml``."""

from importlib.resources import files
from typing import Annotated

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict

Positive = Annotated[float, Gt(0)]


class Radio(BaseModel):
    """What moving data costs: milliwatts per Mbit/s sent and received, and milliwatts while anything moves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up: Positive
    down: Positive
    base: Positive


class PhoneModel(BaseModel):
    """One model of phone, with the network it is on.

    Attributes:
        description: One line, with its source.
        speed: How many times as fast as the paper's phone.
        memory: Megabytes that one program can have.
        radio: Its network.
        downlink, uplink: Mbit/s.
        latency: Seconds on the way, in each direction.
        watts: Power while it computes.
        availability: Probability that it is there when a message comes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    speed: Positive
    memory: Positive
    radio: Radio
    downlink: Positive
    uplink: Positive
    latency: Annotated[float, Ge(0)]
    watts: Positive
    availability: Annotated[float, Gt(0), Le(1)]

    def joules(self, seconds: float, received: float, sent: float) -> float:
        """Return the energy of computing for some seconds, and of receiving and sending some bytes.

        Examples:
            >>> PHONES["paper"].joules(2.0, 0, 0)
            8.0
        """
        down, up = 8e-6 * received, 8e-6 * sent
        moving = down / self.downlink + up / self.uplink
        return self.watts * seconds + (self.radio.down * down + self.radio.up * up + self.radio.base * moving) / 1000

    def moving(self, received: float, sent: float) -> float:
        """Return the seconds that some bytes take, received and sent."""
        return 8e-6 * (received / self.downlink + sent / self.uplink)


def _read() -> dict[str, PhoneModel]:
    tables = yaml.safe_load((files("simulations.data") / "phone_models.yaml").read_text(encoding="utf-8"))
    radios = tables["radios"]
    return {
        name: PhoneModel.model_validate({**phone, "radio": radios[phone["radio"]]})
        for name, phone in tables["phones"].items()
    }


PHONES = _read()
"""Phone models by name."""
