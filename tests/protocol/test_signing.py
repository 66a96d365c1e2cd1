import hmac
import struct
from contextlib import suppress
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto.signing import SigningKey, derive, verify
from protocol.encoding.canonical import canonical
from protocol.messages.base import ProtocolMessage

SECRET = sha256(b"a party's secret").digest()
KEY = SigningKey.derive(SECRET, "identity")

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def prefixed(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">Q", len(field)) + field for field in fields)


def flips(data: bytes) -> list[bytes]:
    return [bytes([*data[:i], data[i] ^ 1 << bit, *data[i + 1 :]]) for i in range(len(data)) for bit in range(8)]


class TestDerive:
    def test_is_hkdf_sha256(self) -> None:
        info = prefixed(b"parley/derive/1", b"salt", b"\x00\x01")
        prk = hmac.digest(bytes(32), SECRET, "sha256")
        first = hmac.digest(prk, info + b"\x01", "sha256")
        second = hmac.digest(prk, first + info + b"\x02", "sha256")
        assert derive(SECRET, "salt", b"\x00\x01") == first
        assert derive(SECRET, "salt", b"\x00\x01", length=48) == (first + second)[:48]

    @given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
    def test_other_labels_give_other_bytes(self, labels: list[bytes], others: list[bytes]) -> None:
        assert (derive(SECRET, *labels) == derive(SECRET, *others)) == (labels == others)

    def test_another_secret_gives_other_bytes(self) -> None:
        assert derive(SECRET, "salt") != derive(bytes(32), "salt")

    def test_text_counts_as_utf8(self) -> None:
        assert derive(SECRET, "é") == derive(SECRET, "é".encode())

    @pytest.mark.parametrize("size", [0, 16, 31, 33])
    def test_refuses_a_secret_of_another_size(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"secret is 32 bytes, not {size}"):
            derive(bytes(size), "salt")


class TestSigning:
    def test_is_ed25519_over_domain_and_message(self) -> None:
        signature = KEY.sign("bid", b"message")
        statement = prefixed(b"parley/signature/1", b"bid") + b"message"
        Ed25519PublicKey.from_public_bytes(KEY.public).verify(signature, statement)
        assert (
            Ed25519PrivateKey.from_private_bytes(derive(SECRET, "signing key", "identity")).sign(statement) == signature
        )

    def test_is_the_same_again_for_the_same_secret_and_label(self) -> None:
        again = SigningKey.derive(SECRET, "identity")
        assert again.public == KEY.public
        assert again.sign("bid", b"message") == KEY.sign("bid", b"message")

    def test_labels_give_unlinked_keys(self) -> None:
        assert len({SigningKey.derive(SECRET, f"pseudonym {i}").public for i in range(50)}) == 50

    @given(st.text(max_size=6), st.binary(max_size=12), st.text(max_size=6), st.binary(max_size=12))
    def test_holds_for_its_domain_and_message_only(
        self, domain: str, message: bytes, other: str, changed: bytes
    ) -> None:
        signature = KEY.sign(domain, message)
        assert verify(KEY.public, domain, message, signature)
        assert verify(KEY.public, other, changed, signature) == ((domain, message) == (other, changed))

    def test_the_border_between_domain_and_message_is_signed(self) -> None:
        assert not verify(KEY.public, "order", b"s: ten", KEY.sign("orders", b": ten"))

    def test_every_flipped_bit_is_noticed(self) -> None:
        message = b"twelve bytes"
        signature = KEY.sign("bid", message)
        assert not any(verify(KEY.public, "bid", message, flipped) for flipped in flips(signature))
        assert not any(verify(KEY.public, "bid", flipped, signature) for flipped in flips(message))
        assert not any(verify(flipped, "bid", message, signature) for flipped in flips(KEY.public))

    def test_a_signature_cannot_be_rewritten_into_another(self) -> None:
        signature = KEY.sign("bid", b"message")
        s = int.from_bytes(signature[32:], "little") + ORDER
        assert not verify(KEY.public, "bid", b"message", signature[:32] + s.to_bytes(32, "little"))

    @given(st.binary(max_size=40), st.binary(max_size=80))
    def test_malformed_keys_and_signatures_are_just_wrong(self, public: bytes, signature: bytes) -> None:
        assert not verify(public, "bid", b"message", signature)
        assert not verify(KEY.public, "bid", b"message", signature)


def recover_x(y: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    return x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    k = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P)
    return x % P, y % P


def small_order_points() -> list[tuple[int, int]]:
    """The eight points of order 1, 2, 4 and 8: multiples of a curve point by the order of the base point."""
    y = 2
    while True:
        y += 1
        x = recover_x(y)
        if (-x * x + y * y - 1 - D * x * x * y * y) % P:
            continue
        multiple, doubled = (0, 1), (x, y)
        for bit in range(ORDER.bit_length()):
            multiple = add(multiple, doubled) if ORDER >> bit & 1 else multiple
            doubled = add(doubled, doubled)
        points = [(0, 1)]
        while (following := add(points[-1], multiple)) != points[0]:
            points.append(following)
        if len(points) == 8:
            return points


class TestSmallOrderKeys:
    """Under such a key the signature (identity, 0) is good for at least one message in eight, whoever made it."""

    forgery = (1).to_bytes(32, "little") + bytes(32)

    @pytest.mark.parametrize("point", small_order_points())
    def test_the_library_accepts_them_and_we_do_not(self, point: tuple[int, int]) -> None:
        x, y = point
        public = (y | (x & 1) << 255).to_bytes(32, "little")
        accepted = 0
        for number in range(64):
            message = f"message {number}".encode()
            with suppress(InvalidSignature):
                Ed25519PublicKey.from_public_bytes(public).verify(
                    self.forgery, prefixed(b"parley/signature/1", b"order") + message
                )
                accepted += 1
            assert not verify(public, "order", message, self.forgery)
        assert accepted > 1

    @pytest.mark.parametrize("y", [P, P + 1, P + 18])
    def test_keys_written_in_another_way_are_refused(self, y: int) -> None:
        for sign in (0, 1):
            assert not verify((y | sign << 255).to_bytes(32, "little"), "order", b"message", self.forgery)


class TestFieldsAddedLater:
    """A field that a later release added changes nothing that was hashed or signed before, unless it is used."""

    def test_at_its_default_it_is_not_in_the_canonical_bytes(self) -> None:
        class Old(ProtocolMessage):
            @classmethod
            def kind(cls) -> str:
                return "Wish"

            budget: int

        class New(Old):
            later = frozenset({"most", "shy"})

            most: int | None = None
            shy: bool = False

        assert canonical(New(budget=3)) == canonical(Old(budget=3))
        forms = {canonical(New(budget=3, most=most, shy=shy)) for most in (None, 0, 1) for shy in (False, True)}
        assert len(forms) == 6
