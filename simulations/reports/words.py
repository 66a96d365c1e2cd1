"""Things in words."""

from protocol.flower import FIRST_NODE_ID


def count(number: int, noun: str) -> str:
    """Write a number of things.

    Examples:
        >>> count(1, "image"), count(1200, "image")
        ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def party_name(node_id: int) -> str:
    """Name a party as in ``messages.jsonl``."""
    return "buyer" if node_id == FIRST_NODE_ID else f"seller-{node_id}"
