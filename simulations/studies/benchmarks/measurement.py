"""What a benchmark reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One measured number beside the bar it has to stay under, or to reach.

    Attributes:
        what: What was measured, in a few words.
        value: The number, in `unit`.
        unit: ``ms``, ``s``, ``x`` (a ratio within the same run), ...
        below: The bar: the value that must not be exceeded, None where there is none.
        above: The bar: the value that must be reached, None where there is none.
    """

    what: str
    value: float
    unit: str
    below: float | None = None
    above: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar was met; None where there is none."""
        if self.below is None and self.above is None:
            return None
        return (self.below is None or self.value <= self.below) and (self.above is None or self.value >= self.above)

    @property
    def bar(self) -> str:
        """The bar in words, empty where there is none."""
        if self.below is not None:
            return f"<= {self.below:g} {self.unit}"
        return "" if self.above is None else f">= {self.above:g} {self.unit}"
