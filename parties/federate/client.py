"""A client of federated learning: a phone or an institution that trains on its own pictures."""

import hashlib
import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import Mod
from numpy.typing import NDArray

from parties.party import PartyApp, step
from parties.secure_sum.adding import AddingParty
from parties.secure_sum.summand import BadSummand
from protocol.encoding.canonical import canonical, digest
from protocol.encoding.codec import read_array
from protocol.messages.federate import TrainCall
from protocol.messages.secure_sum import AddCall, MaskedValues, Round
from strategies.learning.group_normalised import GroupNormalisedClassifier, inputs_of, new_group_normalised
from strategies.learning.local import LocalTraining, train_locally
from strategies.learning.private import PrivateTraining, train_privately
from strategies.learning.weights import Weights, from_row, to_row, weights
from strategies.privacy.distributed_noise import DistributedNoise
from strategies.privacy.secret_generator import seeded_generator
from strategies.privacy.secure_sum import Masked
from strategies.privacy.stream import Stream

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
"""Names of the records that Flower's strategies send and expect."""
SETTINGS = (
    "epochs",
    "batch",
    "learning-rate",
    "proximal-mu",
    "sigma",
    "sampling-rate",
    "steps",
    "clipping",
    "per-person",
    "head-only",
    "pictures",
    "server-round",
)
"""Settings of a round of training."""
HIDDEN = SUM_CLIPPING, SUM_SIGMA, SUM_CLIENTS = "sum-clipping", "sum-sigma", "sum-clients"
"""Settings of a sum that hides whole clients: the norm of an update, the noise of each client in each number, and the
number of clients whose noise has to be in it."""


class Client(AddingParty):
    """A party that trains.

    It answers Flower's own ``train``, so that any of Flower's strategies can lead it; or, in four steps, it adds its
    update to a secure sum.

    Args:
        secret: 32 bytes.
        pictures: (n, height, width, 3); its own, at least one.
        labels: (n,); what they show, from 0.
        persons: (n,), whom they show; None: each another person.
    """

    role = "client"

    def __init__(
        self,
        secret: bytes,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64],
        classes: int,
        persons: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(secret)
        self.pictures = pictures
        self.labels = labels
        self.classes = classes
        self.persons = np.arange(len(labels)) if persons is None else persons

    def client_app(self, mods: list[Mod] | None = None) -> "ClientPartyApp":
        """Compile the party into a Flower app that answers ``train``, too."""
        return ClientPartyApp(self, mods or [])

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Return a model after training on this client's pictures.

        What is drawn depends on the round, and not on the training's name: two trainings draw alike, so that a sum of
        updates and their mean come to the same.

        Raises:
            ValueError: When the model is not one of this network, or a setting is unknown or out of range.
        """
        for name in config:
            if name not in SETTINGS:
                raise ValueError(f"a round of training has no setting {name}; its settings are {', '.join(SETTINGS)}")
        network = self.network()
        network.load_state_dict(model)
        if config.get("head-only"):
            network.convolutions.requires_grad_(False)
        most = int(config.get("pictures", len(self.labels)))
        labels = torch.from_numpy(np.array(self.examples()[1][:most]))
        inputs = inputs_of(self.examples()[0][:most])
        if config.get("sigma", 0) > 0:
            persons = torch.from_numpy(np.array(self.persons[:most]))
            noise = self.noise(model, config)
            return weights(train_privately(network, inputs, labels, _private(config), noise, persons=persons))
        generator = seeded_generator(self.derive("train", str(int(config.get("server-round", 0)))))
        return weights(train_locally(network, inputs, labels, _local(config), generator))

    def noise(self, model: Weights, config: Mapping[str, float]) -> Stream:
        """Return the stream of a private training: the same for the same model, settings and pictures.

        So there is one answer to a question, whatever its name, and no two answers share their noise.
        """
        own = (part.tobytes() for part in (*self.examples(), self.persons))
        return Stream(self.derive("train privately", *question(model, config), *own))

    def examples(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the pictures and labels that it trains on."""
        return self.pictures, self.labels

    def network(self) -> GroupNormalisedClassifier:
        """Return a network of the common architecture."""
        return new_group_normalised(self.classes, torch.Generator())

    @step("add")
    def add(self, call: TrainCall) -> MaskedValues:
        """Train, and send the update behind masks."""
        return self.behind_masks(call, lambda: self.summand(call))

    def needed(self, call: AddCall) -> int:
        """Return how many clients have to be in a sum: as many as hide one of them together."""
        told = {each.name: each.value for each in call.settings} if isinstance(call, TrainCall) else {}
        return max(self.fewest, math.ceil(told.get(SUM_CLIENTS, 0.0)))

    def called_for(self, call: TrainCall) -> tuple[Weights, dict[str, float]]:
        """Return the model and the settings of a call."""
        model = from_row(torch.from_numpy(np.array(call.model)), weights(self.network()))
        return model, {each.name: each.value for each in call.settings if each.name not in HIDDEN}

    def summand(self, call: TrainCall) -> NDArray[np.float64]:
        """Train, and return the number of pictures and then the update times that number.

        Of a sum that hides whole clients, the update alone: how many pictures there are is hidden, too.
        """
        hidden = noise_of(call) is not None
        model, config = self.called_for(call)
        learnt = self.learn(model, config, call.round.training)
        update = (to_row(learnt) - to_row(model)).double().numpy()
        if hidden:
            return update
        weight = len(self.examples()[1])
        return np.concatenate([[weight], weight * update])

    def integers(self, call: AddCall, values: NDArray[np.float64]) -> Masked:
        """Return a summand as integers; of a sum that hides whole clients clipped, and with this client's noise.

        The noise is of this question alone, whoever takes part included, so that no two sums share it.
        """
        noise = noise_of(call) if isinstance(call, TrainCall) else None
        if noise is None:
            return super().integers(call, values)
        if not np.isfinite(values).all():
            raise BadSummand("an update holds a number that is none")
        stream = Stream(self.derive("noise of a sum", digest(call)))
        return noise.encode(values, rotation_of(call.round), stream).view(np.uint64)


class ClientPartyApp(PartyApp):
    """A client as a Flower app.

    Args:
        mods: Mods inside the party's own.
    """

    def __init__(self, party: Client, mods: list[Mod]) -> None:
        super().__init__(party, mods)

        @self.train(mods=[*party.mods, *mods])
        def train(message: Message, context: Context) -> Message:
            party.attend(context)
            model, settings, training = read_round(party, message.content)
            party.goes(Round(training=training, number=int(settings.get("server-round", 0))), "in the open")
            learnt = party.learn(model, settings, training)
            metrics = MetricRecord({"num-examples": _weight(party, settings)})
            arrays = ArrayRecord({name: Array(value.numpy()) for name, value in learnt.items()})
            return Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=message)

    def __reduce__(self) -> tuple[object, ...]:
        return ClientPartyApp, (self.party, self._inner_mods)


def noise_of(call: TrainCall) -> DistributedNoise | None:
    """Return the noise that a sum asks for, None where it asks for none; ValueError when it is no noise."""
    told = {each.name: each.value for each in call.settings if each.name in HIDDEN}
    if not told:
        return None
    return DistributedNoise(len(call.model), told.get(SUM_CLIPPING, 0.0), told.get(SUM_SIGMA, 0.0))


def rotation_of(round: Round) -> bytes:
    """Return what decides the rotation of a sum; everybody knows it."""
    return hashlib.sha256(b"parley/rotation/1\0" + canonical(round)).digest()


def question(model: Weights, config: Mapping[str, float]) -> list[str | bytes]:
    """Return all that a private training depends on, beside the client's secret and its pictures."""
    settings = sorted((name, value) for name, value in config.items() if name != "server-round")
    return [repr(settings), *(part for name, value in model.items() for part in (name, value.numpy().tobytes()))]


def read_round(party: Client, content: RecordDict) -> tuple[Weights, dict[str, float], str]:
    """Return the model, the settings and the training's name of a round that one of Flower's strategies asks for."""
    model = _read_model(content, weights(party.network()))
    config = content[CONFIG]
    if not isinstance(config, ConfigRecord):
        raise ValueError("a round of training comes with its settings")
    settings = {name: float(cast(float, value)) for name, value in config.items() if name != "training"}
    return model, settings, str(config.get("training", ""))


def _weight(party: Client, settings: Mapping[str, float]) -> int:
    return min(len(party.examples()[1]), int(settings.get("pictures", 2**31)))


def _read_model(content: RecordDict, like: Weights) -> Weights:
    """Read a model without trusting the headers of its arrays."""
    record = content[ARRAYS]
    if not isinstance(record, ArrayRecord) or list(record) != list(like):
        raise ValueError(f"a model has the parameters {', '.join(like)}")
    model = {}
    for name, value in like.items():
        array = read_array(record[name])
        if array.shape != tuple(value.shape) or array.dtype.kind != "f":
            raise ValueError(f"{name} is {tuple(value.shape)} of floats, not {array.shape} of {array.dtype}")
        model[name] = torch.from_numpy(np.array(array, dtype=np.float32))
    return model


def _private(config: Mapping[str, float]) -> PrivateTraining:
    return PrivateTraining(
        sigma=config["sigma"],
        sampling_rate=config["sampling-rate"],
        steps=int(config["steps"]),
        clipping=config["clipping"],
        learning_rate=config["learning-rate"],
        per_person=int(config["per-person"]) if "per-person" in config else None,
    )


def _local(config: Mapping[str, float]) -> LocalTraining:
    return LocalTraining(
        epochs=int(config["epochs"]),
        batch=int(config["batch"]),
        learning_rate=config["learning-rate"],
        proximal_mu=config.get("proximal-mu", 0.0),
    )
