"""Paths on the command line."""

import os
from typing import Any

import click
from typer.models import TyperPath

from protocol.storage.user_files import user_path


class UserPath(TyperPath):
    """A path as a user names it: no shell expands the ``~`` in ``--album=~/photos``, and Windows' expands none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path as it is on this disk."""
        if not value:
            self.fail("a path is empty; give the current folder as .", param, ctx)
        return os.fspath(user_path(str(super().convert(value, param, ctx))))


def with_user_paths(command: click.Command) -> click.Command:
    """Have all paths of a command, and of those below it, read as users name them."""
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type = UserPath()
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        with_user_paths(below)
    return command
