"""Merkle trees: one hash binds a list, and a short proof shows what is at a place of it.

Leaves and inner nodes are hashed apart, as in RFC 6962; a tree is filled up with empty leaves.
"""

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
_EMPTY = hashlib.sha256(b"\x02").digest()


def depth_of(leaves: int) -> int:
    """Return how many hashes a proof has, at least 1."""
    return max(1, (leaves - 1).bit_length())


class MerkleTree:
    """The tree of a list.

    Examples:
        >>> tree = MerkleTree([b"a", b"b", b"c"])
        >>> proof = tree.proof(2)
        >>> MerkleRoot(tree.root, 3).binds(2, b"c", proof), MerkleRoot(tree.root, 3).binds(1, b"c", proof)
        (True, False)

    Args:
        leaves: Of any length, at least one.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        level = [_leaf(leaf) for leaf in leaves]
        depth = depth_of(len(level))
        level += [_EMPTY] * ((1 << depth) - len(level))
        self._levels = [level]
        while len(level) > 1:
            level = [_inner(level[i], level[i + 1]) for i in range(0, len(level), 2)]
            self._levels.append(level)
        self.root = level[0]

    def proof(self, place: int) -> bytes:
        """Return the siblings on the way from a place (from 0) to the root, one after the other."""
        return b"".join(level[(place >> height) ^ 1] for height, level in enumerate(self._levels[:-1]))


class MerkleRoot:
    """The root of a list, to check many proofs with: what proofs have in common is hashed once.

    Args:
        root: 32 bytes.
        leaves: How long the list is.
    """

    def __init__(self, root: bytes, leaves: int) -> None:
        self._leaves = leaves
        self._depth = depth_of(leaves)
        self._known = {(self._depth, 0): root}

    def binds(self, place: int, leaf: bytes, proof: bytes) -> bool:
        """Whether a proof shows that this leaf is at a place (from 0) of the list."""
        if not 0 <= place < self._leaves or len(proof) != HASH_BYTES * self._depth:
            return False
        node = _leaf(leaf)
        found: dict[tuple[int, int], bytes] = {}
        for height in range(self._depth + 1):
            at = (height, place >> height)
            if at in self._known:
                if self._known[at] != node:
                    return False
                self._known |= found
                return True
            found[at] = node
            sibling = proof[HASH_BYTES * height : HASH_BYTES * (height + 1)]
            found[height, at[1] ^ 1] = sibling
            node = _inner(sibling, node) if at[1] & 1 else _inner(node, sibling)
        return False


def _leaf(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _inner(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
