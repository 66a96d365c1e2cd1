"""What can go wrong between parties."""


class ProtocolError(Exception):
    """A peer, or what it sent, broke the protocol; the text is one sentence that says how."""
