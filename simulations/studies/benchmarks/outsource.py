"""The cost of an epoch of the paper's size: 22,800 images at 256x256, streamed from an owner to a training service.

Owner and service are separate processes on this machine, under mutual TLS.
"""

import resource
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch
from PIL import Image

from deploy.processes import ProcessesGrid
from parties.album import FolderImages, Pixels, read_folder
from parties.outsource.mixtures import Assignment
from parties.outsource.owner import Owner
from parties.outsource.service import TrainingService
from parties.outsource.workflow import Outsource
from protocol.compute.workshop import LocalWorkshop
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.storage.vault import Vault
from simulations.data import pets
from simulations.studies.benchmarks.measurement import Measurement
from simulations.studies.benchmarks.memory import peak_memory
from strategies.obfuscation import Obfuscation

IMAGES, SIDE, TESTED = 22_800, 256, 200
FILES = 400
"""Different photos, each several times in the set, as measurements do not depend on what they show."""


class Repeated:
    """The photos of a folder, repeated."""

    def __init__(self, photos: FolderImages, count: int) -> None:
        self._photos, self._count = photos, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Pixels:
        return self._photos[index % len(self._photos)]


def measure(images: int = IMAGES) -> list[Measurement]:
    """Stream one epoch and train on it; measure the peak memory of both processes."""
    with TemporaryDirectory() as folder:
        _write_photos(Path(folder) / "photos")
        ours, theirs = get_context("spawn").Pipe()
        service = get_context("spawn").Process(target=_serve, args=(theirs, folder, images))
        service.start()
        theirs.close()
        try:
            owner_mb, service_mb, seconds, busy, pictures = ours.recv()
        finally:
            service.join()
    per_picture = f"one epoch: {images:,} images of {SIDE}x{SIDE} as {pictures:,} mixtures"
    return [
        Measurement(f"{per_picture}; the owner's memory", owner_mb, "MB", below=2_000.0),
        Measurement(f"{per_picture}; the service's memory", service_mb, "MB", below=2_000.0),
        Measurement("the epoch takes, training included", seconds, "s"),
        Measurement("of which the service's processor time is", busy, "s"),
    ]


def _write_photos(folder: Path) -> None:
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    for number, picture in enumerate(pets.draw(np.arange(FILES) % len(pets.BREEDS), SIDE, generator)):
        Image.fromarray(picture).save(folder / f"{number:04d}.jpg", quality=90)


def _serve(pipe: Connection, folder: str, images: int) -> None:
    """Run the service; this process starts the owner's."""
    torch.set_num_threads(1)
    album = Repeated(read_folder(Path(folder) / "photos"), images)
    labels = np.arange(images) % len(pets.BREEDS) // (len(pets.BREEDS) // 2)
    wanted = Assignment(("cat", "dog"), Obfuscation("noise-mix"), side=SIDE, epochs=1)
    tests = Repeated(read_folder(Path(folder) / "photos"), TESTED)
    owner = Owner(bytes(32), album, labels, wanted, tests, labels[:TESTED])
    vault = Vault(str(Path(folder) / "vault"))
    start, before = perf_counter(), process_time()
    with ProcessesGrid([owner.client_app()], vault, 1) as grid, LocalWorkshop() as workshop, task_identity(1):
        record = Outsource(TrainingService(bytes(32), workshop), Exchange(grid)).run()
        seconds, busy = perf_counter() - start, process_time() - before
    if record.failures:
        raise RuntimeError(f"the owner failed: {record.failures}")
    pipe.send((peak_memory(resource.RUSAGE_CHILDREN), peak_memory(), seconds, busy, record.pictures))
