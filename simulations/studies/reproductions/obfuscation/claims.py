"""The paper's claims, and whether they hold here."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from simulations.reports.reproduction import Claim, judge
from simulations.reports.words import percent
from simulations.studies.reproductions.obfuscation.paper import RECOGNISERS, TRADEOFF
from simulations.studies.reproductions.obfuscation.scale import Scale
from simulations.studies.reproductions.obfuscation.tables import (
    ACCURACY,
    CLASSES,
    INTRA,
    PRIVACY,
    PRIVACY_INTRA,
    Numbers,
    Setting,
)


def claims(found: Numbers) -> list[Claim]:
    """Judge every claim."""

    def values(*key: object) -> np.ndarray:
        return np.array(found[key])

    def differences(named: dict[str, np.ndarray]) -> dict[str, Sequence[float]]:
        return {name: each.tolist() for name, each in named.items()}

    def auc(who: str, score: str) -> np.ndarray:
        return values("AUC", who, score)

    noise, loudest = ("noise-mix", 0.75, 20), ("noise-mix", 0.5, 30)
    blur, denoised = "Wiener deconvolution of blur and mixing", "denoising of noise and mixing for its strength"
    mild = "mild denoising of noise and mixing"
    gains = np.mean([values(INTRA, each) - values(ACCURACY, each) for each in TRADEOFF], axis=0)
    rivals: dict[str, Setting] = {
        "pixelize-mix": ("pixelize-mix", 0.75, 16),
        "blur-mix": ("blur-mix", 0.75, 17),
        "pixelize": ("pixelize", 1.0, 16),
        "blur": ("blur", 1.0, 45),
    }
    best: Callable[[str], dict[str, np.ndarray]] = lambda column: {  # noqa: E731
        f"noise-mix - {name}, {column}": values(column, loudest) - values(column, rival)
        for name, rival in rivals.items()
    }
    return [
        *(
            judge(
                f"dSSIM and dHaarPSI agree better with {RECOGNISERS[who]} than MSE and pHash do.",
                differences({
                    f"{better} - {other}": auc(who, better) - auc(who, other)
                    for better in ("dSSIM", "dHaarPSI") for other in ("MSE", "pHash")
                }),
            )
            for who in RECOGNISERS
        ),
        judge(
            "Noise and mixing (lambda .75, sigma 20) costs less than 5 points of accuracy.",
            differences({"5 points - loss": values(ACCURACY, noise) - values(ACCURACY, None) + 0.05}),
        ),
        judge(
            "Noise and mixing is the best trade-off (Fig. 5): more accurate than blur and pixelization, and more "
            "private.",
            differences(best(INTRA) | best(PRIVACY_INTRA)),
        ),
        judge("Mixing within classes trains better.", differences({"mean over Table 7": gains})),
        judge(
            "Mixing adds accuracy to pixelization and to blur.",
            differences({
                "pixelize-mix - pixelize": values(INTRA, rivals["pixelize-mix"]) - values(INTRA, rivals["pixelize"]),
                "blur-mix - blur": values(INTRA, rivals["blur-mix"]) - values(INTRA, ("blur", 1.0, 17)),
            }),
        ),
        judge(
            "Deblurring defeats blur and mixing: dSSIM falls by a fifth or more.",
            differences({"fall - a fifth": 0.8 * values("before", blur) - values("after", blur)}),
        ),
        judge(
            "Off-the-shelf denoising does not defeat noise and mixing: dSSIM falls by less than .01.",
            differences({".01 - fall": 0.01 - values("before", mild) + values("after", mild)}),
        ),
        judge(
            "Not in the paper: nor does denoising for the strength of the noise.",
            differences({".01 - fall": 0.01 - values("before", denoised) + values("after", denoised)}),
        ),
        judge(
            "The CNN attack is almost as accurate on pixelized images as on clean ones (within 10 points).",
            differences({"10 points - loss": values("attack", "pixelize") - values("attack", "none") + 0.1}),
        ),
        judge(
            "With mixing at lambda .5 the CNN attack loses half of its accuracy or more.",
            differences({
                f"half - {name}": values("attack", "none") / 2 - values("attack", name)
                for name in ("pixelize-mix", "shuffle-mix", "noise-mix")
            }),
        ),
        judge(
            "Not in the paper: it also does at lambda .75, where the model is best.",
            differences({"half - it": values("attack", "none") / 2 - values("attack", "noise-mix at lambda .75")}),
        ),
    ]  # fmt: skip


def summary(found: Numbers, judged: Sequence[Claim]) -> str:
    """Return the results in two sentences."""

    def mean(*key: object) -> float:
        return float(np.mean(found[key]))

    held = sum(claim.verdict == "holds" for claim in judged)
    noise = ("noise-mix", 0.75, 20)
    return (
        f"{held} of {len(judged)} claims hold here. Noise and mixing at lambda .75 trains a model of "
        f"{percent(mean(ACCURACY, noise))} against {percent(mean(ACCURACY, None))} on clean images, at a dSSIM of "
        f"{mean(PRIVACY, noise):.2f}; but McPherson's CNN still has an accuracy of "
        f"{percent(mean('attack', 'noise-mix at lambda .75'))} on the class of such images, against "
        f"{percent(mean('attack', 'noise-mix'))} at lambda .5 and {percent(mean('attack', 'none'))} on clean ones."
    )


def settings(scale: Scale, dataset: str, strengths: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the settings, and their differences from the paper's.

    Args:
        strengths: Of Table 6, by technique, one per seed.
    """
    taken = "; ".join(f"{name}: {', '.join(each)}" for name, each in strengths.items())
    shrunk = "" if scale.side >= 96 else " Lengths in pixels are scaled to that: “here” says to what."
    return [
        f"Images: {dataset}, {scale.side} pixels a side, {CLASSES} classes of two kinds; {scale.training:,} to train "
        f"on, {scale.tests:,} to test on, {scale.public:,} public ones for attackers, or shares of what there is."
        f"{shrunk} The paper: 22,800 photographs of cats and dogs at 256 pixels; for recognition Stanford Dogs and "
        "STL-10.",
        f"Table 7 and Fig. 5: {scale.architecture}, {scale.epochs} epochs, batches of {scale.batch}, AdamW in one "
        "cycle of learning rates; each image is used once in each role per epoch, as the paper trains, though it asks "
        "for once at most. The task is to tell the two kinds apart, where there are kinds.",
        f"Tables 2 to 5: {scale.surveys} surveys of 49 images per seed. No people and no vision service were asked: "
        "a CNN that learned from clean images stands for the service, and one that learned from obfuscated ones for "
        "people, who see through mixtures better. An image counts as recognised if its class is among the first two of "
        "ten guesses. MSE is in units of 255 squared; FID of single images does not exist, and is the distance of the "
        "clean CNN's features here.",
        "Table 6: the compact CNN learns from public images that are obfuscated alike, and predicts which of ten "
        "classes fresh obfuscated images are published under. At lambda .5 the published label is of one of two images "
        "that contribute equally, so that no attack can be much more accurate than 50 %. As in the paper, strengths "
        "are the least whose mean dSSIM is above its threshold t_acc, on images of the size that it was asked at (or "
        f"those of Table 7, where none is): at this size, by seed, {taken}.",
        "Section 4.4: Wiener deconvolution with the known kernel; the paper uses a local noise filter under that name. "
        "Non-local means at strength 3, as OpenCV recommends, and at the strength of the noise.",
        "Shares are in %, scores in hundredths.",
    ]
