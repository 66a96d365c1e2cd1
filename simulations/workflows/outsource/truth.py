"""What is behind the mixtures that an owner sent, and what attackers know of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parties.outsource.owner import Owner
from simulations.runs.seeding import secret
from simulations.workflows.outsource.attacks import PublicKnowledge
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.tradeoff import Labels
from simulations.workflows.outsource.world import Labelled, OutsourceWorld
from strategies.pixels import to_tensor


@dataclass(frozen=True)
class Truth:
    """What is behind the mixtures of one owner's last epoch.

    Attributes:
        groups: (m, k) int64; positions of the images in each mixture, the one that contributes most first.
        images: (n, 3, side, side) uint8, all of the owner's.
        held: The same with what they show.
    """

    groups: Tensor
    images: Tensor
    held: Labelled

    def shows(self, role: int) -> Labels:
        """Return the class of the image in a role of each mixture, 0 for the one that contributes most."""
        classes: Labels = self.held.classes[self.groups[:, role].numpy()]
        return classes


def truth_of(owner: Owner, held: Labelled, epoch: int) -> Truth:
    """Look behind the mixtures of an epoch."""
    mixtures, groups = owner.mixtures, owner.mixtures.groups(epoch)
    parts = [mixtures.obfuscated(epoch, number) for number in range(-(-len(groups) // mixtures.part))]
    weights, labels = torch.cat([part.weights for part in parts]), torch.cat([part.labels for part in parts])
    if labels.ndim == 2:
        labels = labels.argmax(1)
    # Of equal weights, the image that the published label is of counts as the one that contributes most.
    labelled = torch.from_numpy(held.tasks)[groups] == labels[:, None]
    ranked = (weights + 1e-4 * labelled).argsort(dim=1, descending=True, stable=True)
    return Truth(groups.gather(1, ranked), to_tensor(held.pictures).contiguous(), held)


def public_knowledge(scenario: OutsourceScenario, world: OutsourceWorld) -> PublicKnowledge:
    """Return what the scenario's attackers have beside the view, as long as no original has leaked."""
    public, assignment = world.public, world.assignment
    images = to_tensor(public.pictures).contiguous()
    return PublicKnowledge(
        setting=assignment.obfuscation,
        intra_class=assignment.intra_class,
        repeat=assignment.repeat,
        images=images,
        classes=torch.from_numpy(public.classes),
        tasks=torch.from_numpy(public.tasks),
        task_of=torch.from_numpy(world.task_of),
        known=torch.zeros(0, dtype=torch.int64),
        originals=images[:0],
        seed=int.from_bytes(secret(scenario.seed, "attackers")[:4]),
    )


def with_leaks(public: PublicKnowledge, truth: Truth, pairs: int) -> PublicKnowledge:
    """Add the originals of the last mixtures: those that leaked."""
    count = len(truth.groups)
    known = torch.arange(count - min(pairs, count // 2), count)
    return replace(public, known=known, originals=truth.images[truth.groups[known, 0]])
