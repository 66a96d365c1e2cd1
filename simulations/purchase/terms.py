"""The conditions of trade that a scenario, or a deployed cloud's settings, come to."""

from protocol.messages.purchase import Privacy, Terms
from simulations.purchase.scenario import CloudSection
from strategies.featurizer import Featurizer


def terms_of(section: CloudSection, featurizer: Featurizer) -> Terms:
    """Return the conditions of trade under these settings, with what was calibrated for the featurizer."""
    calibration = featurizer.calibration
    basic = section.privacy is Privacy.BASIC
    return Terms(
        privacy=section.privacy,
        model_id=featurizer.model_id,
        radius=calibration.vector_radius if basic else calibration.radius,
        reach=calibration.reach,
        signature_size=calibration.signature_size,
        tolerance=calibration.vector_tolerance if basic else calibration.tolerance,
        suite=section.suite,
        commission=round(section.commission * 1_000_000),
        stake=round(section.stake * 1_000_000),
        bond=round(section.bond * 1_000_000),
        arbitration=section.arbitration,
    )
