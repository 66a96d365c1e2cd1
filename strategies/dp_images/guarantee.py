"""What a published picture promises, stated exactly: between which pictures, and what stays in the open."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Guarantee:
    r"""(epsilon, delta) differential privacy of one publication, for one notion of neighbours.

    For all neighbours x, x' and all sets Z of published pictures, Pr[M(x) in Z] <= e^epsilon Pr[M(x') in Z] + delta.
    Whatever is computed from the published picture keeps it. What two neighbours have in common is not protected.

    Attributes:
        epsilon, delta: For two neighbours. Where neighbours have a distance (`neighbours` says so), epsilon is per unit
            of it.
        neighbours: Which two pictures the promise is about.
        protects: What cannot be inferred.
        leaves_open: What it does not cover.
    """

    epsilon: float
    delta: float
    neighbours: str
    protects: str
    leaves_open: str

    def repeated(self, times: int) -> "Guarantee":
        """Return what `times` independent publications promise together (sequential composition).

        Of one picture, or of as many pictures of one person, each of which may differ as the neighbours do: epsilon
        times as large, and delta 1 - (1 - delta)^times (Kairouz, Oh and Viswanath 2015, theorem 3.3).

        Raises:
            ValueError: When it is published a negative number of times.

        Examples:
            >>> once = Guarantee(0.5, 0.0, "one pixel differs", "a pixel", "the others")
            >>> once.repeated(4).epsilon
            2.0
        """
        if times < 0:
            raise ValueError(f"a picture is published 0 or more times, not {times}")
        return replace(self, epsilon=times * self.epsilon, delta=1 - (1 - self.delta) ** times)
