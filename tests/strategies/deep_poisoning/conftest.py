import pytest
from small_world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World()
