"""Find columns that leak the target to a model."""

from collections import deque
from collections.abc import Sequence

# Fewer rows than this could be equal by chance.
_ROWS = 20
# The most rows between a value and the target that it is compared with.
_SHIFTS = 1000


class Leaks:
    """Compares each column with the target of the same row, of later and of earlier rows.

    A column that equals the target of its own row or of a later one gives a model the answer. So does a column that is
    known in the future, where it equals the target of less than a horizon before.

    Args:
        columns: The columns, the target first.
        known: The columns that are known in the future.
        lookback: The number of rows that a model sees.
        horizon: The number of rows that it forecasts.
    """

    def __init__(self, columns: Sequence[str], known: Sequence[str], lookback: int, horizon: int) -> None:
        self._columns, self._rows, self._series = columns, 0, 1
        self._targets: set[float] = set()
        last = min(lookback + horizon, _SHIFTS)
        self._recent: deque[list[float]] = deque(maxlen=last + 1)
        self._shifts = {
            i: list(range(1 - min(horizon, last) if name in known else 0, last + 1))
            for i, name in enumerate(columns)
            if i
        }

    def begin(self) -> None:
        """Begin with the next series of many, whose rows aren't compared with those before."""
        self._series += bool(self._rows)
        self._recent.clear()

    def add(self, values: list[float]) -> None:
        """Compare the next row. NaN counts as equal to everything."""
        self._rows += 1
        if not any(self._shifts.values()):
            return
        self._recent.append(values)
        if len(self._targets) < 2:
            self._targets.add(values[0])
        for i, shifts in self._shifts.items():
            if shifts:
                self._shifts[i] = [shift for shift in shifts if self._equal(i, shift)]

    def _equal(self, i: int, shift: int) -> bool:
        if abs(shift) >= len(self._recent):
            return True
        then = self._recent[-1 - abs(shift)]
        value, target = (then[i], self._recent[-1][0]) if shift >= 0 else (self._recent[-1][i], then[0])
        return value == target or value != value or target != target  # NaN is not equal to itself

    def problems(self) -> list[str]:
        """A line for each column that leaks."""
        lines = []
        target = self._columns[0]
        for i, shifts in self._shifts.items():
            sure = [s for s in shifts if self._rows - self._series * abs(s) >= max(_ROWS, self._rows / 2)]
            if not sure or len(self._targets) < 2:
                continue
            shift = min(sure, key=abs)
            rows = f"{abs(shift)} {'row' if abs(shift) == 1 else 'rows'}"
            when = f" {rows} {'later' if shift > 0 else 'before'}" if shift else ""
            lines.append(f"column '{self._columns[i]}' equals '{target}'{when} in every row: a leak; leave it out")
        return lines
