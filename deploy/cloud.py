"""The cloud's process: it listens, plays purchases, and answers questions about itself, until it is stopped."""

import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any, TypeVar

from flwr.app import RecordDict

from deploy import accounts
from deploy.books import ledger_of, open_books
from deploy.cheats import serving
from deploy.kit import REVOKED, Address, CloudFile, Kit
from deploy.overview import Overview, overview
from deploy.party import alone, credentials, log, user_errors, vouching
from deploy.pools import Pools
from deploy.web import shown
from parties.broker import Broker, name_of
from parties.featurizers import load_featurizer
from parties.pool.workflow import Pool
from parties.purchase.cloud import ARBITERS, Cloud
from parties.purchase.settlement import CLOUD, account, largest_budget, wanted_reserve
from parties.purchase.statements import statement
from parties.purchase.terms import COIN, terms_of
from parties.purchase.workflow import Purchase, played_by
from protocol.crypto.certificates import ROLES, Identity, Revocations
from protocol.encoding.codec import decode, encode
from protocol.errors import BadKit, ProtocolError
from protocol.grids.grpc import SWITCH, BadAddress, Call, EnrolledRoster, GrpcGrid
from protocol.journal import Journal, WorkflowRow, WorkflowState
from protocol.messages import service
from protocol.messages.base import ProtocolMessage
from protocol.messages.purchase import Statement
from protocol.storage.lease import LeaseLost
from protocol.storage.ledger import Ledger
from protocol.storage.tables import ESCROW
from protocol.storage.vault import Vault

POOL = "pool"
"""The folder in the cloud's state with the features of a pool until it is closed."""
ABSENCE = 3.0
"""Seconds after which a party that has left is no longer asked to take part."""

LAST_CANCEL = Purchase.STEPS.index("notification") + 1
"""The last step in which a buyer can cancel its purchase: from the next on it owes its invoice."""
LAST_ABORT = Purchase.STEPS.index("sealed delivery") + 1
"""The last step in which a purchase can be aborted: from the next on its buyer opens images."""

GATHERING = 15.0
"""Seconds that sellers have to attach again when the cloud restarts."""
OPENING = 60.0
"""Seconds that a question waits for a cloud that is starting."""

Q = TypeVar("Q", bound=ProtocolMessage)
Answer = Callable[[Identity, RecordDict], RecordDict]


def serve(
    kit: Kit,
    ledger_url: str | None = None,
    adopt: bool = False,
    cheat: type[Any] | None = None,
    console: Address | None = None,
) -> None:
    """Run the cloud until the process is stopped (SIGINT or SIGTERM).

    Purchases that were running when it last stopped, or was killed, continue.

    Args:
        kit: The cloud's.
        ledger_url: The ledger's database, instead of the one in ``party.yaml``.
        adopt: Take over a ledger that is not the one this cloud had, or not as it left it; what is open there ends.
        cheat: A workflow that cheats, in the place of the honest one of its role.
        console: Where to show the console and metrics over HTTP.

    Raises:
        BadKit: When it cannot listen, when its ledger cannot be used, or when another cloud has taken it over.
        BadInput: When its featurizer cannot be loaded.
    """
    sys.setswitchinterval(SWITCH)
    stop = threading.Event()
    lost: list[LeaseLost] = []

    def give_up(error: LeaseLost) -> None:
        lost.append(error)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())
    with user_errors(), ExitStack() as stack:
        stack.enter_context(alone(kit.state))
        ledger = open_books(kit, ledger_of(kit, ledger_url), vault_of(kit), stack, adopt=adopt, on_lost=give_up)
        desk = start(kit, ledger, stack, cheat)
        if console is not None:
            port = stack.enter_context(shown(console, desk.overview))
            log("showing", console=str(replace(console, port=port)))
        log("ready")
        stop.wait()
        log("stopping")
    if lost:
        raise BadKit(f"{lost[0]}, and this one has stopped")
    log("stopped")


def start(kit: Kit, ledger: Ledger, stack: ExitStack, cheat: type[Any] | None = None) -> "Desk":
    """Listen, and resume purchases; the stack closes everything in the right order."""
    party, revoked = kit.party, Revocations(kit.folder / REVOKED)
    assert isinstance(party, CloudFile)
    if kit.identity.serial in revoked:
        raise BadKit("this cloud's certificate was revoked: `parley provision add cloud` makes a new one")
    features = kit.state / POOL
    shutil.rmtree(features, ignore_errors=True)  # of a pool that ended with the cloud's process
    roster = EnrolledRoster(ledger.database)
    cloud = cloud_of(kit, party, ledger, roster.account)
    journal = Journal(ledger.database, cloud.vault)
    desk = Desk(cloud, party.purchases)
    try:
        grid = GrpcGrid(
            party.listen,
            credentials(kit),
            roster,
            cloud.vault,
            revoked=revoked,
            calls=desk.calls(),
            absence=ABSENCE,
            quotas=party.quotas.quotas,
        )
    except BadAddress as error:
        raise BadKit(f"{error}; `parley doctor` finds the reason") from None
    stack.enter_context(grid)
    log("listening", address=grid.address, release=version("parley"))
    _gather(grid)
    broker = Broker(journal, grid, {service.PURCHASE: played_by(cloud, kind=serving(Purchase, cheat))}, cloud.clock)
    stack.enter_context(broker)
    desk.open(broker, grid, Pools(grid, Vault(features, lasting=False), serving(Pool, cheat)))
    return desk


def _gather(grid: GrpcGrid) -> None:
    """Wait for sellers that were attached before the cloud stopped, so that purchases do not begin without them."""
    sellers = [node_id for node_id, urn in grid.roster.members().items() if urn.startswith("urn:parley:seller:")]
    if missing := grid.wait_attached(sellers, GATHERING):
        log("some sellers did not come back", missing=len(missing), known=len(sellers))


def vault_of(kit: Kit) -> Vault:
    """Open the vault that ``party.yaml`` names, or the one in the state folder; raises `BadKit`."""
    assert isinstance(kit.party, CloudFile)
    try:
        return Vault(kit.party.vault or kit.state / "vault")
    except (ImportError, OSError, ValueError) as error:
        raise BadKit(f"the vault in party.yaml cannot be opened: {' '.join(str(error).split())}") from None


def cloud_of(kit: Kit, party: CloudFile, ledger: Ledger, accounts: Callable[[str, int], str] = account) -> Cloud:
    """Return the cloud that a kit describes, with its ledger and vault, and the names of accounts."""
    featurizer = load_featurizer(party.terms.featurizer, party.terms.weights, party.terms.calibration)
    return Cloud(
        kit.secret(),
        terms_of(party.terms, featurizer),
        featurizer,
        ledger,
        vault_of(kit),
        {"buyer": round(party.deposits.buyer * COIN), "seller": round(party.deposits.seller * COIN)},
        patience=party.patience,
        arbiter=ARBITERS[party.terms.arbitration],
        accounts=accounts,
        vouching=vouching(kit),
    )


class Desk:
    """Answers questions from parties; see `protocol.messages.service`.

    Args:
        cloud: The cloud that the questions are about.
        most: Purchases that may run at the same time; one buyer may have a quarter of them.
    """

    def __init__(self, cloud: Cloud, most: int) -> None:
        self._cloud = cloud
        self._most = most
        self._most_each = max(1, most // 4)
        self._turn = threading.Lock()
        self._broker: Broker | None = None
        self._grid: GrpcGrid | None = None
        self._pools: Pools | None = None
        self._open = threading.Event()
        self._draining = False

    def open(self, broker: Broker, grid: GrpcGrid, pools: Pools) -> None:
        """Begin to answer; earlier questions have waited."""
        self._broker, self._grid, self._pools = broker, grid, pools
        self._open.set()

    def calls(self) -> dict[str, Call]:
        """Return the questions, and the roles that may ask each."""
        everybody, operators = frozenset(ROLES), frozenset({"operator"})
        return {
            service.HEALTH: Call(everybody, self._answering(service.AskHealth, self._health)),
            service.PURCHASE: Call(frozenset({"buyer"}), self._answering(service.BeginPurchase, self._purchase)),
            service.STATEMENT: Call(frozenset({"buyer"}), self._answering(service.AskStatement, self._statement)),
            service.CANCEL: Call(frozenset({"buyer"}), self._answering(service.CancelPurchase, self._cancel)),
            service.DRAIN: Call(operators, self._answering(service.Drain, self._drain)),
            service.ABORT: Call(operators, self._answering(service.AbortPurchase, self._abort)),
            service.STATUS: Call(operators, self._answering(service.AskStatus, self._status)),
            service.POOL: Call(operators, self._answering(service.BeginPool, self._pool)),
            service.MOVE: Call(operators, self._answering(service.MoveMoney, self._move)),
            service.ACCOUNT: Call(
                operators | self._cloud.deposits.keys(), self._answering(service.AskAccount, self._account)
            ),
        }

    def overview(self) -> Overview:
        """Look at the cloud as it is."""
        broker, grid = self._parts()
        assert self._pools is not None
        return overview(self._cloud, broker, grid, self._pools, self._draining)

    def _health(self, who: Identity, asked: service.AskHealth) -> service.Health:
        return service.Health(time=time.time(), release=version("parley"))

    def _purchase(self, who: Identity, asked: service.BeginPurchase) -> service.PurchaseStanding:
        broker, grid = self._parts()
        node_id = grid.roster.node_id(who.urn)
        if node_id is None:
            raise ProtocolError(f"{who.urn} is not enrolled with this cloud")
        with self._turn:
            begun = broker.begun(name_of(node_id, asked.wish))
            if not begun:
                self._check_open()
            running = [] if begun else broker.journal.workflows(WorkflowState.OPEN)
            if len(running) >= self._most:
                raise ProtocolError(f"{self._most} purchases are running, all that this cloud plays; ask again later")
            if sum(row.opener == node_id for row in running) >= self._most_each:
                raise ProtocolError(
                    f"{self._most_each} purchases of {who.urn} are running, all that one buyer may have"
                )
            if not begun:
                self._check_budget(who, asked.budget)
            return self._standing(broker.journal.workflow(broker.open(service.PURCHASE, node_id, asked.wish)))

    def _check_budget(self, who: Identity, budget: int) -> None:
        """Refuse a budget that the buyer's account cannot hold."""
        terms, money = self._cloud.terms, accounts.free(self._cloud, who.urn)
        if (locked := wanted_reserve(budget, terms.commission, terms.bond)) > money:
            raise ProtocolError(
                f"a budget of {budget / COIN:.2f} coins locks {locked / COIN:.2f}, with the bonds on complaints, and "
                f"{money / COIN:.2f} are free in the account of {who.urn}; the largest budget is "
                f"{largest_budget(money, terms.commission, terms.bond) / COIN:.2f}"
            )

    def _statement(self, who: Identity, asked: service.AskStatement) -> Statement:
        broker, grid = self._parts()
        name = name_of(grid.roster.known(who.urn) or 0, asked.wish)
        if not broker.begun(name) or broker.journal.workflow(name).state is WorkflowState.OPEN:
            raise ProtocolError("no purchase of this name has ended")
        buyer = self._cloud.accounts("buyer", broker.journal.workflow(name).opener)
        return statement(replace(self._cloud, purchase=name), buyer)

    def _cancel(self, who: Identity, asked: service.CancelPurchase) -> service.PurchaseStanding:
        broker, grid = self._parts()
        name = name_of(grid.roster.known(who.urn) or 0, asked.wish)
        if not broker.begun(name):
            raise ProtocolError("no purchase of this name was begun")
        if not broker.abort(name, "its buyer cancelled it", LAST_CANCEL):
            row = broker.journal.workflow(name)
            owed = row.state is WorkflowState.OPEN
            raise ProtocolError("its invoice is to be paid already" if owed else f"it has {row.state} already")
        log("purchase cancelled", purchase=name, by=who.urn)
        return self._standing(broker.journal.workflow(name))

    def _drain(self, who: Identity, asked: service.Drain) -> service.DrainStanding:
        broker, _ = self._parts()
        assert self._pools is not None
        with self._turn:
            if asked.on != self._draining:
                self._draining = asked.on
                log("draining" if asked.on else "no longer draining", by=who.urn)
        running = broker.journal.counts().get(WorkflowState.OPEN, 0) + self._pools.running()
        return service.DrainStanding(draining=self._draining, running=running)

    def _check_open(self) -> None:
        if self._draining:
            raise ProtocolError("this cloud is being drained for a restart, and begins nothing new; ask again later")

    def _abort(self, who: Identity, asked: service.AbortPurchase) -> service.PurchaseStanding:
        broker, _ = self._parts()
        if not broker.begun(asked.name):
            raise ProtocolError(f"there is no purchase {asked.name}; `parley status` names them")
        row = broker.journal.workflow(asked.name)
        if row.state is not WorkflowState.OPEN:
            raise ProtocolError(f"the purchase {asked.name} has ended already")
        if not broker.abort(asked.name, f"{who.urn} ended it", LAST_ABORT):
            raise ProtocolError(f"the buyer of {asked.name} is opening its images; it ends by itself at its deadline")
        log("purchase aborted", purchase=asked.name, by=who.urn)
        return self._standing(broker.journal.workflow(asked.name))

    def _pool(self, who: Identity, asked: service.BeginPool) -> service.PoolStanding:
        self._parts()
        assert self._pools is not None
        with self._turn:
            if not self._pools.begun(asked):
                self._check_open()
            return self._pools.begin(asked)

    def _move(self, who: Identity, asked: service.MoveMoney) -> service.AccountPage:
        _, grid = self._parts()
        found = accounts.move(self._cloud, grid.roster.members().values(), who, asked)
        log("money moved", account=found.account, amount=asked.amount, by=who.urn)
        return found

    def _account(self, who: Identity, asked: service.AskAccount) -> service.AccountPage:
        _, grid = self._parts()
        return accounts.page(self._cloud, grid.roster.members().values(), who, asked)

    def _status(self, who: Identity, asked: service.AskStatus) -> service.Status:
        broker, grid = self._parts()
        balances = self._cloud.ledger.balances()
        attached, rivals, members = set(grid.attached()), grid.contested(), grid.roster.members()
        counts, listed = broker.journal.counts(), broker.journal.latest(service.PURCHASES, asked.without)
        parties = [
            service.PartyStanding(
                urn=urn,
                node_id=node_id,
                attached=node_id in attached,
                balance=balances.get(urn),
                rival=rivals.get(node_id, ""),
            )
            for node_id, urn in sorted(members.items())
            if node_id > asked.after
        ]
        return service.Status(
            time=time.time(),
            release=version("parley"),
            known=len(members),
            attached=len(attached),
            open=counts.get(WorkflowState.OPEN, 0),
            ended=counts.get(WorkflowState.ENDED, 0),
            failed=counts.get(WorkflowState.FAILED, 0),
            parties=tuple(parties[: service.PARTIES]),
            purchases=tuple(self._standing(row) for row in listed),
            escrow=balances.get(ESCROW, 0),
            earned=balances.get(CLOUD, 0),
        )

    def _standing(self, row: WorkflowRow) -> service.PurchaseStanding:
        _, grid = self._parts()
        buyer = grid.roster.members().get(row.opener, str(row.opener))
        return service.PurchaseStanding(
            name=row.name, buyer=buyer, state=row.state, step=row.step, begun_at=row.begun_at, note=row.note[:1000]
        )

    def _parts(self) -> tuple[Broker, GrpcGrid]:
        self._open.wait(OPENING)
        if self._broker is None or self._grid is None:
            raise ProtocolError("the cloud is starting; ask again in a moment")
        return self._broker, self._grid

    @staticmethod
    def _answering(
        kind: type[Q], answer: Callable[[Identity, Q], ProtocolMessage]
    ) -> Callable[[Identity, RecordDict], RecordDict]:
        return lambda who, content: encode(answer(who, decode(content, kind)))
