"""One training of the train component in a process of its own; prints what it took as a line of JSON."""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent.parent))


def main() -> None:
    """Train as the request says; see `common.trained`."""
    request = json.loads(sys.argv[1])
    import keras

    from components.data import input_pipeline
    from components.train import train as train_step
    from components.train.checkpoint import Checkpoints
    from components.train.trainer import Trainer

    saving, fitting = timed(Checkpoints, "save"), timed(Trainer, "train")
    tested: list[float] = []
    if until := request.pop("until", None):
        # What was asked on the test split is no part of the training's time.
        end, over = Trainer.end_epoch, Trainer.over

        def ask(self: Trainer) -> None:
            end(self)
            info = train_step.load_info(request["dataset"])
            right = 0
            for images, labels in input_pipeline.sequential_batches(
                request["dataset"], info, "test", 512
            ).as_numpy_iterator():
                given = keras.ops.convert_to_numpy(self.model(images, training=False))
                right += int((given.argmax(1) == labels).sum())
            tested.append(right / info.examples("test"))

        Trainer.end_epoch = ask  # type: ignore[method-assign]
        Trainer.over = property(lambda self: over.fget(self) or max(tested, default=0) >= until)  # type: ignore
    info = train_step.train(**request)
    print(
        json.dumps(
            {
                "history": info.history,
                "seconds": info.train_seconds,
                "fit_s": sum(fitting),
                "saving": sum(saving),
                "tested": tested,
                "peak_bytes": peak_bytes(),
            }
        )
    )


def timed(owner: type, name: str) -> list[float]:
    """Take the time of a method from now on: the seconds of each call."""
    method, seconds = getattr(owner, name), []

    def call(*arguments: object, **more: object) -> object:
        start = time.perf_counter()
        try:
            return method(*arguments, **more)
        finally:
            seconds.append(time.perf_counter() - start)

    setattr(owner, name, call)
    return seconds


def peak_bytes() -> int:
    """Of this process' memory; getrusage's ru_maxrss begins with that of the process that started it."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
