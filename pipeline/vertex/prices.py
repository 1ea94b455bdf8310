"""The costs of an experiment's machines, from a price table that the user can edit."""

from datetime import date
from pathlib import Path

import yaml
from pydantic import ValidationError

from components.common.errors import InputError
from components.common.spec import Strict
from pipeline.experiment.experiment import Experiment
from pipeline.experiment.machines import Machine, machines

FILE = Path(__file__).parent.parent.parent / "configs" / "prices.yaml"


class Prices(Strict):
    """The content of configs/prices.yaml.

    Attributes:
        page: Google's page of the prices.
        read: The day on which the page was read.
        confirmed: The prices that were found on the page, each with the day.
        run: The price of a pipeline run beside its machines, in US dollars.
        machines: The price of each machine type, in US dollars an hour.
        accelerators: The price of each GPU that is added to a machine, in US dollars an hour.
        spot: The share of the price that a spot machine costs.
        default: The machine type of a task that names no machine.
    """

    page: str = ""
    read: date | None = None
    confirmed: dict[str, date] = {}
    run: float = 0.0
    machines: dict[str, float]
    accelerators: dict[str, float]
    spot: float
    default: str


def load_prices() -> Prices:
    """Read the price table.

    Raises:
        InputError: The table is malformed.
    """
    try:
        return Prices.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    except (yaml.YAMLError, OSError) as error:
        raise InputError(f"{FILE.name}: {error}".replace("\n", " ")) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{FILE.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def hourly(machine: Machine | None, prices: Prices) -> float | None:
    """The price of a machine with all its workers, in US dollars an hour; None where a price is missing.

    None stands for a task that names no machine, which has the table's `default`.
    """
    if machine is None:
        return prices.machines.get(prices.default)
    price = prices.machines.get(machine.machine_type)
    if price is None:
        return None
    if machine.accelerator in prices.accelerators:
        price += machine.count * prices.accelerators[machine.accelerator]
    return price * machine.workers * (prices.spot if machine.spot else 1.0)


def costs(experiment: Experiment) -> list[tuple[str, str, float | None]]:
    """The task, machine and price in US dollars an hour of each search, of each training, and of any other task."""
    prices = load_prices()
    rows: list[tuple[str, str, float | None]] = []
    for name, spec in experiment.models.items():
        machine = machines()[spec.machine] if spec.machine else None
        machine_name, price = spec.machine or prices.default, hourly(machine, prices)
        if tune := experiment.tunes.get(name):
            parallel = min(tune.parallel, tune.trials)
            rows.append((f"tune-{name}".replace("_", "-"), f"{parallel} x {machine_name}", price and parallel * price))
        train = f"train-{name}".replace("_", "-")
        # A model and the folds of its backtest are trained side by side.
        for task, count in ((train, 1), (f"{train}-fold-*", experiment.datasets[spec.dataset].folds)):
            needed = [(task, machine_name, price)] if count else []
            if needed and machine and machine.needs_job:
                needed.append((f"{task}, waiting for its job", prices.default, hourly(None, prices)))
            times = f"{count} x " if count > 1 else ""
            rows += [(what, f"{times}{where}", one and count * one) for what, where, one in needed]
    return [*rows, ("each other task", prices.default, hourly(None, prices))]
