"""What may be spent on a server: requests and money, counted before they are spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock


class Budget:
    """A hard limit that several askers may share; None is no limit.

    A request is counted, and the most it can cost is set aside, before it is sent; when its reply is in, what it did
    cost takes the place of what was set aside. A ledger that outlives the process is kept up to date: wherever the
    process is killed, its sums are never less than what is spent.

    Attributes:
        max_requests: HTTP requests that may be sent, retries included.
        max_cost: Money that may be spent, in the currency of the prices.
        spent_requests: Requests counted so far.
        spent_cost: Money spent so far, without what is set aside for requests under way.
    """

    def __init__(
        self,
        *,
        max_requests: int | None,
        max_cost: float | None,
        spent_requests: int = 0,
        spent_cost: float = 0.0,
        ledger: Callable[[int, float], None] | None = None,
    ) -> None:
        """Begin where an earlier run of the same budget ended: with what is spent already.

        Args:
            max_requests: See above.
            max_cost: See above.
            spent_requests: What earlier runs spent.
            spent_cost: What earlier runs spent.
            ledger: Called with the requests and the money to add: (1, the most it can cost) before a request is sent,
                and (0, the difference, mostly negative) when its cost is known. One thread at a time calls it; it may
                block. What it raises, `reserve` and `settle` raise.
        """
        self.max_requests = max_requests
        self.max_cost = max_cost
        self.spent_requests = spent_requests
        self.spent_cost = spent_cost
        self._ledger = ledger
        self._set_aside: list[float] = []
        self._lock = Lock()

    def reserve(self, most: float, *, requests: int = 1, ledger: Callable[[int, float], None] | None = None) -> bool:
        """Count requests and set `most` aside for them; False, and nothing done, if a limit would be exceeded.

        Args:
            most: The most they can cost.
            requests: So many.
            ledger: Called in place of the budget's own.
        """
        tell = ledger or self._ledger
        with self._lock:
            if self.max_requests is not None and self.spent_requests + requests > self.max_requests:
                return False
            # Summed anew each time: running sums would drift by rounding.
            if self.max_cost is not None and self.spent_cost + sum(self._set_aside) + most > self.max_cost:
                return False
            if tell:
                tell(requests, most)
            self.spent_requests += requests
            self._set_aside.append(most)
            return True

    def settle(
        self, most: float, cost: float, *, unsent: int = 0, ledger: Callable[[int, float], None] | None = None
    ) -> None:
        """Spend `cost` in place of the `most` that was set aside.

        Args:
            most: See `reserve`.
            cost: What it did cost.
            unsent: So many of the requests were never sent, and count no more.
            ledger: As for `reserve`, called in any case.
        """
        with self._lock:
            self._set_aside.remove(most)
            self.spent_cost += cost
            self.spent_requests -= unsent
            if ledger:
                ledger(-unsent, cost - most)
            elif self._ledger and cost != most:
                self._ledger(0, cost - most)

    def fitting(self, costs: Iterable[float]) -> int:
        """How many requests from the first on may be reserved together, if each costs the most it can."""
        with self._lock:
            count, total = 0, self.spent_cost + sum(self._set_aside)
            for cost in costs:
                total += cost
                if self.max_requests is not None and self.spent_requests + count >= self.max_requests:
                    break
                if self.max_cost is not None and total > self.max_cost:
                    break
                count += 1
            return count

    def adopt(self, most: float) -> None:
        """Take for set aside what an earlier run set aside and counts as spent."""
        with self._lock:
            self.spent_cost -= most
            self._set_aside.append(most)

    def __str__(self) -> str:
        requests = "any number of" if self.max_requests is None else str(self.max_requests)
        money = "any sum" if self.max_cost is None else f"{self.max_cost:g}"
        return f"{self.spent_requests} of {requests} requests sent, {self.spent_cost:g} of {money} spent"
