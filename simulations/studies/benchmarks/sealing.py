"""The time to seal and open an image of 200 kB, compared with the necessary primitives."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from statistics import median
from time import perf_counter

import numpy as np
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.crypto.commitments import commit_feature, commit_image
from protocol.crypto.sealing import Opening, new_delivery_key, open_sealed, seal
from protocol.crypto.signing import SigningKey, verify
from protocol.encoding.canonical import canonical
from protocol.messages.purchase import Receipt
from simulations.studies.benchmarks.measurement import Measurement

ROUNDS = 300


def measure() -> list[Measurement]:
    """Time all that a seller and a buyer do to an image of 256 x 260 pixels, 199,680 bytes.

    Sealing makes both commitments, the blob, its hash for the receipt and the receipt's signature; opening
    checks each of them. Each needs two passes of SHA-256 over the image: one for the
    commitment, over the plaintext, and one for the receipt, over the ciphertext that the cloud sees.

    All are timed in turns, in one thread; the numbers are medians.
    """
    times = _medians({**_handling("x25519"), **_handling("mlkem768-x25519"), **_primitives()})
    bare_sealing = times["SHA-256"] * 2 + times["AES-GCM seal"] + times["HPKE seal"] + times["Ed25519 sign"]
    bare_opening = times["SHA-256"] * 2 + times["AES-GCM open"] + times["HPKE open"] + times["Ed25519 verify"]
    return [
        Measurement("sealing 200 kB", 1e3 * times["x25519 seal"], "ms", below=1.0),
        Measurement("sealing 200 kB, over its bare primitives", times["x25519 seal"] / bare_sealing, "x", below=1.5),
        Measurement("opening 200 kB", 1e3 * times["x25519 open"], "ms", below=1.0),
        Measurement("opening 200 kB, over its bare primitives", times["x25519 open"] / bare_opening, "x", below=1.5),
        Measurement("sealing 200 kB, post-quantum hybrid", 1e3 * times["mlkem768-x25519 seal"], "ms", below=1.0),
        Measurement("opening 200 kB, post-quantum hybrid", 1e3 * times["mlkem768-x25519 open"], "ms", below=1.0),
    ]


def _handling(suite: str) -> dict[str, Callable[[], object]]:
    key, seller = new_delivery_key(suite), SigningKey.derive(bytes(32), "pseudonym")
    image = np.random.default_rng(1).integers(0, 256, (256, 260, 3), dtype=np.uint8)
    opening = Opening(bytes(16), bytes(range(16)), (30_000, 40_000), image)
    order = sha256(b"order").digest()

    def sell() -> tuple[bytes, bytes, bytes, Receipt, bytes]:
        image_commitment = commit_image(opening.image_salt, opening.image)
        feature_commitment = commit_feature(opening.feature_salt, opening.feature, "model")
        blob = seal(opening, key.public, order, suite)
        receipt = Receipt(order=order, blob=sha256(blob).digest(), length=len(blob))
        return image_commitment, feature_commitment, blob, receipt, seller.sign("receipt", canonical(receipt))

    image_commitment, feature_commitment, blob, receipt, signature = sell()

    def buy() -> None:
        assert sha256(blob).digest() == receipt.blob
        assert verify(seller.public, "receipt", canonical(receipt), signature)
        opened = open_sealed(blob, key.private, order, suite)
        assert commit_image(opened.image_salt, opened.image) == image_commitment
        assert commit_feature(opened.feature_salt, opened.feature, "model") == feature_commitment

    return {f"{suite} seal": sell, f"{suite} open": buy}


def _primitives() -> dict[str, Callable[[], object]]:
    data, nonce, message = np.random.default_rng(2).bytes(199_680), bytes(12), bytes(100)
    cipher = AESGCM(bytes(32))
    ciphertext = cipher.encrypt(nonce, data, message)
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    receiver = X25519PrivateKey.generate()
    receiver_public = receiver.public_key()
    wrap = suite.encrypt(bytes(32), receiver_public, message)
    signer = Ed25519PrivateKey.generate()
    signer_public = signer.public_key()
    signature = signer.sign(message)
    return {
        "SHA-256": lambda: sha256(data).digest(),
        "AES-GCM seal": lambda: cipher.encrypt(nonce, data, message),
        "AES-GCM open": lambda: cipher.decrypt(nonce, ciphertext, message),
        "HPKE seal": lambda: suite.encrypt(bytes(32), receiver_public, message),
        "HPKE open": lambda: suite.decrypt(wrap, receiver, message),
        "Ed25519 sign": lambda: signer.sign(message),
        "Ed25519 verify": lambda: signer_public.verify(signature, message),
    }


def _medians(operations: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each operation, timed in turns so that load affects all alike."""
    times: dict[str, list[float]] = {name: [] for name in operations}
    for _ in range(ROUNDS):
        for name, operation in operations.items():
            start = perf_counter()
            operation()
            times[name].append(perf_counter() - start)
    return {name: median(values) for name, values in times.items()}
