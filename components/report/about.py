"""The report's input that is known when the pipeline is compiled."""

from components.common.spec import Strict


class About(Strict):
    """The experiment and the tasks of a run.

    Attributes:
        experiment: The experiment's name.
        command: The command that starts the same run again.
        seed: The experiment's seed.
        code_version: The digest of the code of all tasks.
        tasks: For each task, the names of the tasks that it needs. A task comes after those that it needs.
    """

    experiment: str
    command: str
    seed: int
    code_version: str
    tasks: dict[str, list[str]]
