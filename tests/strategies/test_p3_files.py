"""P3 on JPEG files: parts are files, joined they have the file's coefficients, and the public one shows little."""

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity

from simulations.data.faces import draw
from strategies.dp_images import P3JPEG
from strategies.dp_images.attacks import restorer
from strategies.dp_images.p3_files import coefficients, decoded, encoded, join_file, split_file
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream

FACES = draw(np.arange(170), 64, torch.Generator().manual_seed(1)).images


def photo(picture: np.ndarray, quality: int = 90, subsampling: int = 2, **more: object) -> bytes:
    """A file as cameras write it: colours at half the size."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", quality=quality, subsampling=subsampling, **more)
    return stream.getvalue()


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(structural_similarity(one, other, channel_axis=2))


@given(st.integers(1, 40), st.integers(1, 100), st.sampled_from([0, 1, 2]), st.integers(0, 2**32), st.booleans())
def test_joined_parts_have_the_coefficients_of_the_file(
    threshold: int, quality: int, subsampling: int, seed: int, grey: bool
) -> None:
    shape = (20, 36) if grey else (20, 36, 3)
    picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    content = photo(picture, quality, subsampling)
    public, secret = split_file(content, threshold)
    joined, wanted = coefficients(join_file(public, secret, threshold)), coefficients(content)
    assert set(joined) == ({"Y"} if grey else {"Y", "Cb", "Cr"})
    assert all(np.array_equal(joined[name], wanted[name]) for name in wanted)
    for blocks in coefficients(public).values():
        assert np.abs(blocks).max() <= threshold
        assert not blocks[:, :, 0, 0].any()


def test_the_public_file_hides_and_is_restored_in_part() -> None:
    """Ridge regression on public pictures undoes part of it: what strangers see is no protection."""
    mechanism, pictures = P3JPEG(threshold=10), to_tensor(FACES).contiguous()
    published = mechanism.publish(pictures, Stream(bytes(32)))
    restored = to_pictures(restorer(mechanism, pictures[:150])(published[150:]))
    before = np.mean([alike(one, other) for one, other in zip(to_pictures(published[150:]), FACES[150:], strict=True)])
    after = np.mean([alike(one, other) for one, other in zip(restored, FACES[150:], strict=True)])
    assert before < 0.6
    assert after > before + 0.08


def test_parts_say_nothing_beside_the_picture_and_are_small() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera of somebody"
    content = photo(FACES[0], exif=exif.tobytes())
    assert b"somebody" in content
    public, secret = split_file(content, 15)
    assert b"somebody" not in public + secret
    assert len(public) + len(secret) < 2.5 * len(content)
    assert decoded(public).shape == FACES[0].shape
    assert alike(decoded(join_file(public, secret, 15)), decoded(content)) > 0.999


def test_the_sealed_part_is_the_secret_files() -> None:
    mechanism = P3JPEG()
    _, secret = split_file(encoded(FACES[0], 90), 15)
    wanted = np.concatenate([blocks.ravel() for blocks in coefficients(secret).values()])
    assert np.array_equal(mechanism.secret(FACES[0]), wanted)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 no picture", b"GIF89a"])
def test_what_is_no_jpeg_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="this is no JPEG file"):
        split_file(content, 10)


def test_other_files_settings_and_parts_are_refused() -> None:
    stream = BytesIO()
    Image.fromarray(FACES[0]).save(stream, "png")
    with pytest.raises(ValueError, match="this is PNG in RGB"):
        split_file(stream.getvalue(), 10)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        split_file(photo(FACES[0]), 0)
    public, _ = split_file(photo(FACES[0]), 10)
    _, secret = split_file(photo(FACES[0][:32]), 10)
    with pytest.raises(ValueError, match="differ in size"):
        join_file(public, secret, 10)
    with pytest.raises(ValueError, match="1 to 100, not 0"):
        P3JPEG(quality=0)
