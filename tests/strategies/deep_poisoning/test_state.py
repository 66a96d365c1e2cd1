from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from strategies.deep_poisoning.module import new_module
from strategies.learning.weights import fingerprint, restore, saved, weights


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_weights_and_unfinished_training_pass_through_safetensors(tmp_path: Path) -> None:
    module, other = new_module(8, generator()), new_module(8, generator(2))
    optimiser = torch.optim.AdamW(module.parameters())
    module(torch.rand(2, 8, 4, 4)).sum().backward()
    optimiser.step()
    save_file(weights(module), tmp_path / "module.safetensors")
    restore(other, load_file(tmp_path / "module.safetensors"))
    assert fingerprint(module) == fingerprint(other)
    state = saved(module, optimiser, generator(3), 4)
    save_file(state, tmp_path / "state.safetensors")
    for name, value in load_file(tmp_path / "state.safetensors").items():
        assert torch.equal(value, state[name]), name


def test_a_fingerprint_changes_with_any_weight() -> None:
    module = new_module(8, generator())
    before = fingerprint(module)
    with torch.no_grad():
        next(module.parameters())[0, 0] += 1e-6
    assert fingerprint(module) != before


def test_weights_that_do_not_fit_are_refused() -> None:
    module = new_module(8, generator())
    good = weights(module)
    name = next(iter(good))
    with pytest.raises(ValueError, match=f"another architecture: 1 names differ, the first is '{name}'"):
        restore(module, {key: value for key, value in good.items() if key != name})
    with pytest.raises(ValueError, match=r"has shape \(4, 8, 1, 1\), and \(8, 16, 1, 1\) is needed"):
        restore(new_module(16, generator()), good)
    with pytest.raises(ValueError, match="not finite"):
        restore(module, {**good, name: torch.full_like(good[name], float("nan"))})
