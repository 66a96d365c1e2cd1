"""A Flower app on disk, read the way Flower's own commands read it.

Like `flower`, it uses internals of Flower (``flwr.common.config``, ``flwr.supercore.object_ref``, the
logger), so that an app means the same here as under ``flwr run``.
"""

import re
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import tomli
from flwr.app import Context, Message, UserConfig
from flwr.clientapp import ClientApp
from flwr.common.config import flatten_dict, get_project_config, parse_config_args
from flwr.serverapp import ServerApp
from flwr.supercore.logger import update_console_handler
from flwr.supercore.object_ref import load_app

from protocol.errors import ProtocolError
from protocol.flower_modules import AppModules, app_modules

App = TypeVar("App", ServerApp, ClientApp)
_OVERRIDES = re.compile(r"\s*(\S+?=('[^']*'|\"[^\"]*\"|\S+)\s*)+")
"""What Flower reads as overrides; it silently drops the rest."""


class UnusableApp(ProtocolError):
    """A directory holds no Flower app that can be loaded; the text says why, in one sentence."""


class UnknownKey(UnusableApp):
    """An override names a key that the app does not have.

    Attributes:
        keys: The app's keys.
    """

    def __init__(self, key: str, keys: list[str]) -> None:
        super().__init__(f"the app has no run-config key {key!r}")
        self.key = key
        self.keys = keys


@dataclass(frozen=True)
class FlowerProject:
    """A Flower app, loaded.

    Attributes:
        name: What its pyproject.toml calls it.
        directory: Where it is.
        server_app, client_app: Its components; the ServerApp runs inside `modules`, the ClientApp sees to that itself.
        run_config: Its configuration, flat, with the overrides in it.
        modules: The modules that its code imports.
    """

    name: str
    directory: Path
    server_app: ServerApp
    client_app: ClientApp
    run_config: UserConfig
    modules: AppModules


class LoadedClientApp(ClientApp):
    """The ClientApp of a project; another process loads it from its directory again."""

    def __init__(self, directory: Path, reference: str) -> None:
        super().__init__()
        self._source = directory, reference
        self._modules = app_modules(directory)
        self._app = _load(directory, "clientapp", reference, ClientApp)

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadedClientApp, self._source

    def __call__(self, message: Message, context: Context) -> Message:
        """Let the app answer."""
        with self._modules.inside():
            return self._app(message, context)


def load_project(directory: Path, overrides: Sequence[str] = ()) -> FlowerProject:
    """Load a Flower app; its directory becomes the first entry of ``sys.path``, as under Flower.

    Where a package of its own is called like one of Parley's, that is so only while its code runs (see `AppModules`).

    Args:
        directory: Where its ``pyproject.toml`` is.
        overrides: As ``flwr run --run-config`` takes them: ``"key=value key=value"`` with values in TOML, or one
            ``.toml`` file.

    Raises:
        UnusableApp: When it is not a Flower app, an override does not fit, or a component cannot be imported.
    """
    config = _read(directory)
    directory = directory.resolve()
    app = config["tool"]["flwr"]["app"]
    components = app["components"]
    run_config = _fused(flatten_dict(app.get("config", {})), overrides)
    return FlowerProject(
        name=str(config["project"]["name"]),
        directory=directory,
        server_app=_load(directory, "serverapp", _named(directory, "serverapp", components), ServerApp),
        client_app=LoadedClientApp(directory, _named(directory, "clientapp", components)),
        run_config=run_config,
        modules=app_modules(directory),
    )


def set_log_colours(coloured: bool) -> None:
    """Let Flower colour its log, which goes to stderr, or not."""
    update_console_handler(colored=coloured)


def _read(directory: Path) -> dict[str, Any]:
    path = directory / "pyproject.toml"
    try:
        return get_project_config(directory)
    except FileNotFoundError:
        raise UnusableApp(f"{directory} is not a Flower app: it has no pyproject.toml") from None
    except tomli.TOMLDecodeError as error:
        raise UnusableApp(f"{path} is not TOML: {error}") from None
    except ValueError as error:
        _, *mistakes = str(error).splitlines()
        reasons = "; ".join(mistake.strip(" -") for mistake in mistakes) or str(error)
        raise UnusableApp(f"{path} does not describe a Flower app: {reasons}") from None


def _fused(defaults: UserConfig, overrides: Sequence[str]) -> UserConfig:
    try:
        if not all(override.endswith(".toml") or _OVERRIDES.fullmatch(override) for override in overrides):
            raise ValueError
        given = parse_config_args(list(overrides))
    except FileNotFoundError as missing:
        raise UnusableApp(f"--run-config: there is no file {missing.filename}") from None
    except (ValueError, click.ClickException):
        raise UnusableApp(
            f"--run-config {' '.join(overrides)}: write it as 'key=1 other=0.5 name=\"text\"', with values in TOML,"
            " or as one .toml file"
        ) from None
    for key in given:
        if key not in defaults:
            raise UnknownKey(key, list(defaults))
    return {**defaults, **given}


def _named(directory: Path, component: str, components: dict[str, str]) -> str:
    if component not in components:
        raise UnusableApp(f"{directory / 'pyproject.toml'}: [tool.flwr.app.components] names no {component}")
    return components[component]


def _load(directory: Path, component: str, reference: str, kind: type[App]) -> App:
    modules = app_modules(directory)
    _check_name(directory, component, reference, modules.names)
    try:
        with modules.inside():
            app = load_app(reference, UnusableApp, directory)
    except UnusableApp as error:
        raise UnusableApp(f"{component} {reference!r}: {str(error).splitlines()[0]}") from None
    except (Exception, SystemExit) as error:
        raise UnusableApp(
            f"{component} {reference!r} cannot be imported: {type(error).__name__}: {error}{_place(error, directory)}"
        ) from error
    if not isinstance(app, kind):
        raise UnusableApp(f"{component} {reference!r} is a {type(app).__name__}, not a {kind.__name__}")
    return app


def _check_name(directory: Path, component: str, reference: str, own_names: Container[str]) -> None:
    """Refuse an app whose package is called like one that is installed, which Python would take instead."""
    package = reference.partition(":")[0].partition(".")[0]
    loaded = getattr(sys.modules.get(package), "__file__", None)
    own = [path for path in (directory / f"{package}.py", directory / package) if path.exists()]
    if package not in own_names and own and loaded and not Path(loaded).resolve().is_relative_to(directory):
        raise UnusableApp(f"{component} {reference!r}: {own[0]} is hidden by {loaded}; give it another name")


def _place(error: BaseException, directory: Path) -> str:
    """Say which line of the app an error came from."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(directory):
            lines.append(f" ({path}, line {trace.tb_lineno})")
        trace = trace.tb_next
    return lines[-1] if lines else ""
