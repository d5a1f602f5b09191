"""Price runs by tier, and decide whether a monthly budget allows another call."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from time import monotonic
from types import MappingProxyType

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

from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.settings import TierPrice, prices_of

log = structlog.get_logger(__name__)

READ_SECONDS = 5.0
"""How often the month's totals are read, and a spent budget is checked."""

FRESH_SECONDS = 0.5
"""Maximum age of the totals for a decision about a call with a budget. Other workers' spending in
this time, and their calls in flight, can exceed the budget.
"""

_NOTHING = Decimal(0)


class _Sums:
    """Sums of charges, by month and billing group or detector."""

    def __init__(self) -> None:
        self.units: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)
        self.usd: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)

    def add(self, month: date, detector: str, charges: Iterable[Charge]) -> None:
        for charge in charges:
            self.units[month, charge.billing_group] += charge.billed_units
            self.usd[month, detector] += charge.price_usd

    def take(self, other: "_Sums", *, sign: int) -> None:
        """Add or subtract another object's sums, and forget those that are 0."""
        for mine, others in ((self.units, other.units), (self.usd, other.usd)):
            for key, amount in others.items():
                mine[key] += sign * amount
                if not mine[key]:
                    del mine[key]


class Budget:
    """The month's bill: the history's totals plus this worker's uncommitted charges.

    Args:
        history: Stores the month's totals.
        threads: Run calls of the history.
        gate: Closed for ``budget NAME`` while a detector's budget is spent.
        prices: Tiers by detector, from the settings. They override the detector's own.
        budgets: US dollars per month by detector, from the settings.
    """

    def __init__(
        self,
        history: History,
        threads: DaemonThreads,
        gate: ReceiveGate,
        *,
        prices: Mapping[str, Sequence[TierPrice]] = MappingProxyType({}),
        budgets: Mapping[str, Decimal] = MappingProxyType({}),
    ) -> None:
        self._history = history
        self._threads = threads
        self._gate = gate
        self._set_prices = prices
        self._set_budgets = budgets
        self._prices: dict[str, tuple[Price, ...]] = {}
        self._budgets: dict[str, Decimal] = {}
        self._groups: set[str] = set()
        self._reads = False
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._totals = MonthTotals(month_of(datetime.now(UTC)), {}, {})
        self._charged = _Sums()  # by this worker, and possibly not in the totals yet
        self._recorded = _Sums()  # the part that the next reading will include
        self._reserved: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._units_a_call: dict[str, Decimal] = {}
        self._spent: set[str] = set()

    def add(self, detector: str, capabilities: Capabilities, *, closes_gate: bool = True) -> None:
        """Add a detector's prices and budget.

        Args:
            detector: The detector's name.
            capabilities: Have its own prices.
            closes_gate: Whether its spent budget closes the gate. The history checks the budget of
                jobs, and they don't wait in the queue.

        Raises:
            ConfigurationError: It has a budget but no price, so the budget would have no effect.
        """
        prices = prices_of(detector, capabilities, self._set_prices.get(detector))
        if prices:
            self._prices[detector] = prices
            self._groups |= {price.billing_group for price in prices}
            self._reads |= any(len(price.tiers) > 1 for price in prices)
        budget = self._set_budgets.get(detector)
        if budget is None:
            return
        if not prices:
            raise ConfigurationError(
                f"RETINUE_MONTHLY_BUDGETS_USD[{detector}]: detector {detector} has no price, so "
                "its budget would never be spent; set RETINUE_PRICES, or drop the budget"
            )
        if closes_gate:
            self._budgets[detector] = budget
        self._reads = True

    async def keep_reading(self) -> None:
        """Read the month's totals until cancelled, if prices or budgets need them.

        A spent budget closes the gate, and a new month opens it.
        """
        if not self._reads:
            return
        while True:
            try:
                await self._read()
                self._close_or_open()
            except Exception:  # a bug must not end the loop silently
                log.exception("budget_check_failed")
            await asyncio.sleep(READ_SECONDS)

    def charges(
        self, detector: str, units: Decimal, at: datetime, images: int = 1
    ) -> tuple[Charge, ...]:
        """Return the charges of billed units by billing group, and add them to the month's bill.

        Args:
            detector: The detector that was billed.
            units: Number of units.
            at: When they were billed.
            images: For how many images or frames, to estimate the next one.
        """
        prices = self._prices.get(detector, ())
        if not units or not prices:
            return ()
        month = month_of(at)
        self._units_a_call[detector] = units / images
        charges = [
            Charge(
                price.billing_group,
                units,
                price.usd(units, before=self._units(month, price.billing_group)),
            )
            for price in prices
        ]
        if self._reads:
            self._charged.add(month, detector, charges)
        return tuple(charges)

    def expected(self, detector: str, units: Decimal) -> Charge:
        """Return the probable cost of a job, in the billing group of its first price."""
        prices = self._prices.get(detector, ())
        group = prices[0].billing_group if prices else detector
        return Charge(group, units, self._usd(detector, units))

    def limit_usd(self, detector: str) -> Decimal | None:
        """Return a detector's monthly budget in US dollars; ``None`` if it has none."""
        return self._set_budgets.get(detector)

    def unit_usd(self, detector: str) -> Decimal:
        """Return the price of the next unit in US dollars; 0 if it is free."""
        return self._usd(detector, Decimal(1))

    def record(self, runs: Iterable[RunRecord]) -> None:
        """Record runs that were committed or never will be. The next reading includes them."""
        if self._reads:
            for run in runs:
                self._recorded.add(month_of(run.started_at), run.key.detector, run.charges)

    async def reserve(self, detector: str, images: int) -> Decimal | None:
        """Reserve the probable cost of a call until ``release``. By then its runs are charged.

        Args:
            detector: The detector to call.
            images: Number of images in the call.

        Returns:
            The amount in US dollars. ``None`` if the budget doesn't allow the call; then the gate
            is closed.
        """
        budget = self._budgets.get(detector)
        if budget is None:
            return _NOTHING
        if monotonic() - self._read_at > FRESH_SECONDS:
            await self._read(unless_fresh=True)
        usd = self._next_usd(detector) * images
        if self._bill(detector) + usd > budget:
            self._close_gate(detector)
            return None
        self._reserved[detector] += usd
        return usd

    def release(self, detector: str, usd: Decimal) -> None:
        """Release the amount reserved for a call that has ended."""
        if usd:
            self._reserved[detector] -= usd

    async def _read(self, *, unless_fresh: bool = False) -> None:
        """Read the totals. While the database is unavailable, the last ones apply.

        Args:
            unless_fresh: Skip the reading if another call did it meanwhile.
        """
        async with self._reading:
            if unless_fresh and monotonic() - self._read_at <= FRESH_SECONDS:
                return
            recorded, self._recorded = self._recorded, _Sums()
            month, began = month_of(datetime.now(UTC)), monotonic()
            try:
                totals = await self._threads.run(
                    self._history.month_totals, month, self._prices.keys(), self._groups
                )
            except Exception as error:  # it must not end a detector's call
                if not isinstance(error, HistoryUnavailableError):
                    log.exception("budget_check_failed")
                self._recorded.take(recorded, sign=1)
            else:
                self._totals = totals
                self._charged.take(recorded, sign=-1)
            self._read_at = began

    def _close_or_open(self) -> None:
        """Close or open the gate by the current totals."""
        for detector, budget in self._budgets.items():
            if self._bill(detector) + self._next_usd(detector) > budget:
                self._close_gate(detector)
            else:
                self._spent.discard(detector)
                self._gate.open(f"budget {detector}")

    def _close_gate(self, detector: str) -> None:
        if detector in self._spent:  # logged already, with the figures of that moment
            return
        self._spent.add(detector)
        spent, month = self._bill(detector), self._totals.month
        resumes = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
        self._gate.close(
            f"budget {detector}",
            f"detector {detector} has spent ${spent:.4f} of its budget of "
            f"${self._budgets[detector]} for {month:%Y-%m}, and another call would exceed it. "
            f"Receiving resumes on {resumes:%Y-%m-%d} at 00:00 UTC, or when "
            "RETINUE_MONTHLY_BUDGETS_USD allows more and the worker is started again",
        )

    def _units(self, month: date, group: str) -> Decimal:
        """Return the month's units of a billing group."""
        totals = self._totals
        recorded = totals.units.get(group, _NOTHING) if month == totals.month else _NOTHING
        return recorded + self._charged.units.get((month, group), _NOTHING)

    def _bill(self, detector: str) -> Decimal:
        """Return a detector's cost in US dollars in the month of the totals."""
        month = self._totals.month
        return (
            self._totals.usd.get(detector, _NOTHING)
            + self._charged.usd.get((month, detector), _NOTHING)
            + self._reserved[detector]
        )

    def _next_usd(self, detector: str) -> Decimal:
        """Return the probable cost of the next image, with as many units as the last one."""
        return self._usd(detector, self._units_a_call.get(detector, Decimal(1)))

    def _usd(self, detector: str, units: Decimal) -> Decimal:
        """Return the cost of a number of further units."""
        month = self._totals.month
        return sum(
            (
                price.usd(units, before=self._units(month, price.billing_group))
                for price in self._prices.get(detector, ())
            ),
            _NOTHING,
        )
