"""The paper's numbers, by table, row and column; shares of 1."""

from simulations.studies.reproductions.deep_poisoning.tables import Numbers


def _rows(table: str, columns: tuple[str, ...], rows: dict[str, tuple[float | None, ...]]) -> Numbers:
    return {
        (table, row, column): value
        for row, values in rows.items()
        for column, value in zip(columns, values, strict=True)
        if value is not None
    }


PAPER: Numbers = {
    **_rows(
        "Table 1",
        ("Original", "Poisoned"),
        {
            "ResNet50, top-1": (0.7939, 0.7888),
            "ResNet50, top-5": (0.9418, 0.9411),
            "ResNet101, top-1": (0.8113, 0.8078),
            "ResNet101, top-5": (0.9503, 0.9486),
        },
    ),
    **_rows(
        "Table 2",
        ("Original", "Poisoned"),
        {
            "ResNet50, L1": (0.0443, 0.2928),
            "ResNet50, SSIM": (0.6730, 0.0070),
            "ResNet101, L1": (0.0406, 0.2886),
            "ResNet101, SSIM": (0.7009, 0.0069),
        },
    ),
    **_rows(
        "Table 3",
        ("top-1", "top-5", "L1", "SSIM"),
        {
            "w/o": (0.8113, 0.9503, 0.0406, 0.7009),
            "GN": (0.2547, 0.4599, 0.1905, 0.2635),
            "GF": (0.1560, 0.3024, 0.1055, 0.4699),
            "MF": (0.0444, 0.1078, 0.1169, 0.4334),
            "DPM": (0.8078, 0.9486, 0.2886, 0.0069),
            "GN+DPM": (0.7810, 0.9364, 0.3339, 0.0047),
            "GF+DPM": (0.7877, 0.9378, 0.3450, 0.0041),
            "MF+DPM": (0.7123, 0.8996, 0.3564, 0.0186),
        },
    ),
    **_rows(
        "Table 4",
        ("utility mAP", "privacy mAP", "L1", "SSIM", "L1, sharing", "SSIM, sharing"),
        {
            "w/o protection": (0.8108, 0.8054, 0.0200, 0.9177, 0.0200, 0.9177),
            "DeepObfuscator": (0.7371, 0.6507, 0.2614, 0.3997, 0.0359, 0.8232),
            "DPM": (0.7953, 0.6595, 0.2573, 0.0064, None, None),
        },
    ),
    **_rows(
        "Table 5",
        ("top-1", "top-5"),
        {
            "1, raw images S1": (0.529, 0.777),
            "2, raw images S2": (0.527, 0.778),
            "3, raw images S3": (0.532, 0.779),
            "4, raw images S4": (0.135, 0.303),
            "5, raw images S": (0.811, 0.950),
            "6, f(S1) + f(S2)": (0.612, 0.838),
            "7, f(S1) + P2 f(S2)": (0.594, 0.826),
            "8, P1 f(S1) + f(S2)": (0.598, 0.830),
            "9, P1 f(S1) + P2 f(S2) + f(S3)": (0.623, 0.845),
            "10, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S3)": (0.627, 0.847),
            "11, P1 f(S1) + P2 f(S2) + f(S4)": (0.584, 0.821),
            "12, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S4)": (0.616, 0.844),
        },
    ),
}
