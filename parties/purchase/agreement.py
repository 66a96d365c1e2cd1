"""What a purchase begins with and goes on under, whatever the cloud's settings say later."""

from dataclasses import replace

from parties.purchase.cloud import ARBITERS, Cloud
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.messages.base import ProtocolMessage
from protocol.messages.purchase import Terms


class Agreement(ProtocolMessage):
    """The terms, a fingerprint of the secret from which the cloud's keys and releases derive, and the patience (s)."""

    terms: Terms
    fingerprint: str
    patience: float


def agreed(cloud: Cloud, exchange: Exchange) -> Cloud:
    """Return the cloud under the terms with which this purchase began.

    Raises:
        WorkflowFailed: When it cannot go on under them: its secret or its model is another one.
    """
    fingerprint = cloud.derive("fingerprint").hex()
    now = Agreement(terms=cloud.terms, fingerprint=fingerprint, patience=cloud.patience)
    began = Agreement.model_validate_json(exchange.read("terms", now.model_dump_json))
    if began.fingerprint != fingerprint:
        raise WorkflowFailed("the cloud's secret is not the one with which this purchase began")
    if began.terms.model_id != cloud.featurizer.model_id:
        raise WorkflowFailed(f"this purchase began with model {began.terms.model_id}, which the cloud has no more")
    arbiter = cloud.arbiter if began.terms == cloud.terms else ARBITERS[began.terms.arbitration]
    return replace(cloud, terms=began.terms, patience=began.patience, arbiter=arbiter)
