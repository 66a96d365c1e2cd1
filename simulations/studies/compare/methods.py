"""Ways of sharing: by which workflow each is played, with which settings, and where its numbers are in the report.

To add one, write a line in `METHODS`. One of a user's own is declared in a Python file, with a dictionary ``METHODS``
of the same form; before its run the file is imported where the run is played, so that it may also register what its
workflow is to use, such as a mechanism in `strategies.dp_images.MECHANISMS`.
"""

import hashlib
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from protocol.errors import BadInput, nearest
from protocol.storage.user_files import user_path
from simulations.scenarios.files import WORKFLOWS
from simulations.workflows.outsource.leaks import method_of
from strategies.obfuscation import Obfuscation

RAW, ALONE = "raw", "own-data-only"
"""The ends: everything is shared, and nothing."""


@dataclass(frozen=True)
class Method:
    """A way of sharing.

    Attributes:
        title: In words.
        workflow: By which it is played.
        row: What the workflow's report calls it; empty where nothing that it shares is attacked.
        settings: Of the scenario, with a dot before each key of a section. Methods that need no run of their own are
            played together: mappings are merged, and lists put one after the other.
        run: Methods with another word here need another run.
        utility: What the report's rows of utility call it, if something else.
        shares: Who gets what, in words.
        silent: Whether it shares nothing, so that nothing leaks.
        represents: Its workflow, where workflows are compared with each other.
    """

    title: str
    workflow: str
    row: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    utility: str = ""
    shares: str = ""
    silent: bool = False
    represents: bool = False


def _publish(title: str, name: str, represents: bool = False, **settings: Any) -> Method:
    shares = "each person publishes every image so treated, with its label"
    return Method(title, "publish", name, {"methods": {name: settings}}, shares=shares, represents=represents)


def _federate(title: str, name: str, represents: bool = False, **settings: Any) -> Method:
    plain = "head" if settings.get("features") == "public" else "fedavg"
    methods = {plain: {}, name: settings}
    sums = settings.get("strategy") in ("secure-sum", "dp-sum")
    shares = "owners send updates of a model" + (", of which the cloud sees the sum alone" if sums else " to the cloud")
    return Method(title, "federate", name, {"methods": methods}, shares=shares, represents=represents)


def _purchase(title: str, privacy: str, represents: bool = False, noise: float | None = None) -> Method:
    settings: dict[str, Any] = {"cloud.privacy": privacy, "buyer.quality": "matching"}
    settings |= {} if noise is None else {"sellers.noise_before_hashing": noise}
    sent = {"basic": "features of images", "level1": "two numbers of each image", "level2": "a signature of each image"}
    shares = f"phones send {sent[privacy]}; the buyer gets the images that it buys"
    run = privacy if noise is None else f"{privacy}-noise"
    return Method(title, "purchase", privacy, settings, run=run, shares=shares, represents=represents)


def _pool(title: str, penalty: str, represents: bool = False) -> Method:
    shares = "owners pool poisoned features of their images with labels; everybody in the pool gets them"
    return Method(
        title, "pool", "pool", {"training.penalty": penalty}, run=penalty, shares=shares, represents=represents
    )  # fmt: skip


def _crowdsource(weight: float, represents: bool = False) -> Method:
    return Method(
        f"PRIC, λ = {weight:g}", "crowdsource", f"lambda {weight:g}", {"collector.curve": [weight]},
        shares="people send representations of their images with labels of the task to the collector",
        represents=represents,
    )  # fmt: skip


def _outsource(title: str, technique: str, represents: bool = False, **settings: Any) -> Method:
    setting = Obfuscation(technique, settings.get("weights"), settings.get("strength"))
    return Method(
        title, "outsource", method_of(setting), {"compare": [{"technique": technique, **settings}]},
        shares="owners send obfuscated images with labels to the service, anew in each epoch", represents=represents,
    )  # fmt: skip


_USEFUL, _EVEN = [0.75, 0.25], [0.5, 0.5]
METHODS: dict[str, Method] = {
    RAW: Method(
        "raw pooling", "publish", "raw", {"methods": {"raw": {"mechanism": "plain"}}},
        shares="everybody gets every image as it is, with its label", represents=True,
    ),
    ALONE: Method(
        "own data only", "pool", "", {"training.penalty": "either"}, run="either", utility="no pool: end to end",
        shares="nobody shares anything: each owner trains on its own images", silent=True, represents=True,
    ),
    "published-model": Method(
        "the published model as it is", "pool", "", {"training.penalty": "either"}, run="either",
        utility="no pool: the published network as it is",
        shares="one owner publishes a model that it trained on its own images; the others share nothing",
    ),
    "purchase:basic": _purchase("CrowdBuy, basic", "basic"),
    "purchase:level1": _purchase("CrowdBuy, level 1", "level1"),
    "purchase:level2": _purchase("CrowdBuy, level 2", "level2", represents=True),
    "purchase:level2-noise": _purchase("CrowdBuy, level 2, planar Laplace noise, ε = 1/75", "level2", noise=1 / 75),
    "pool:either": _pool("Deep Poisoning, against both polarities", "either", represents=True),
    "pool:paper": _pool("Deep Poisoning, the paper's loss", "signed"),
    "crowdsource:0.3": _crowdsource(0.3),
    "crowdsource:1": _crowdsource(1.0, represents=True),
    "crowdsource:10": _crowdsource(10.0),
    "outsource:mix-useful": _outsource("mixing, 75 to 25", "mix", weights=_USEFUL),
    "outsource:mix-safe": _outsource("mixing, halves", "mix", weights=_EVEN),
    "outsource:noise-mix-useful": _outsource(
        "mixing with noise of 20, 75 to 25", "noise-mix", weights=_USEFUL, strength=20
    ),
    "outsource:noise-mix-safe": _outsource(
        "mixing with noise of 40, halves", "noise-mix", represents=True, weights=_EVEN, strength=40
    ),
    "outsource:shuffle-mix-useful": _outsource("2 x 2 shuffled, 75 to 25", "shuffle-mix", weights=_USEFUL, strength=2),
    "outsource:shuffle-mix-safe": _outsource("8 x 8 shuffled, halves", "shuffle-mix", weights=_EVEN, strength=8),
    "outsource:pixelize-mix-useful": _outsource("16² blocks, 75 to 25", "pixelize-mix", weights=_USEFUL, strength=16),
    "outsource:pixelize-mix-safe": _outsource("8² blocks, halves", "pixelize-mix", weights=_EVEN, strength=8),
    "outsource:blur-mix-useful": _outsource("blurring by 3, 75 to 25", "blur-mix", weights=_USEFUL, strength=3),
    "outsource:blur-mix-safe": _outsource("blurring by 7, halves", "blur-mix", weights=_EVEN, strength=7),
    "outsource:graft-mix-useful": _outsource("grafting 50 %, 75 to 25", "graft-mix", weights=_USEFUL, strength=0.5),
    "outsource:graft-mix-safe": _outsource("grafting 20 %, halves", "graft-mix", weights=_EVEN, strength=0.2),
    "outsource:pixelize-useful": _outsource("16² blocks", "pixelize", strength=16),
    "outsource:pixelize-safe": _outsource("4² blocks", "pixelize", strength=4),
    "outsource:instahide": _outsource("InstaHide", "instahide"),
    "outsource:dp-mix": _outsource("mixing 8 with noise of 40", "dp-mix"),
    "publish:pix-5": _publish("DP-Pix, ε = 5", "pix-5", mechanism="dp-pix", epsilon=5.0),
    "publish:pix-20": _publish("DP-Pix, ε = 20", "pix-20", represents=True, mechanism="dp-pix", epsilon=20.0),
    "publish:svd-0.001": _publish("DP-SVD, ε = 0.001", "svd-strong", mechanism="dp-svd", epsilon=0.001),
    "publish:svd-0.01": _publish("DP-SVD, ε = 0.01", "svd-weak", mechanism="dp-svd", epsilon=0.01),
    "publish:snow-0.1": _publish("Snow, δ = 0.1", "snow-tenth", mechanism="snow", delta=0.1),
    "publish:snow-0.5": _publish("Snow, δ = 0.5", "snow-half", mechanism="snow", delta=0.5),
    "publish:p3": _publish("P3's public part", "p3", mechanism="p3", threshold=15),
    "federate:plain": _federate("federated averaging", "fedavg", represents=True, strategy="fedavg"),
    "federate:secure-sum": _federate("federated averaging by secure sums", "secure-sum", strategy="secure-sum"),
    "federate:dp-image": _federate("DP by image, ε = 8", "dp-images-8", strategy="dp-images", epsilon=8.0),
    "federate:dp-person": _federate("DP by person, ε = 8", "dp-people-8", strategy="dp-people", epsilon=8.0),
    "federate:dp-client": _federate("DP by client, ε = 8", "dp-clients-8", strategy="dp-clients", epsilon=8.0),
    "federate:head": _federate("a head on public features", "head", strategy="fedavg", features="public"),
    "federate:head-secure-sum": _federate(
        "a head on public features, by secure sums", "head-secure-sum", strategy="secure-sum", features="public"
    ),
    "federate:head-dp-image": _federate(
        "a head on public features, DP by image, ε = 8", "head-dp-images-8", represents=True, strategy="dp-images",
        epsilon=8.0, features="public",
    ),
    "federate:head-dp-person": _federate(
        "a head on public features, DP by person, ε = 8", "head-dp-people-8", strategy="dp-people", epsilon=8.0,
        features="public",
    ),
    "federate:head-dp-client": _federate(
        "a head on public features, DP by client, ε = 8", "head-dp-clients-8", strategy="dp-clients", epsilon=8.0,
        features="public",
    ),
}  # fmt: skip
"""Ways of sharing by name; before the colon is the workflow, which stands for all of its methods."""


@dataclass(frozen=True)
class OwnFile:
    """A user's file of methods: its text, by which it is imported again elsewhere."""

    name: str
    text: str


def chosen(names: Iterable[str] | None) -> tuple[dict[str, Method], tuple[OwnFile, ...]]:
    """Return the methods of these names, and the user's files among them.

    Raw pooling and own data only are always there: they are the ends of every scale.

    Args:
        names: Of methods; before a colon, for all of a workflow; or paths of ``.py`` files; None: all built-in ones.

    Raises:
        BadInput: When there is no such method, or a file declares none.
    """
    ends = [name for name in (RAW, ALONE) if name in METHODS]
    if names is None:
        return _in_order(METHODS, {}), ()
    found, own, files = dict[str, None].fromkeys(ends), dict[str, Method](), list[OwnFile]()
    for name in names:
        if name.endswith(".py"):
            files.append(read_file(user_path(name)))
            for title, method in declared(files[-1]).items():
                if title in METHODS or title in own:
                    raise BadInput(f"{name} declares a method {title!r}, but there is one of this name")
                own[title] = method
            continue
        some = [each for each in METHODS if name in (each, each.partition(":")[0])]
        if not some:
            known = [*METHODS, *dict.fromkeys(each.partition(":")[0] for each in METHODS)]
            raise BadInput(f"there is no method {name!r}; {nearest(name, known)}")
        found |= dict.fromkeys(some)
    return _in_order(found, own), tuple(files)


def _in_order(names: Collection[str], own: Mapping[str, Method]) -> dict[str, Method]:
    return {name: method for name, method in METHODS.items() if name in names} | dict(own)


def read_file(path: Path) -> OwnFile:
    """Read a user's file of methods."""
    try:
        return OwnFile(path.name, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"there is no file {path} of methods") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the file {path} of methods cannot be read: {error}") from None


def declared(file: OwnFile) -> dict[str, Method]:
    """Import a user's file, once in a process, and return its methods.

    Raises:
        BadInput: When it cannot be imported, or declares no methods.
    """
    name = f"parley_methods_{hashlib.sha256(file.text.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = spec_from_loader(name, loader=None, origin=file.name)
        assert spec is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            exec(compile(file.text, file.name, "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise BadInput(f"{file.name} cannot be imported: {type(error).__name__}: {error}") from None
    methods = getattr(sys.modules[name], "METHODS", None)
    if not isinstance(methods, dict) or not methods or not all(isinstance(each, Method) for each in methods.values()):
        raise BadInput(
            f"{file.name} declares no methods: write METHODS = {{'my-method': Method(...)}}, with Method from "
            "simulations.studies.compare.methods"
        )
    for title, method in methods.items():
        if method.workflow not in WORKFLOWS:
            raise BadInput(
                f"{file.name}, {title}: there is no workflow {method.workflow!r}; {nearest(method.workflow, WORKFLOWS)}"
            )
    return methods
