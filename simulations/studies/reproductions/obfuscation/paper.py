"""The numbers that the paper prints (Raynal et al. 2020): shares of 1, MSE in units of 255 squared."""

RECOGNISERS = {"vision": "a CNN for clean images", "people": "a CNN for obfuscated images"}
"""What stands here for the paper's vision service (Tables 4 and 5), and for its people (Tables 2 and 3)."""

_MSE = 255**2

AGREEMENT: dict[tuple[str, str], dict[str, tuple[float, float | None, float | None]]] = {
    ("people", "dogs"): {
        "MSE": (0.77, 2178 / _MSE, 2589 / _MSE),
        "FID": (0.59, None, None),
        "dSSIM": (0.80, 0.63, 0.65),
        "pHash": (0.78, 0.28, 0.28),
        "dHaarPSI": (0.86, 0.61, 0.62),
    },
    ("people", "stl10"): {
        "MSE": (0.70, 2228 / _MSE, 2965 / _MSE),
        "FID": (0.65, None, None),
        "dSSIM": (0.86, 0.66, 0.61),
        "pHash": (0.75, 0.28, 0.28),
        "dHaarPSI": (0.84, 0.60, 0.60),
    },
    ("vision", "dogs"): {
        "MSE": (0.81, 1715 / _MSE, 2118 / _MSE),
        "FID": (0.62, None, None),
        "dSSIM": (0.83, 0.47, 0.56),
        "pHash": (0.81, 0.21, 0.21),
        "dHaarPSI": (0.88, 0.56, 0.55),
    },
    ("vision", "stl10"): {
        "MSE": (0.80, 1328 / _MSE, 1850 / _MSE),
        "FID": (0.60, None, None),
        "dSSIM": (0.89, 0.48, 0.54),
        "pHash": (0.79, 0.25, 0.25),
        "dHaarPSI": (0.87, 0.54, 0.54),
    },
}
"""AUC, t_acc and t_cut-off of each score (Tables 2 to 5), by recogniser and data set."""

ATTACK = {"none": 0.73, "pixelize": 0.67, "pixelize-mix": 0.23, "shuffle-mix": 0.19, "noise-mix": 0.21}
"""Accuracy of McPherson's CNN on STL-10 (Table 6)."""

TRADEOFF: dict[tuple[str, float, float | None], tuple[float, float, float, float]] = {
    ("mix", 0.75, None): (0.14, 0.15, 0.9275, 0.9245),
    ("mix", 0.6, None): (0.29, 0.28, 0.8765, 0.9050),
    ("mix", 0.5, None): (0.32, 0.30, 0.7945, 0.7920),
    ("noise-mix", 0.75, 20): (0.65, 0.68, 0.9130, 0.8894),
    ("noise-mix", 0.5, 20): (0.72, 0.71, 0.6900, 0.8185),
    ("noise-mix", 0.75, 30): (0.80, 0.79, 0.8555, 0.8660),
    ("noise-mix", 0.5, 30): (0.81, 0.83, 0.7120, 0.7920),
    ("shuffle-mix", 0.75, 4): (0.46, 0.47, 0.8835, 0.8485),
    ("shuffle-mix", 0.5, 4): (0.56, 0.56, 0.6840, 0.8530),
    ("shuffle-mix", 0.75, 8): (0.63, 0.63, 0.8045, 0.8495),
    ("shuffle-mix", 0.5, 8): (0.70, 0.70, 0.6920, 0.8390),
    ("pixelize-mix", 0.75, 32): (0.52, 0.52, 0.8010, 0.7990),
    ("pixelize-mix", 0.5, 32): (0.56, 0.57, 0.7605, 0.7890),
    ("pixelize-mix", 0.5, 16): (0.57, 0.61, 0.6520, 0.6750),
    ("pixelize-mix", 0.75, 16): (0.59, 0.59, 0.6770, 0.6740),
}
"""Privacy (dSSIM) and accuracy, each without and within classes (Table 7), by technique, lambda and strength."""

REFERENCE = 0.9335
"""Accuracy without obfuscation (Table 7)."""

DRAWN = (("blur-mix", 0.75, 17), ("blur", 1.0, 17), ("blur", 1.0, 45), ("pixelize", 1.0, 32), ("pixelize", 1.0, 16))
"""What Fig. 5 has beside Table 7; its values are not printed."""
