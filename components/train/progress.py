"""A line per epoch, for people and for the display of a local run."""

import time

import keras


class Progress(keras.callbacks.Callback):
    """Prints each epoch's metrics and keeps them with the epoch's seconds.

    Attributes:
        history: For each epoch so far, its metrics and "seconds".
        earlier: Seconds that the epoch took before the training was interrupted in it.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.history: list[dict[str, float]] = []
        self.earlier = 0.0
        self._start = 0.0

    def seconds(self) -> float:
        """Of the epoch so far."""
        return self.earlier + time.perf_counter() - self._start

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print and keep the epoch's metrics."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        seconds, self.earlier = self.seconds(), 0.0
        self.history.append({**metrics, "seconds": seconds})
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"epoch {epoch + 1}/{self.epochs}  {shown}  {seconds:.1f} s", flush=True)
