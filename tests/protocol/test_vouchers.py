"""Whose a key is: every way to name another one is refused with its sentence."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from protocol.crypto.certificates import CertificateError, Credentials, mint, mint_authority
from protocol.crypto.vouchers import Vouching
from protocol.messages.base import Voucher

KEY, OTHER = b"k" * 32, b"o" * 32
AUTHORITY, STRANGERS = mint_authority(), mint_authority()
BUYER = mint(AUTHORITY, "buyer", "buyer1")
SELLER = Vouching(mint(AUTHORITY, "seller", "seller1"), AUTHORITY.certificate)


def vouched(credentials: Credentials, public: bytes = KEY) -> Voucher:
    return Vouching(credentials, AUTHORITY.certificate).vouch(public)


FORGED: list[tuple[str, Callable[[], Voucher | None]]] = [
    ("no certificate vouches for the key of the buyer", lambda: None),
    ("not by the holder", lambda: vouched(BUYER, OTHER)),
    ("not by the holder", lambda: vouched(BUYER).model_copy(update={"certificate": vouched(other()).certificate})),
    ("is of urn:parley:cloud:cloud", lambda: vouched(mint(AUTHORITY, "cloud", "cloud", ["localhost"]))),
    ("was not signed by this certificate authority", lambda: vouched(mint(STRANGERS, "buyer", "buyer1"))),
    ("expired", lambda: vouched(mint(AUTHORITY, "buyer", "buyer1", lifetime=timedelta(microseconds=1)))),
    ("valid from", lambda: vouched(mint(AUTHORITY, "buyer", "buyer1", now=datetime.now(UTC) + timedelta(days=2)))),
    ("is not one", lambda: vouched(BUYER).model_copy(update={"certificate": b"none"})),
]


def other() -> Credentials:
    return mint(AUTHORITY, "buyer", "buyer2")


def test_a_party_shows_whose_its_key_is() -> None:
    assert SELLER.holder(vouched(BUYER), KEY, "buyer").urn == "urn:parley:buyer:buyer1"


@pytest.mark.parametrize(("sentence", "forged"), FORGED)
def test_a_key_of_somebody_else_is_refused(sentence: str, forged: Callable[[], Voucher | None]) -> None:
    with pytest.raises(CertificateError, match=sentence):
        SELLER.holder(forged(), KEY, "buyer")


def test_a_revoked_certificate_vouches_for_nothing() -> None:
    wary = Vouching(SELLER.credentials, AUTHORITY.certificate, frozenset([BUYER.identity.serial]))
    with pytest.raises(CertificateError, match="the certificate of urn:parley:buyer:buyer1 is revoked"):
        wary.holder(vouched(BUYER), KEY, "buyer")
