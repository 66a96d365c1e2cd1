import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from strategies.features.featurizer import (
    Autoencoder,
    Calibration,
    Featurizer,
    Pixels,
    SmallNet,
    prepare,
)
from strategies.pixels import network_inputs

CLASSES = 30


def modules(seed: int = 0) -> tuple[SmallNet, Autoencoder]:
    torch.manual_seed(seed)
    network, autoencoder = SmallNet(CLASSES), Autoencoder(CLASSES, 16)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network, autoencoder


def calibration(scale: float = 5000.0, offset: tuple[float, float] = (32768.0, 32768.0)) -> Calibration:
    return Calibration(radius=4000, reach=300, signature_size=4, scale=scale, offset=offset, tolerance=10)


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return Featurizer(*modules(), calibration())


def noise(count: int, seed: int = 0, height: int = 64, width: int = 64) -> list[Pixels]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


class TestPrepare:
    def test_a_picture_of_the_right_size_stays_as_it_is(self) -> None:
        picture = noise(1)[0]
        assert np.array_equal(prepare(picture), picture)

    @given(st.integers(1, 200), st.integers(1, 200))
    @settings(max_examples=40, deadline=None)
    def test_any_size_becomes_64_and_preparing_again_changes_nothing(self, height: int, width: int) -> None:
        once = prepare(noise(1, 0, height, width)[0])
        assert once.shape == (64, 64, 3)
        assert once.dtype == np.uint8
        assert np.array_equal(prepare(once), once)

    def test_the_central_square_is_what_counts(self) -> None:
        wide = np.zeros((100, 300, 3), dtype=np.uint8)
        wide[:, 100:200] = noise(1, 1, 100, 100)[0]
        assert np.array_equal(prepare(wide), prepare(np.ascontiguousarray(wide[:, 100:200])))

    def test_shrinking_is_antialiased(self) -> None:
        stripes = np.zeros((640, 640, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        assert prepare(stripes).std() < 2

    @pytest.mark.parametrize(
        "picture",
        [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
    )
    def test_what_is_no_picture_is_refused(self, picture: np.ndarray, featurizer: Featurizer) -> None:
        with pytest.raises(ValueError, match="must be uint8 of shape"):
            featurizer.features([picture])

    def test_inputs_range_from_minus_one_to_one(self) -> None:
        black_and_white = [np.full((64, 64, 3), level, np.uint8) for level in (0, 255)]
        inputs = network_inputs(black_and_white)
        assert inputs.shape == (2, 3, 64, 64)
        assert [inputs[0].unique().item(), inputs[1].unique().item()] == [-1.0, 1.0]


class TestModules:
    def test_autoencoder_is_the_paper_s(self) -> None:
        """Section IV.D: three fully connected layers and two softplus, mirrored."""
        autoencoder = Autoencoder(30, 16)
        shapes = [
            [(layer.in_features, layer.out_features) for layer in half if isinstance(layer, nn.Linear)]
            for half in (autoencoder.encoder, autoencoder.decoder)
        ]
        assert shapes == [[(30, 16), (16, 16), (16, 2)], [(2, 16), (16, 16), (16, 30)]]
        for half in (autoencoder.encoder, autoencoder.decoder):
            assert sum(isinstance(layer, nn.Softplus) for layer in half) == 2

    def test_autoencoder_standardises_and_restores(self) -> None:
        _, autoencoder = modules()
        fc8 = torch.randn(10, CLASSES)
        plain = autoencoder.encode(fc8), autoencoder.decode(autoencoder.encode(fc8))
        autoencoder.mean, autoencoder.deviation = torch.full((CLASSES,), 3.0), torch.full((CLASSES,), 2.0)
        assert torch.allclose(autoencoder.encode(fc8 * 2 + 3), plain[0], atol=1e-5)
        assert torch.allclose(autoencoder.decode(plain[0]), plain[1] * 2 + 3, atol=1e-5)


class TestFeaturizer:
    def test_features_are_scaled_shifted_and_rounded_codes(self, featurizer: Featurizer) -> None:
        images = noise(20)
        network, autoencoder = modules()
        with torch.inference_mode():
            codes = autoencoder.encode(network(network_inputs(images))).double().numpy()
        points = featurizer.features(images)
        assert points.dtype == np.int64
        assert np.abs(points - (32768 + 5000 * codes)).max() < 0.6
        assert len(np.unique(points, axis=0)) == 20

    @given(st.permutations(range(37)), st.integers(1, 37))
    @settings(max_examples=15, deadline=None)
    def test_a_feature_depends_on_nothing_but_its_picture(self, order: list[int], size: int) -> None:
        featurizer = Featurizer(*modules(), calibration(scale=1e9))  # every bit of a code shows
        images = [*noise(30), *noise(7, 1, 32, 48)]
        together = featurizer.features(images)
        chosen = order[:size]
        assert np.array_equal(featurizer.features([images[index] for index in chosen]), together[chosen])

    def test_prepared_pictures_have_the_same_features(self, featurizer: Featurizer) -> None:
        images = noise(5, 2, 120, 90)
        assert np.array_equal(featurizer.features(images), featurizer.features(map(featurizer.prepare, images)))

    def test_pictures_are_taken_as_they_come(self, featurizer: Featurizer) -> None:
        images = noise(40)
        assert np.array_equal(featurizer.features(image for image in images), featurizer.features(np.stack(images)))

    def test_no_pictures(self, featurizer: Featurizer) -> None:
        assert featurizer.features([]).shape == (0, 2)

    def test_read_only_and_strided_pictures_work(self, featurizer: Featurizer) -> None:
        picture = np.asarray(Image.fromarray(noise(1)[0]))
        mirrored = picture[:, ::-1]
        assert np.array_equal(featurizer.features([mirrored]), featurizer.features([mirrored.copy()]))

    def test_global_state_is_left_alone(self, featurizer: Featurizer) -> None:
        before = torch.get_num_threads(), torch.get_rng_state()
        featurizer.features(noise(3))
        assert torch.get_num_threads() == before[0]
        assert torch.equal(torch.get_rng_state(), before[1])
        assert not torch.is_inference_mode_enabled()

    def test_decode_undoes_the_lattice(self, featurizer: Featurizer) -> None:
        images = noise(10)
        with torch.inference_mode():
            expected = featurizer.autoencoder.decode(torch.from_numpy(featurizer.codes(images)))
        decoded = featurizer.decode(featurizer.features(images))
        assert decoded.shape == (10, CLASSES)
        assert np.abs(decoded - expected.numpy()).max() < 1e-3


class TestModelId:
    def test_equal_models_have_equal_identities(self) -> None:
        first, second = Featurizer(*modules(), calibration()), Featurizer(*modules(), calibration())
        assert first.model_id == second.model_id
        assert len(bytes.fromhex(first.model_id)) == 32

    def test_whatever_changes_features_changes_the_identity(self) -> None:
        network, autoencoder = modules()
        nudged = modules()
        with torch.no_grad():
            nudged[1].decoder[0].bias[0] += 1e-3
        others = [
            Featurizer(*modules(1), calibration()),
            Featurizer(*nudged, calibration()),
            Featurizer(network, autoencoder, calibration(scale=5001.0)),
            Featurizer(network, autoencoder, calibration(offset=(32768.0, 32767.0))),
        ]
        identities = {Featurizer(network, autoencoder, calibration()).model_id, *(other.model_id for other in others)}
        assert len(identities) == 5
