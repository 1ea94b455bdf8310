"""The command machines: the values of a model's `machine:` with their prices, and the machine types of Google."""

from typing import Annotated

import typer

from pipeline.terminal import tables

app = typer.Typer()


@app.command("machines")
def machines_command(
    all_types: Annotated[
        bool, typer.Option("--offered", help="Every machine type that an entry of configs/machines.yaml may name.")
    ] = False,
) -> None:
    """List the machines of configs/machines.yaml with their limits and prices."""
    from pipeline.experiment.machines import TASK_CPUS, TASK_MEMORY_GB, machines
    from pipeline.experiment.offers import offered
    from pipeline.vertex.prices import hourly, load_prices

    if all_types:
        _print_offered()
        return
    prices = load_prices()
    table = tables.table("machine", "type", "vCPUs", "GB", "accelerators", "runs as", "US$ an hour")
    for name, machine in machines().items():
        offer, price = offered()[machine.machine_type], hourly(machine, prices)
        chips = f"TPU {machine.tpu_topology}" if machine.tpu_topology else ""
        gpus = f"{machine.count} {machine.accelerator}" if machine.accelerator else chips
        workers = f"{machine.workers} workers" if machine.workers > 1 else ""
        runs_as = filter(None, ["job" if machine.needs_job else "task", workers, "spot" if machine.spot else ""])
        cost = "no price" if price is None else f"{price:.2f}"
        size = (str(offer.cpus), f"{offer.memory_gb:g}")
        table.add_row(name, machine.machine_type, *size, gpus, ", ".join(runs_as), cost)
    tables.console().print(table)
    print(
        f"a task has at most {TASK_CPUS} vCPUs and {TASK_MEMORY_GB} GB, one accelerator type, and is never spot; "
        "what needs more is a CustomJob that the task launches"
    )
    print(f"prices: configs/prices.yaml, {prices.page}, read {prices.read}; each run costs {prices.run:g} more")
    print("--offered lists every machine type")


def _print_offered() -> None:
    from pipeline.experiment.offers import offered, retired

    table = tables.table("type", "vCPUs", "GB", "accelerators")
    for name, offer in offered().items():
        gpus = [
            f"{'|'.join(map(str, counts))} {gpu}" for gpu, counts in offer.accelerators.items() if gpu not in retired()
        ]
        chips = [f"TPU {'|'.join(offer.topologies)}"] if offer.topologies else []
        table.add_row(name, str(offer.cpus), f"{offer.memory_gb:g}", ", ".join(gpus + chips))
    tables.console().print(table)
    for page, read in sorted({(offer.page, offer.read) for offer in offered().values()}):
        families = {name.partition("-")[0]: None for name, offer in offered().items() if offer.page == page}
        print(f"{', '.join(families)}: {page}, read {read}")
    for gpu, (day, page) in retired().items():
        print(f"{gpu}: not offered since {day}, {page}")
