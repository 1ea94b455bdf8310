"""What the report is told of the experiment when it is compiled."""

from components.common.spec import Strict


class About(Strict):
    """What a page says of the run that it shows.

    Attributes:
        experiment: Name of the experiment.
        command: What starts the same run again.
        seed: All randomness comes from it.
        code_version: Digest of the code that its tasks ran.
        tasks: For each task the names of those before it, which stand before it here.
    """

    experiment: str
    command: str
    seed: int
    code_version: str
    tasks: dict[str, list[str]]
