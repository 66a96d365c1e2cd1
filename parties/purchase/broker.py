"""The cloud as a daemon: many purchases at once, each going on where it stopped when the cloud was killed."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self

from flwr.serverapp import Grid

from parties.purchase.cloud import Cloud
from parties.purchase.record import PurchaseFailed, PurchaseRecord
from parties.purchase.workflow import Purchase
from protocol.journal import Interrupted, Journal, JournaledExchange, PurchaseRow, PurchaseState

FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0
"""Seconds before a purchase that broke off, as when the database was away, is played again: at first, and at most."""

_log = logging.getLogger(__name__)


class Broker:
    """Plays each purchase in a thread of its own, from the journal.

    1. A buyer that is attached asks for a purchase by a wish of its own; asking again is the same purchase.
    2. The cloud's draws for it derive from its name, too, so that no two share one.
    3. What its parties say is in the journal before it counts. `resume` plays on what is open.
    4. Money and blobs are held once each, however often a purchase is played (`settlement`, `Journal`).

    Parameters
    ----------
    cloud : Cloud
        Terms, money and storage, on whose ledger's database the journal is kept.
    grid : Grid
        Carries the messages of all purchases; several threads use it at once.
    on_settled : callable
        Told the name and the record of each purchase that has been settled.
    """

    def __init__(
        self,
        cloud: Cloud,
        grid: Grid,
        on_settled: Callable[[str, PurchaseRecord], None] = lambda name, record: None,
    ) -> None:
        self.cloud = cloud
        self.grid = grid
        self.journal = Journal(cloud.ledger.database, cloud.vault)
        self._on_settled = on_settled
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def resume(self) -> list[str]:
        """Play on every purchase that is open, and return their names; call it once, before the first `open`."""
        self.journal.tidy(time.time())
        rows = self.journal.purchases(PurchaseState.OPEN)
        for row in rows:
            _log.info("purchase %s goes on at step %d", row.name, row.step)
            self._start(row.name, row.buyer)
        return [row.name for row in rows]

    def open(self, buyer: int, wish: bytes) -> str:
        """Begin a purchase, unless it was begun before, and return its name.

        Parameters
        ----------
        buyer : int
            Node id of the buyer who asks.
        wish : bytes
            1 to 32 bytes that this buyer has never asked with, or those of a purchase it wants to know again.
        """
        if not 1 <= len(wish) <= 32:
            raise ValueError(f"a wish has 1 to 32 bytes, not {len(wish)}")
        name = f"{buyer}-{wish.hex()}"
        if self.journal.begin(name, buyer, self.cloud.clock()):
            _log.info("purchase %s begins", name)
            self._start(name, buyer)
        return name

    def purchases(self) -> list[PurchaseRow]:
        """Return all purchases and the steps that they are at."""
        return self.journal.purchases()

    def wait(self, name: str, timeout: float | None = None) -> PurchaseRow:
        """Wait until a purchase has ended, or the time (seconds) is up, and return how it stands."""
        with self._changed:
            self._changed.wait_for(lambda: self.journal.purchase(name).state is not PurchaseState.OPEN, timeout)
        return self.journal.purchase(name)

    def play(self, name: str, buyer: int) -> None:
        """Play a purchase that is open from its start to its end, in this thread.

        Raises
        ------
        Interrupted
            When the broker is closed meanwhile.
        """
        cloud = replace(self.cloud, purchase=name)
        exchange = JournaledExchange(self.grid, cloud.clock, self.journal, name, self._stopping)
        on_step = partial(self.journal.reach, name)
        try:
            record = Purchase(cloud, self.grid, on_step, buyer=buyer, exchange=exchange).run()
        except PurchaseFailed as failed:
            _log.warning("purchase %s failed: %s", name, failed)
            self.journal.end(name, PurchaseState.FAILED, str(failed))
            return
        _log.info("purchase %s is settled: %d images", name, sum(offer.paid for offer in record.offers))
        self._on_settled(name, record)

    def close(self) -> None:
        """Stop all purchases where they are; they go on with the next `resume`."""
        self._stopping.set()
        for thread in self._threads.values():
            thread.join()

    def _start(self, name: str, buyer: int) -> None:
        thread = threading.Thread(target=self._play, args=(name, buyer), name=f"purchase {name}", daemon=True)
        self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()} | {name: thread}
        thread.start()

    def _play(self, name: str, buyer: int) -> None:
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self.play(name, buyer)
            except Interrupted:
                return
            except Exception:
                _log.exception("purchase %s broke off and is played again in %g s", name, pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                with self._changed:
                    self._changed.notify_all()
                return
