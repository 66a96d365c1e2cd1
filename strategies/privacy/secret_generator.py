"""Torch generators that a secret decides."""

import numpy as np
import torch

_HEADER, _WORDS, _CONTINUED = 24, 624, slice(8, 24)


def secret_generator(secret: bytes) -> torch.Generator:
    """Return a generator on the CPU whose whole state follows from a secret.

    ``manual_seed`` keeps 32 bits of a seed: who sees what was drawn could try them all. Here all 624 words of the
    Mersenne Twister's state are drawn from the secret. It is no cipher even so: from many numbers that are drawn
    without loss, later ones of the same generator follow, so that each purpose has a secret of its own.

    Args:
        secret: 32 bytes.

    Examples:
        >>> first, again, other = (secret_generator(bytes([number] * 32)) for number in (1, 1, 2))
        >>> drawn = [torch.rand(3, generator=generator).tolist() for generator in (first, again, other)]
        >>> drawn[0] == drawn[1], drawn[0] == drawn[2]
        (True, False)
    """
    generator = torch.Generator()
    state = generator.get_state().numpy()
    words = np.random.MT19937(np.random.SeedSequence(int.from_bytes(secret))).state["state"]["key"]
    state[_HEADER : _HEADER + 8 * _WORDS].view(np.uint64)[:] = words
    state[_CONTINUED].view(np.int64)[:] = [1 | 1 << 32, 0]  # one draw until the next block of words, seeded; at word 0
    generator.set_state(torch.from_numpy(state))
    return generator


def seeded_generator(secret: bytes) -> torch.Generator:
    """Return a generator on the CPU seeded with a secret's first bytes, of which torch keeps 32 bits.

    It is quicker than `secret_generator`, and what it draws does not hide the secret's first bits.

    Args:
        secret: At least 8 bytes.
    """
    return torch.Generator().manual_seed(int.from_bytes(secret[:8]) >> 1)
