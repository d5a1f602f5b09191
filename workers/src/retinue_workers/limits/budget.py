"""What runs cost by tier, and whether a detector's monthly budget allows another call."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Event, Lock, Thread
from time import monotonic
from types import MappingProxyType
from typing import TypeVar

import structlog
from retinue_history import (
    Charge,
    History,
    HistoryUnavailableError,
    MonthTotals,
    RunRecord,
    month_of,
)
from retinue_sdk import Capabilities, ConfigurationError, Price
from retinue_sdk.price import flat

from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.settings.settings import TierPrice, as_tiers

log = structlog.get_logger(__name__)

READ_SECONDS = 5.0
"""How often the month's totals are read, and a spent budget is looked at again."""

FRESH_SECONDS = 0.5
"""Age of the totals up to which they decide about a call of a detector with a budget. Besides what
others have in flight, it is what they spend in this time by which a budget can be exceeded."""


NOTHING = Decimal(0)

KeyT = TypeVar("KeyT")


class _Sums:
    """Charges added up, by month and price group or detector."""

    def __init__(self) -> None:
        self.units: dict[tuple[date, str], Decimal] = {}
        self.usd: dict[tuple[date, str], Decimal] = {}

    def add(self, month: date, detector: str, charges: Iterable[Charge]) -> None:
        for charge in charges:
            _add(self.units, (month, charge.price_group), charge.billed_units)
            _add(self.usd, (month, detector), charge.price_usd)

    def take(self, other: "_Sums", *, sign: int) -> None:
        """Add the other's sums, or subtract them."""
        for mine, others in ((self.units, other.units), (self.usd, other.usd)):
            for key, amount in others.items():
                _add(mine, key, sign * amount)


def _add(sums: dict[KeyT, Decimal], key: KeyT, amount: Decimal) -> None:
    total = sums.get(key, Decimal(0)) + amount
    if total:
        sums[key] = total
    else:
        sums.pop(key, None)


class Spending:
    """The month's bill: what the history knows, and what this worker has not committed yet.

    Args:
        history: Where the month's totals are kept.
        breaker: Tripped, as ``budget NAME``, while a detector's budget is spent.
        prices: Tiers by detector, from the settings; they go before the detector's own.
        budgets: US dollars a month by detector, from the settings.
    """

    def __init__(
        self,
        history: History,
        breaker: CircuitBreaker,
        *,
        prices: Mapping[str, Sequence[TierPrice]] = MappingProxyType({}),
        budgets: Mapping[str, Decimal] = MappingProxyType({}),
    ) -> None:
        """Read nothing yet."""
        self._history = history
        self._breaker = breaker
        self._set_prices = prices
        self._set_budgets = budgets
        self._prices: dict[str, tuple[Price, ...]] = {}
        self._budgets: dict[str, Decimal] = {}
        self._groups: set[str] = set()
        self._reads = False
        self._lock = Lock()
        self._reading = Lock()
        self._read_at = float("-inf")
        self._totals = MonthTotals(month_of(datetime.now(UTC)), {}, {})
        self._open = _Sums()  # made here, and perhaps not in the totals yet
        self._closed = _Sums()  # of these, what the next reading will tell
        self._under_way: dict[str, Decimal] = {}
        self._units_a_call: dict[str, Decimal] = {}
        self._spent: set[str] = set()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="spending", daemon=True)

    def add(self, detector: str, capabilities: Capabilities) -> None:
        """Take in a detector's prices and budget.

        Raises:
            ConfigurationError: It has a budget and no price, so the budget would never be spent.
        """
        prices = prices_of(detector, capabilities, self._set_prices.get(detector))
        if prices:
            self._prices[detector] = prices
            self._groups |= {price.group for price in prices}
            self._reads |= any(len(price.tiers) > 1 for price in prices)
        budget = self._set_budgets.get(detector)
        if budget is None:
            return
        if not prices:
            raise ConfigurationError(
                f"RETINUE_MONTHLY_BUDGETS_USD[{detector}]: detector {detector} has no price, so "
                "its budget would never be spent; set RETINUE_PRICES, or drop the budget"
            )
        self._budgets[detector] = budget
        self._reads = True

    def start(self) -> None:
        """Read the month's totals, and go on reading them if they can change anything."""
        if self._reads:
            self._look()
            self._judge()
            self._thread.start()

    def stop(self) -> None:
        """Read no more; nothing is lost with the thread."""
        self._stopping.set()

    def charges(self, detector: str, units: Decimal, at: datetime) -> tuple[Charge, ...]:
        """What so many units cost now, by price group; counted until ``closed`` takes them back.

        Args:
            detector: Whose units.
            units: How many.
            at: When they were billed.
        """
        prices = self._prices.get(detector, ())
        if not units or not prices:
            return ()
        month = month_of(at)
        with self._lock:
            self._units_a_call[detector] = units
            charges = tuple(
                Charge(price.group, units, price.usd(units, before=self._units(month, price.group)))
                for price in prices
            )
            if self._reads:
                self._open.add(month, detector, charges)
        return charges

    def unit_usd(self, detector: str) -> Decimal:
        """What one more unit would cost now, in US dollars; 0 if it costs nothing."""
        with self._lock:
            return self._usd(detector, Decimal(1))

    def closed(self, runs: Iterable[RunRecord]) -> None:
        """Runs were committed, or never will be: from the next reading on, the totals have them."""
        if self._reads:
            with self._lock:
                for run in runs:
                    self._closed.add(month_of(run.started_at), run.key.detector, run.charges)

    def set_aside(self, detector: str, images: int) -> Decimal | None:
        """Set aside what a call will cost, until ``take_back``, when its runs are charged.

        Args:
            detector: Whose call.
            images: How many images it is about.

        Returns:
            How much, in US dollars; ``None`` if the budget does not allow the call, so that
            receiving is stopped.
        """
        budget = self._budgets.get(detector)
        if budget is None or not images:
            return NOTHING
        if monotonic() - self._read_at > FRESH_SECONDS:
            self._look()
        with self._lock:
            aside = self._next_usd(detector) * images
            fits = self._bill(detector) + aside <= budget
            if fits:
                _add(self._under_way, detector, aside)
        if fits:
            return aside
        self._stop_receiving(detector)
        return None

    def take_back(self, detector: str, usd: Decimal) -> None:
        """A call has ended: what was set aside for it is charged, or was not spent."""
        if usd:
            with self._lock:
                _add(self._under_way, detector, -usd)

    def spent_usd(self) -> dict[str, tuple[Decimal, Decimal]]:
        """For each detector with a budget: what this month has cost as far as known, and it."""
        with self._lock:
            return {name: (self._bill(name), usd) for name, usd in self._budgets.items()}

    def _run(self) -> None:
        while not self._stopping.wait(READ_SECONDS):
            try:
                self._look()
                self._judge()
            except Exception:  # a bug must not end the loop in silence
                log.exception("spending_not_judged")

    def _look(self) -> None:
        """Read the totals; without a database the last ones hold."""
        with self._reading:
            with self._lock:
                told, self._closed = self._closed, _Sums()
            month, began = month_of(datetime.now(UTC)), monotonic()
            try:
                totals = self._history.month_totals(month, self._prices.keys(), self._groups)
            except Exception as error:  # a lane's thread must not end by it
                if not isinstance(error, HistoryUnavailableError):
                    log.exception("spending_not_read")
                with self._lock:
                    self._closed.take(told, sign=1)
            else:
                with self._lock:
                    self._totals = totals
                    self._open.take(told, sign=-1)
            self._read_at = began

    def _judge(self) -> None:
        """Stop or resume receiving by what is known now."""
        for detector, budget in self._budgets.items():
            with self._lock:
                fits = self._bill(detector) + self._next_usd(detector) <= budget
            if not fits:
                self._stop_receiving(detector)
            else:
                self._spent.discard(detector)
                self._breaker.reset(f"budget {detector}")

    def _stop_receiving(self, detector: str) -> None:
        with self._lock:
            if detector in self._spent:  # said already, with the figures of that moment
                return
            self._spent.add(detector)
            spent, month = self._bill(detector), self._totals.month
        resumes = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
        self._breaker.trip(
            f"budget {detector}",
            f"detector {detector} has spent ${spent:.4f} of its budget of "
            f"${self._budgets[detector]} for {month:%Y-%m}, and another call would exceed it. "
            f"Receiving resumes on {resumes:%Y-%m-%d} at 00:00 UTC, or when "
            "RETINUE_MONTHLY_BUDGETS_USD allows more and the worker is started again",
        )

    def _units(self, month: date, group: str) -> Decimal:
        """Units of a price group in a month; the lock is held."""
        known = month == self._totals.month
        return self._open.units.get((month, group), Decimal(0)) + (
            self._totals.units.get(group, Decimal(0)) if known else Decimal(0)
        )

    def _bill(self, detector: str) -> Decimal:
        """US dollars of a detector in the month of the totals; the lock is held."""
        month = self._totals.month
        return (
            self._totals.usd.get(detector, Decimal(0))
            + self._open.usd.get((month, detector), Decimal(0))
            + self._under_way.get(detector, Decimal(0))
        )

    def _next_usd(self, detector: str) -> Decimal:
        """What the next image will probably cost: as many units as the last; the lock is held."""
        return self._usd(detector, self._units_a_call.get(detector, Decimal(1)))

    def _usd(self, detector: str, units: Decimal) -> Decimal:
        """What so many more units would cost; the lock is held."""
        month = self._totals.month
        return sum(
            (
                price.usd(units, before=self._units(month, price.group))
                for price in self._prices.get(detector, ())
            ),
            Decimal(0),
        )


def prices_of(
    detector: str, capabilities: Capabilities, wanted: Sequence[TierPrice] | None
) -> tuple[Price, ...]:
    """The settings' price, or else the detector's own; none at all if it costs nothing."""
    own = capabilities.prices
    if wanted is not None:
        prices: tuple[Price, ...] = (as_tiers(wanted, own[0].group if own else detector),)
    else:
        prices = own or (flat(capabilities.usd_per_unit, detector),)
    return prices if any(tier.usd for price in prices for tier in price.tiers) else ()
