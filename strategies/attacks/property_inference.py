"""Property inference: what kind of pictures a client holds, from its update (Melis et al. 2019, section IV.B)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def infer_property(
    updates: NDArray[np.float32], known: NDArray[np.float32], has: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Score how likely each client's pictures have a property.

    The attacker has trained on public pictures with, and without it, from the same model, and learns the difference.

    Args:
        updates: (n, parameters), of the clients: what each would add to the model.
        known: (k, parameters), of the attacker's own trials.
        has: (k,), which of these were trained on pictures with the property; some were, some not.

    Returns:
        (n,); log odds, over 0 for more likely than not.

    Raises:
        ValueError: When trials are all of one kind.
    """
    if has.all() or not has.any():
        raise ValueError(f"{has.sum()} of {len(has)} trials have the property: the attack needs both kinds")
    attack = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500)).fit(known, has)
    scores: NDArray[np.float64] = attack.decision_function(updates)
    return scores
