"""Train the trials of a round on Vertex AI: beside each other, each in a CustomJob on the model's machine."""

import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from components.common.errors import one_line
from components.tune.training import Training
from components.vertex.client import Vertex, signal_event
from components.vertex.custom_job import JobFailedError, job_name, run_job
from components.vertex.placement import Placement


def train_in_jobs(
    trainings: list[Training], placement: Placement, vertex: Vertex, folder: str
) -> Generator[tuple[Training, str], None, None]:
    """Run trainings in jobs that are named after the run, the task and the trial, so that another try finds them.

    Args:
        trainings: The trainings. Their folders are under /gcs.
        placement: The workers of each job.
        vertex: The project and region of the jobs.
        folder: The folder of the search's output, under /gcs.

    Yields:
        Each training when it has ended, and the reason why it failed; "" where it didn't.

    Raises:
        InputError: A job is refused. The others are cancelled.
        SystemExit: SIGTERM came, and the jobs were cancelled. The exit code is 143.
    """
    jobs = Path(folder).parent / "jobs"
    with signal_event(signal.SIGTERM) as stopped, ThreadPoolExecutor(len(trainings)) as pool:
        running = {
            pool.submit(
                run_job,
                job_name(folder, training.number),
                placement,
                vertex,
                training.arguments,
                jobs / f"trial-{training.number}",
                stopped,
            ): training
            for training in trainings
        }
        try:
            for done in as_completed(running):
                try:
                    done.result()
                except JobFailedError as error:
                    yield running[done], one_line(error)
                else:
                    yield running[done], ""
        finally:
            stopped.set()
