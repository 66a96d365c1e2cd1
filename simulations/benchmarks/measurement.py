"""What a benchmark reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One measured number beside the bar it has to stay under.

    Attributes
    ----------
    what : str
        What was measured, in a few words.
    value : float
        The number, in `unit`.
    unit : str
        ``ms``, ``s``, ``x`` (a ratio within the same run), ...
    below : float or None
        The bar: the value that must not be exceeded, None where there is none.
    """

    what: str
    value: float
    unit: str
    below: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar was met; None where there is none."""
        return None if self.below is None else self.value <= self.below
