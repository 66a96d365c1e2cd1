"""`parley seller`, `parley buyer` and `parley entity`: parties on machines of their own."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simulations.cli.cheats import Adversaries, Cheat, Settings, cheat_of

if TYPE_CHECKING:
    from deploy.kit import Address

KitFolder = Annotated[Path, typer.Option("--kit", help="The party's folder, as `parley provision` wrote it.")]
StateFolder = Annotated[Path | None, typer.Option("--state", help="Where to keep state; default: the kit.")]
CloudAddress = Annotated[
    str | None,
    typer.Option("--cloud", metavar="HOST[:PORT]", help="Where to reach the cloud, if not as party.yaml says."),
]
Featurizer = Annotated[str, typer.Option(help="The cloud's public model: small or vgg16.")]
Weights = Annotated[str | None, typer.Option(help="vgg16's weights: a .pth or .safetensors file.")]
Calibration = Annotated[str | None, typer.Option(help="A folder that `parley calibrate` wrote; vgg16 needs one.")]

buyer = typer.Typer(help="Buy images.", no_args_is_help=True)


def address_of(cloud: str | None) -> "Address | None":
    """Read --cloud."""
    from deploy.kit import Address

    try:
        return None if cloud is None else Address.parse(cloud)
    except ValueError as error:
        raise typer.BadParameter(f"--cloud: {error}") from None


def _number(value: float) -> float:
    if math.isnan(value):  # it is within any range
        raise typer.BadParameter(f"{value} is not a number.")
    return value


def _some_number(value: float | None) -> float | None:
    return None if value is None else _number(value)


def seller(
    kit: KitFolder,
    album: Annotated[Path, typer.Option(help="The folder of images to offer; prices.csv in it names prices.")],
    price: Annotated[float | None, typer.Option(help="Coins for each image that prices.csv does not name.")] = None,
    state: StateFolder = None,
    cloud: CloudAddress = None,
    featurizer: Featurizer = "small",
    weights: Weights = None,
    calibration: Calibration = None,
    cheat: Cheat = None,
    adversaries: Adversaries = None,
    settings: Settings = None,
) -> None:
    """Offer the images of a folder until it is stopped."""
    from deploy.kit import read_kit
    from deploy.party import log_to_stdout
    from deploy.seller import sell
    from parties.featurizers import Model

    log_to_stdout()
    cheats = cheat_of(cheat, adversaries, settings, ["seller"])
    model = Model(featurizer, weights, calibration)
    sell(read_kit(kit, ["seller"], state, address_of(cloud)), album, price, model, cheats)


@buyer.command("request")
def request(
    kit: KitFolder,
    samples: Annotated[Path, typer.Option(help="A folder of images like those to buy.")],
    budget: Annotated[
        float, typer.Option(min=0, max=1e7, callback=_number, help="Coins to spend, commission included.")
    ],
    out: Annotated[
        Path, typer.Option(help="The folder for images and receipt; the same one goes on where it stopped.")
    ],
    quality: Annotated[
        Literal["quantity", "matching", "diversity", "diversity-weighted"],
        typer.Option(help="The quality to maximise."),
    ] = "diversity",
    mechanism: Annotated[
        str | None, typer.Option(help="Who wins; see `parley list mechanisms`. Default: by the quality.")
    ] = None,
    agents: Annotated[
        Literal["images", "sellers"],
        typer.Option(help="sellers: of each seller all images that match are bought, or none."),
    ] = "images",
    max_price: Annotated[
        float | None, typer.Option(min=0, max=1e7, callback=_some_number, help="Coins to pay for an image at most.")
    ] = None,
    state: StateFolder = None,
    cloud: CloudAddress = None,
    featurizer: Featurizer = "small",
    weights: Weights = None,
    calibration: Calibration = None,
    cheat: Cheat = None,
    adversaries: Adversaries = None,
    settings: Settings = None,
) -> None:
    """Buy images like the samples, verify them, and write them to a folder with a receipt."""
    from deploy.buyer import Wanted, buy
    from deploy.kit import read_kit
    from parties.featurizers import Model
    from protocol.errors import BadInput, nearest
    from protocol.messages.purchase import Agents, Quality
    from simulations.cli.progress import shown
    from strategies.mechanisms import SOUND_MECHANISMS

    if mechanism is not None and mechanism not in SOUND_MECHANISMS:
        raise BadInput(f"--mechanism: deployed clouds play no {mechanism!r}; {nearest(mechanism, SOUND_MECHANISMS)}")
    if mechanism is not None and (refusal := SOUND_MECHANISMS[mechanism].refusal(quality, agents)):
        raise BadInput(f"--mechanism: {refusal}")
    model = Model(featurizer, weights, calibration)
    wanted = Wanted(samples, budget, Quality(quality), model, mechanism, Agents(agents), max_price)
    cheats = cheat_of(cheat, adversaries, settings, ["buyer"])
    with shown() as progress:
        receipt = buy(read_kit(kit, ["buyer"], state, address_of(cloud)), wanted, out, progress, cheats)
    typer.echo(receipt.sentence(out))


@buyer.command("cancel")
def cancel(
    kit: KitFolder,
    out: Annotated[Path, typer.Option(help="The folder of the purchase.")],
    state: StateFolder = None,
    cloud: CloudAddress = None,
) -> None:
    """End a purchase of one's own until its invoice is to be paid: everybody gets back what it has locked in it."""
    from deploy.buyer import cancel
    from deploy.kit import read_kit

    cancel(read_kit(kit, ["buyer"], state, address_of(cloud)), out)
    typer.echo("The purchase is cancelled; what it held went back.")


def entity(
    kit: KitFolder,
    images: Annotated[Path, typer.Option(help="The folder of its images; sub-folders are classes.")],
    public: Annotated[
        Path | None, typer.Option(help="A folder of public images; the entity that pre-trains needs one.")
    ] = None,
    held_back: Annotated[
        float, typer.Option(min=0, max=0.9, callback=_number, help="Share of its images that its model is tested on.")
    ] = 0.2,
    defence: Annotated[
        Literal["none", "agreement"],
        typer.Option(help="agreement: leave out features whose label its own model contradicts."),
    ] = "agreement",
    steps: Annotated[int, typer.Option(min=1, max=1_000_000, help="Steps of each training.")] = 250,
    state: StateFolder = None,
    cloud: CloudAddress = None,
    cheat: Cheat = None,
    adversaries: Adversaries = None,
    settings: Settings = None,
) -> None:
    """Pool poisoned features with other entities until it is stopped; its models are written to its state folder."""
    from deploy.entity import join
    from deploy.kit import read_kit
    from deploy.party import log_to_stdout
    from parties.pool.holdings import Habits

    log_to_stdout()
    habits = Habits(pretraining=steps, reconstruction=steps, poisoning=steps, refinement=steps, defence=defence)
    cheats = cheat_of(cheat, adversaries, settings, ["entity"])
    join(read_kit(kit, ["entity"], state, address_of(cloud)), images, public, held_back, habits, cheats)
