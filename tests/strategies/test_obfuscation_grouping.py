"""Who is mixed with whom in an epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from strategies.obfuscation import group
from strategies.privacy.stream import Stream


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 3), st.booleans(), st.booleans(), st.integers()
)
def test_grouping(drawn: list[int], images: int, intra_class: bool, repeat: bool, seed: int) -> None:
    labels = torch.tensor(drawn)
    stream = Stream((seed % 2**256).to_bytes(32))
    sizes = torch.bincount(labels)[labels.unique()] if intra_class else torch.tensor([len(labels)])
    if sizes.min() < images:
        with pytest.raises(ValueError, match=f"a mixture takes {images} different ones"):
            group(labels, images, stream, intra_class=intra_class, repeat=repeat)
        return
    groups = group(labels, images, stream, intra_class=intra_class, repeat=repeat)
    uses = torch.bincount(groups.flatten(), minlength=len(labels))
    if repeat:
        assert all(sorted(role) == list(range(len(labels))) for role in groups.T.tolist())
    else:
        assert uses.max() == 1
        assert (uses == 0).sum() == (sizes % images).sum()
    assert all(len(set(members)) == images for members in groups.tolist())
    if intra_class:
        assert (labels[groups] == labels[groups[:, :1]]).all()


def test_every_pair_is_equally_likely() -> None:
    stream = Stream(bytes(32))
    for repeat in (False, True):
        firsts = torch.stack([group(torch.zeros(6), 2, stream, repeat=repeat)[0] for _ in range(3000)])
        table = np.zeros((6, 6))
        np.add.at(table, tuple(firsts.T.numpy()), 1)
        assert stats.chisquare(table[~np.eye(6, dtype=bool)]).pvalue > 1e-4
