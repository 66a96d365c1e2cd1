"""A scenario: one YAML file that says which world to build and what to play in it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from annotated_types import Ge, Gt, Le, Len
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from parties.adversaries import ADVERSARIES, Adversary
from protocol.messages.purchase import Privacy, Quality
from protocol.sealing import SUITES
from simulations.errors import BadScenario
from simulations.expectations import parse_condition
from simulations.phones.models import PHONES

Share = Annotated[float, Ge(0), Le(1)]
Coins = Annotated[float, Ge(0), Le(10**7)]

PACKAGED = files("simulations") / "scenarios"


class Section(BaseModel):
    """A part of a scenario; keys it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Samples(Section):
    """What the buyer shows of what it wants."""

    count: Annotated[int, Ge(1), Le(1000)] = Field(10, description="how many sample pictures, drawn from the data set")
    classes: Annotated[int, Ge(1)] = Field(3, description="how many classes of the data set are wanted")
    folder: str | None = Field(None, description="my own sample pictures instead: all in this folder")


class BuyerSection(Section):
    """The buyer."""

    budget: Coins = Field(60.0, description="coins to spend, commission included")
    quality: Quality = Field(Quality.DIVERSITY, description="what to have most of: quantity, matching or diversity")
    checked: Share = Field(1.0, description="share of the bought images whose features are computed again to verify")
    samples: Samples = Samples()


class AlbumSection(Section):
    """What a seller holds."""

    images: Annotated[int | tuple[int, int], Field(union_mode="left_to_right")] = Field(
        (1, 20), description="pictures per seller: a number, or a range [least, most] to draw from"
    )
    classes: Annotated[int, Ge(1)] = Field(2, description="classes of the data set that one seller has pictures of")
    partition: Literal["classes", "dirichlet", "person"] = Field(
        "classes",
        description="classes: a few per seller; dirichlet: in unlike shares; person: several pictures of one person",
    )
    alpha: Annotated[float, Ge(0.01), Le(1e6)] = Field(
        0.5, description="for dirichlet: near 0 all pictures of a seller are of one class, large: of every class alike"
    )
    skew: Annotated[float, Ge(0), Le(10)] = Field(
        0.0, description="an album holds s pictures with a probability like s^-skew: 0 is uniform, 1.5 makes most small"
    )
    folder: str | None = Field(None, description="my own pictures instead, dealt out to the sellers")

    @property
    def range(self) -> tuple[int, int]:
        """Least and most pictures per seller."""
        return (self.images, self.images) if isinstance(self.images, int) else self.images

    @model_validator(mode="after")
    def _range_is_one(self) -> "AlbumSection":
        least, most = self.range
        if not 1 <= least <= most <= 10_000:
            raise ValueError(f"an album holds 1 to 10000 pictures, least first, not {self.images}")
        return self


class PriceSection(Section):
    """What sellers' pictures are worth to them (section VI.C)."""

    model: Literal["identical", "uniform", "normal"] = Field("uniform", description="identical, uniform or normal")
    mean: Annotated[float, Gt(0), Le(10**6)] = Field(1.0, description="mean price of a picture, coins")
    variance: Annotated[float, Ge(0), Le(10**6)] = Field(0.4, description="variance of the price, coins squared")
    floor: Annotated[float, Ge(0.01), Le(10**6)] = Field(0.05, description="no price is below this, coins")


class SellersSection(Section):
    """The sellers."""

    count: Annotated[int, Ge(1), Le(1_000_000)] = Field(200, description="how many sellers there are")
    noise: Share = Field(
        0.3, description="share of sellers who hold only classes that nobody asked for; the others hold wanted ones"
    )
    deposit: Coins = Field(20.0, description="coins each seller brings, for stakes")
    album: AlbumSection = AlbumSection()
    price: PriceSection = PriceSection()


class CloudSection(Section):
    """The cloud's terms."""

    privacy: Privacy = Field(
        Privacy.LEVEL2,
        description="what bids show: basic: fc8 vectors; level1: 2-d features; level2: MinHash signatures",
    )
    featurizer: Literal["small", "vgg16"] = Field("small", description="the public model: small, or the paper's vgg16")
    weights: str | None = Field(None, description="vgg16's weights, .pth or .safetensors; none: torchvision's cache")
    calibration: str | None = Field(None, description="a folder that `parley calibrate` wrote; vgg16 needs one")
    commission: Share = Field(0.05, description="the cloud's share on top of each payment")
    stake: Share = Field(0.1, description="what a bid locks, as a share of its price; lost by a seller who cheats")
    bond: Share = Field(0.1, description="what a complaint locks, as a share of the payment; lost if it is false")
    suite: Literal[tuple(SUITES)] = Field(  # type: ignore[valid-type]
        "x25519", description=f"how images are sealed: {' or '.join(SUITES)}"
    )
    arbitration: Literal["sound", "paper"] = Field(
        "sound", description="who is believed in a dispute: sound: the revealed key; paper: the image the buyer sends"
    )


class LinkSection(Section):
    """Their links; the buyer's loses nothing."""

    drop: Share = Field(0.0, description="share of messages, questions and answers alike, that get lost")
    duplicate: Share = Field(0.0, description="share of messages that arrive twice")
    delay: Annotated[float, Ge(0), Le(10**6)] = Field(
        0.0, description="mean seconds that a message is held up, exponential: messages overtake each other"
    )
    give_up: Annotated[float, Ge(0), Le(10**6)] = Field(
        10.0, description="seconds after which a lost message is given up where the protocol sets no deadline"
    )


class PhonesSection(Section):
    """The sellers' phones, in virtual time: nobody waits for it."""

    mix: dict[str, Share] = Field({"paper": 1.0}, description="phone models and their shares; `parley list` names them")
    patience: Annotated[float, Ge(1), Le(10**7)] = Field(
        86_400.0, description="seconds that sellers have to bid and to deliver, and the buyer to pay and to confirm"
    )
    link: LinkSection = LinkSection()

    @field_validator("mix")
    @classmethod
    def _mix_is_whole(cls, mix: dict[str, float]) -> dict[str, float]:
        for name in mix:
            if name not in PHONES:
                raise Misplaced((name,), f"there is no phone {name!r}; {nearest(name, PHONES)}")
        if abs(sum(mix.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of phones add up to {sum(mix.values()):g}, not to 1")
        return mix


class SweepSection(Section):
    """Many purchases instead of one: several worlds for each share of noise sellers (section VI.C, Fig. 6)."""

    noise: Annotated[tuple[Share, ...], Len(1, 20)] = Field((0.1, 0.2, 0.3, 0.4, 0.5), description="shares of noise")
    seeds: Annotated[int, Ge(1), Le(100)] = Field(5, description="worlds for each share")


class Mix(BaseModel):
    """How many parties play one cheat, and how: `share`, `drawn`, and whatever the cheat lets a scenario set."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    share: Share
    drawn: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_share(cls, given: Any) -> Any:
        return given if isinstance(given, (dict, Mix)) else {"share": given}

    @model_serializer(mode="wrap")
    def _shortest(self, write: SerializerFunctionWrapHandler) -> Any:
        return write(self) if self.drawn or self.settings else self.share

    @property
    def settings(self) -> dict[str, Any]:
        """What the cheat is told."""
        return dict(self.model_extra or {})


class Misplaced(ValueError):
    """A mistake below the key that is being validated."""

    def __init__(self, path: tuple[str, ...], sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


class Scenario(Section):
    """One world and one workflow."""

    description: str = Field("A purchase on one machine, from request to payout.", description="one line about it")
    workflow: Literal["purchase"] = Field("purchase", description="what is played")
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = Field(7, description="the same seed gives the same outcome")
    grid: Literal["local"] = Field("local", description="where the parties run: in this process")
    workers: Annotated[int, Ge(1), Le(1)] = Field(1, description="processes that share the work")
    dataset: Literal["pets", "faces", "digits", "imagenet", "celeba", "stl10", "oxford_pets", "cifar10"] = Field(
        "pets", description="pictures to trade; `parley list` names them"
    )
    data_root: str | None = Field(
        None, description="folder of the torchvision data sets; null: ~/.cache/parley/data, downloaded there if need be"
    )
    cloud: CloudSection = CloudSection()
    buyer: BuyerSection = BuyerSection()
    sellers: SellersSection = SellersSection()
    phones: PhonesSection = PhonesSection()
    collusion: tuple[Literal["cloud-buyer", "key-substitution"], ...] = Field(
        (), description="what the paper assumes away: cloud-buyer (they pool what they know), key-substitution"
    )
    sweep: SweepSection | None = Field(
        None, description="many purchases instead of one: {noise: [shares of noise sellers], seeds: worlds for each}"
    )
    adversaries: dict[str, Mix] = Field(
        {},
        description="parties that cheat, {name: share of their role} or {name: {share: 0.1, drawn: true}}: exactly that"
        " share, or each with that probability; `parley list` names them",
    )
    expect: dict[str, str] = Field(
        {}, description='what has to come out, {key of the report: condition}, like {outcome.precision: ">= 0.9"}'
    )

    @model_validator(mode="after")
    def _diversity_is_flat(self) -> "Scenario":
        if self.cloud.privacy is Privacy.BASIC and self.buyer.quality is Quality.DIVERSITY:
            raise ValueError(
                "diversity needs features of two numbers, as the union of hypercubes in an fc8 vector's dimensions"
                " cannot be computed (section IV.D): for cloud.privacy basic set buyer.quality to quantity or matching"
            )
        return self

    @model_validator(mode="after")
    def _a_sweep_expects_nothing(self) -> "Scenario":
        if self.sweep is not None and self.expect:
            raise ValueError("a sweep has no single outcome: leave out expect, or sweep")
        return self

    @field_validator("adversaries")
    @classmethod
    def _adversaries_exist(cls, mixes: dict[str, Mix], info: ValidationInfo) -> dict[str, Mix]:
        known: Mapping[str, Adversary] = (info.context or {}).get("adversaries", ADVERSARIES)
        for name, mix in mixes.items():
            if name not in known:
                raise Misplaced((name,), f"there is no adversary {name!r}; {nearest(name, known)}")
            try:
                known[name].parameters.model_validate(mix.settings)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                keys = ["share", "drawn", *known[name].parameters.model_fields]
                raise Misplaced(*_below((name,), first, keys)) from None
        total = sum(mix.share for name, mix in mixes.items() if known[name].role == "seller")
        if total > 1:
            raise ValueError(f"the shares of cheating sellers add up to {total:g}, more than 1")
        return mixes

    @field_validator("expect")
    @classmethod
    def _expectations_are_conditions(cls, expect: dict[str, str]) -> dict[str, str]:
        for key, condition in expect.items():
            try:
                parse_condition(condition)
            except ValueError as error:
                raise Misplaced((key,), str(error)) from None
        return expect


def packaged() -> dict[str, str]:
    """Return the scenarios that come with Parley: name and description."""
    names = sorted(entry.name.removesuffix(".yaml") for entry in PACKAGED.iterdir() if entry.name.endswith(".yaml"))
    return {name: load(name).description for name in names}


def load(source: str, settings: Sequence[str] = (), adversaries: Mapping[str, Adversary] = ADVERSARIES) -> Scenario:
    """Read a scenario by name or from a YAML file, and change some of its keys.

    Parameters
    ----------
    source : str
        A packaged scenario's name, or the path of a ``.yaml`` file.
    settings : sequence of str
        ``key.of.section=value`` each; the value is YAML.
    adversaries : mapping of str to Adversary
        The ways to cheat that there are.

    Raises
    ------
    BadScenario
        With one sentence that names the key at fault, the line it is on, and the nearest right one.
    """
    if source.endswith((".yaml", ".yml")):
        path = Path(source)
        if not path.is_file():
            raise BadScenario(f"there is no scenario file {source}; `parley init {source}` writes one to start from")
        text, where = path.read_text(encoding="utf-8", errors="replace"), source
    else:
        entry = PACKAGED / f"{source}.yaml"
        if not source.replace("-", "").isalnum() or not entry.is_file():
            names = [item.name.removesuffix(".yaml") for item in PACKAGED.iterdir() if item.name.endswith(".yaml")]
            raise BadScenario(f"there is no scenario {source!r}; {nearest(source, names)}, or give a .yaml file")
        text, where = entry.read_text(encoding="utf-8"), f"scenario {source}"
    tree = _parse(text, where)
    if not isinstance(tree, dict):
        raise BadScenario(f"{where}: a scenario is a mapping of keys to values")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise BadScenario(f"--set {setting}: write it as key=value, for example seed=3")
        _assign(tree, key.split("."), _parse(value, f"--set {setting}"), setting)
    try:
        return Scenario.model_validate(tree, context={"adversaries": adversaries})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadScenario(f"{where}{_line(text, _path(first), settings)}: {_sentence(first)}") from None


def _line(text: str, path: Sequence[str], settings: Sequence[str]) -> str:
    """Say on which line of the file a key is; nothing where a setting put it there."""
    given = [setting.partition("=")[0].split(".") for setting in settings]
    if any(list(path[: len(keys)]) == keys[: len(path)] for keys in given):
        return ""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if str(key.value) == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return "" if line is None else f", line {line}"


def nearest(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """Suggest the known name that is nearest to a wrong one, or list all of them."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(names))}"


def commented() -> str:
    """Write the default scenario as YAML with a comment on each key.

    Examples
    --------
    >>> yaml.safe_load(commented())["sellers"]["count"]
    200
    """
    return "\n".join(("# A Parley scenario: run it with `parley run FILE`.", *_comment(Scenario(), 0))) + "\n"


def _comment(section: Section, indent: int) -> Iterator[str]:
    pad, plain = "  " * indent, section.model_dump(mode="json")
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield ""
            yield f"{pad}# {(type(value).__doc__ or '').strip()}"
            yield f"{pad}{name}:"
            yield from _comment(value, indent + 1)
        else:
            rendered = yaml.safe_dump(plain[name], default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
            yield f"{pad}{name}: {rendered}  # {info.description}"


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BadScenario(f"{where}{line}: this is not YAML ({getattr(error, 'problem', error)})") from None


def _assign(tree: dict[str, Any], path: Sequence[str], value: Any, setting: str) -> None:
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise BadScenario(f"--set {setting}: {parent} is a value, it has no keys below it")
    tree[leaf] = value


def _sentence(error: ErrorDetails) -> str:
    """Turn pydantic's first complaint into one sentence of ours."""
    path = [str(part) for part in error["loc"]]
    if isinstance(cause := error.get("ctx", {}).get("error"), Misplaced):
        return str(cause)
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}; {nearest(path[-1], _keys(path[:-1]))}"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if isinstance(error["input"], (dict, Section)) else f", not {error['input']!r}"
    return f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{given}"


def _path(error: ErrorDetails) -> list[str]:
    """Return the keys that lead to a mistake."""
    cause = error.get("ctx", {}).get("error")
    return [str(part) for part in (*error["loc"], *(cause.path if isinstance(cause, Misplaced) else ()))]


def _below(parents: tuple[str, ...], error: ErrorDetails, keys: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Turn a mistake in an adversary's settings into its path and its sentence."""
    path = (*parents, *(str(part) for part in error["loc"]))
    key = ".".join(("adversaries", *path))
    if error["type"] == "extra_forbidden":
        return path, f"there is no key {key}; {nearest(path[-1], keys)}"
    return path, f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _keys(path: Sequence[str]) -> list[str]:
    section: Any = Scenario
    for name in path:
        section = section.model_fields[name].annotation
        section = next((option for option in get_args(section) if isinstance(option, type)), section)
    return list(section.model_fields)
