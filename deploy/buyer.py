"""A buyer's process: one purchase from request to receipt; started again, it resumes where it stopped."""

import asyncio
import json
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from deploy.cheats import cheating
from deploy.kit import Kit
from deploy.party import Away, alone, ask_cloud, attachment, open_store, user_errors, vouching
from deploy.receipt import RECEIPT, Picture, Receipt
from parties.album import read_folder
from parties.featurizers import Model
from parties.party import Memory, Party, step
from parties.policy.guard import Guard
from parties.purchase.buyer import Buyer
from parties.purchase.terms import COIN
from parties.purchase.workflow import Purchase
from parties.workflow import Progress
from protocol.errors import BadInput, BadKit, OutputExists, RunFailed, Stopped, Unreachable
from protocol.journal import WorkflowState
from protocol.messages import service
from protocol.messages.base import Acknowledgement
from protocol.messages.purchase import Agents, Quality, Statement, StatementLine
from protocol.storage.files import make_lasting, private_folder, write_private
from protocol.storage.user_files import user_path

_WISH = re.compile(r"[0-9a-f]{2,64}")

MARK = ".purchase"
"""The file in the folder with the buyer's name of the purchase, as long as it runs."""
WISHES = "purchases"
"""The folder in the state folder with the request of each running purchase."""
MOST_SAMPLES = 1000
GLANCE, LONGEST_GLANCE = 0.25, 4.0
"""Seconds between two questions for the state of the purchase: the first pause, and the longest without an answer."""


@dataclass(frozen=True)
class Wanted:
    """What a buyer asks for.

    Attributes:
        samples: A folder of pictures like the wanted ones.
        budget: Coins, commission included.
        quality: What to maximise.
        model: The cloud's public model.
        mechanism: Decides who wins, by the name that the cloud knows; None: the quality's default.
        agents: What bids.
        max_price: Coins that an image may be paid at most; None: the budget.
    """

    samples: Path
    budget: float
    quality: Quality
    model: Model
    mechanism: str | None = None
    agents: Agents = Agents.IMAGES
    max_price: float | None = None


class RequestingBuyer(Buyer):
    """A buyer that writes a receipt when the purchase is settled.

    Args:
        kit: The buyer's kit.
        wish: Its own name for the purchase.
        out: The folder for pictures and receipt.
    """

    def __init__(self, kit: Kit, wish: str, wanted: Wanted, out: Path) -> None:
        pictures = read_folder(wanted.samples)
        if len(pictures) > MOST_SAMPLES:
            raise BadInput(f"{wanted.samples} holds {len(pictures)} pictures; the limit is {MOST_SAMPLES}")
        samples = [pictures[index] for index in range(len(pictures))]
        budget = round(wanted.budget * COIN)
        super().__init__(
            kit.secret(),
            samples,
            budget,
            wanted.quality,
            wanted.model.load(),
            out,
            mechanism=wanted.mechanism,
            agents=wanted.agents,
            ceiling=None if wanted.max_price is None else round(wanted.max_price * COIN),
        )
        self.vouching = vouching(kit)
        self.guard = Guard(self, kit.policy())
        self.kit = kit
        self.wish = wish

    @step("settle")
    def settle(self, statement: Statement) -> Acknowledgement:
        """Step 12: open what is left, write down what was paid and refunded, and drop the sealed pictures."""
        self.open_rest(statement.releases)
        self._write(statement.lines, statement.balance)
        return Acknowledgement()

    def settle_alone(self, state: RecordDict, statement: Statement) -> None:
        """Open what was paid for, and write the receipt, after the cloud settled without this buyer.

        Args:
            state: The buyer's memory of the purchase.
            statement: The cloud's, asked for afterwards.
        """
        self.memory = Memory(state)
        self.open_rest(statement.releases)
        self._write(statement.lines, statement.balance)

    def _write(self, lines: Sequence[StatementLine], balance: int) -> None:
        numbers = self.basket.numbers
        receipt = Receipt(
            purchase=self.wish,
            cloud=str(self.kit.party.address),
            buyer=self.kit.identity.name,
            settled_at=datetime.now(UTC).isoformat(timespec="seconds"),
            budget=self.budget / COIN,
            paid=-sum(line.amount for line in lines) / COIN,
            balance=balance / COIN,
            pictures=tuple(
                Picture(
                    file=self.file(numbers[line.bid]) if line.bid in numbers else None,
                    bid=line.bid.hex(),
                    outcome=line.outcome,
                    paid=-line.amount / COIN,
                )
                for line in lines
            ),
        )
        shutil.rmtree(self.store / "sealed", ignore_errors=True)
        write_private(self.store / RECEIPT, (receipt.model_dump_json(indent=2) + "\n").encode())
        make_lasting([self.store / RECEIPT])


class Idle(Party):
    """A buyer that takes no part in a purchase, and only identifies itself."""

    role = "buyer"


class Purchases(ClientApp):
    """All running purchases of one buyer; each message goes to its purchase.

    Args:
        kit: The buyer's.
        kind: What buys, which may cheat.
    """

    def __init__(self, kit: Kit, kind: type[RequestingBuyer] = RequestingBuyer) -> None:
        super().__init__()
        self._kit, self._kind = kit, kind
        self._idle = Idle(kit.secret()).client_app()
        self._apps: dict[str, ClientApp] = {}

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message; its group names the purchase."""
        wish = message.metadata.group_id.rpartition("/")[0].rpartition("-")[2]
        if not _WISH.fullmatch(wish):  # the cloud names it, and it becomes the name of a file
            wish = ""
        if wish and wish not in self._apps and _wish_file(self._kit, wish).exists():
            self._apps[wish] = self._kind(self._kit, wish, *_recall(self._kit, wish)).client_app()
        return self._apps.get(wish, self._idle)(message, context)

    def take_up(self, wish: str, wanted: Wanted, out: Path) -> RequestingBuyer:
        """Create a purchase's buyer, and so check its samples and its model before the purchase begins."""
        buyer = self._kind(self._kit, wish, wanted, out)
        self._apps[wish] = buyer.client_app()
        return buyer


def buy(kit: Kit, wanted: Wanted, out: Path, progress: Progress, cheat: type[Any] | None = None) -> Receipt:
    """Buy pictures; the folder then holds them and the receipt.

    Started again with the same folder, after it was stopped or killed, it resumes the same purchase.

    Args:
        kit: The buyer's.
        out: The folder.
        progress: Called as each step begins.
        cheat: A buyer that cheats, in the place of an honest one.

    Raises:
        OutputExists: When the folder holds something else, such as a purchase with other settings.
        BadInput: When the samples or the model cannot be used.
        RunFailed: When the purchase failed.
        Unreachable: When the cloud cannot be reached for a long time, or refuses.
    """
    wanted, out = replace(wanted, samples=user_path(wanted.samples)), user_path(out)
    with user_errors(), alone(kit.state), closing(open_store(kit)) as store:
        begun = _begun(kit, wanted, out)
        wish = begun or secrets.token_hex(16)
        purchases = Purchases(kit, cheating(RequestingBuyer, cheat))
        try:
            buyer = purchases.take_up(wish, wanted, out)
            _mark(kit, wish, wanted, out)
            question = service.BeginPurchase(wish=bytes.fromhex(wish), budget=buyer.budget)
            if begun is None:
                _begin(kit, question, out)
            with user_errors():
                standing = asyncio.run(_play(kit, question, store.app(purchases), progress))
        except KeyboardInterrupt:
            raise Stopped("interrupted; the same command resumes this purchase") from None
        if standing.state == WorkflowState.ENDED and not (out / RECEIPT).exists():
            asked = service.AskStatement(wish=bytes.fromhex(wish))
            with user_errors():
                statement = ask_cloud(kit, service.STATEMENT, asked, Statement)
            buyer.settle_alone(store.state(standing.name), statement)
        _wish_file(kit, wish).unlink()
        (out / MARK).unlink()
        if standing.state != WorkflowState.ENDED:
            raise RunFailed(f"the purchase failed: {standing.note}")
        return Receipt.model_validate_json((out / RECEIPT).read_bytes())


def cancel(kit: Kit, out: Path) -> None:
    """End the purchase that a folder is for, before its invoice is to be paid; the command that began it then ends.

    Raises:
        BadInput: When no purchase of this buyer is for that folder.
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    mark = user_path(out) / MARK
    wish = mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""
    if not _WISH.fullmatch(wish) or not _wish_file(kit, wish).exists():
        raise BadInput(f"{out} is not the folder of a purchase of {kit.identity.name} that is running")
    question = service.CancelPurchase(wish=bytes.fromhex(wish))
    ask_cloud(kit, service.CANCEL, question, service.PurchaseStanding)


def _begin(kit: Kit, question: service.BeginPurchase, out: Path) -> None:
    """Begin a purchase; if the cloud refuses at once, nothing stays behind."""
    try:
        ask_cloud(kit, service.PURCHASE, question, service.PurchaseStanding)
    except Away:  # it may have heard
        return
    except Unreachable:
        _wish_file(kit, question.wish.hex()).unlink()
        (out / MARK).unlink()
        with suppress(OSError):  # it holds something
            out.rmdir()
        raise


async def _play(
    kit: Kit, question: service.BeginPurchase, app: ClientApp, progress: Progress
) -> service.PurchaseStanding:
    attached = asyncio.create_task(attachment(kit, app).run())
    watching = asyncio.create_task(_watch(kit, question, progress))
    try:
        await asyncio.wait({attached, watching}, return_when=asyncio.FIRST_COMPLETED)
        if attached.done():
            attached.result()
        return watching.result()
    finally:
        for task in (attached, watching):
            task.cancel()
        await asyncio.gather(attached, watching, return_exceptions=True)


async def _watch(kit: Kit, question: service.BeginPurchase, progress: Progress) -> service.PurchaseStanding:
    """Begin the purchase, unless it was begun before, and wait for its end."""
    pause = GLANCE
    progress("waiting for the cloud", 0, len(Purchase.STEPS))
    while True:
        try:
            standing = await asyncio.to_thread(ask_cloud, kit, service.PURCHASE, question, service.PurchaseStanding)
        except Away:
            progress("waiting for the cloud", 0, len(Purchase.STEPS))
            pause = min(2 * pause, LONGEST_GLANCE)
        else:
            pause = GLANCE
            if standing.state != WorkflowState.OPEN:
                return standing
            if standing.step:
                progress(
                    f"step {standing.step:2d} of {len(Purchase.STEPS)}: {Purchase.STEPS[standing.step - 1]}",
                    standing.step,
                    len(Purchase.STEPS),
                )
        await asyncio.sleep(pause)


def _begun(kit: Kit, wanted: Wanted, out: Path) -> str | None:
    """Return the name of the purchase that the folder is for, None for a new folder."""
    if (out / MARK).exists():
        wish = (out / MARK).read_text(encoding="utf-8").strip()
        if not _wish_file(kit, wish).exists():
            raise BadKit(f"{out} holds a purchase that was begun with another kit; use that one, or another --out")
        begun, _ = _recall(kit, wish)
        if begun != replace(wanted, samples=wanted.samples.absolute()):
            chosen = "" if begun.agents is Agents.IMAGES else f" --agents {begun.agents}"
            chosen += "" if begun.mechanism is None else f" --mechanism {begun.mechanism}"
            chosen += "" if begun.max_price is None else f" --max-price {begun.max_price:g}"
            raise OutputExists(
                f"{out} holds a purchase that was begun with --samples {begun.samples} --budget {begun.budget:g} "
                f"--quality {begun.quality}{chosen}; resume it with the same settings, or name another folder with "
                "--out"
            )
        return wish
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExists(f"{out} is already there; name another folder with --out")
    return None


def _mark(kit: Kit, wish: str, wanted: Wanted, out: Path) -> None:
    """Store the request, and which purchase the folder is for."""
    private_folder(kit.state / WISHES)
    written = {
        "samples": str(wanted.samples.absolute()),
        "budget": wanted.budget,
        "quality": wanted.quality.value,
        "model": vars(wanted.model),
        "mechanism": wanted.mechanism,
        "agents": wanted.agents.value,
        "max_price": wanted.max_price,
        "out": str(out.absolute()),
    }
    try:
        write_private(_wish_file(kit, wish), json.dumps(written, indent=2).encode())
        private_folder(out)
        write_private(out / MARK, wish.encode())
    except OSError:
        _wish_file(kit, wish).unlink(missing_ok=True)
        with suppress(OSError):  # it is there and holds something, or was never made
            out.rmdir()
        raise
    make_lasting([_wish_file(kit, wish), out / MARK])


def _recall(kit: Kit, wish: str) -> tuple[Wanted, Path]:
    read = json.loads(_wish_file(kit, wish).read_bytes())
    quality, model = Quality(read["quality"]), Model(**read["model"])
    agents = Agents(read.get("agents", Agents.IMAGES))
    wanted = Wanted(
        Path(read["samples"]), read["budget"], quality, model, read.get("mechanism"), agents, read.get("max_price")
    )
    return wanted, Path(read["out"])


def _wish_file(kit: Kit, wish: str) -> Path:
    return kit.state / WISHES / f"{wish}.json"
