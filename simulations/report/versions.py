"""Versions that an outcome depends on."""

from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("parley", "flwr", "torch", "numpy", "numba", "cryptography")


def versions() -> dict[str, str]:
    """Return the versions of Parley and of the libraries that an outcome depends on."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
