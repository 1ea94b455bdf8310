"""Figures of a classifier."""

import numpy as np

from components.artifacts.dataset import ImagesInfo
from components.artifacts.evaluation import Evaluation
from components.artifacts.model import Temperature
from components.report.svg import FIRST, INK, MUTED, SECOND, Picture, figure, legend, picture

# The most classes whose names and counts have room in the confusion matrix.
NAMED = 25
# The longest name of a class that is drawn whole, in characters.
LONGEST = 14


def confusion(evaluation: Evaluation, info: ImagesInfo) -> Picture:
    """Draw the confusion matrix, coloured by the share of each label that was predicted as each class."""
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = len(info.classes)
    longest = min(max(map(len, info.classes)), LONGEST) if classes <= NAMED else 4
    with figure(f"confusion-{evaluation.model}", 4.2, 4.9, 0.35 + 0.062 * longest) as (fig, ax):
        fig.subplots_adjust(bottom=(0.4 + 0.045 * longest) / 4.2, top=0.99)
        colors = np.zeros((classes, classes, 4))
        # Right predictions and mistakes have different colours. The square root makes rare ones visible.
        for (row, column), share in np.ndenumerate(shares):
            base = FIRST if row == column else SECOND
            colors[row, column] = (0, 0, int(base[1:], 16) / 255, np.sqrt(share) * 0.85)
        ax.pcolormesh(colors, rasterized=classes > NAMED)
        ax.invert_yaxis()
        ax.grid(False)
        if classes <= NAMED:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    size = 7.5 if classes <= 12 else 4.5
                    ax.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", fontsize=size, color=INK)
            centers = np.arange(classes) + 0.5
            names = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in info.classes]
            ax.set_xticks(centers, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
            ax.set_yticks(centers, names, fontsize=8)
        ax.set_xlabel("predicted")
        ax.set_ylabel("label")
        pairs = counts - np.diag(np.diag(counts))
        label, predicted = np.unravel_index(int(pairs.argmax()), pairs.shape)
        description = f"{evaluation.model}: confusion matrix, {int(np.trace(counts))} of {int(counts.sum())} are right"
        if pairs.max():
            description += f"; most often confused: {info.classes[label]} taken for {info.classes[predicted]}"
        return picture(fig, "Confusion matrix: test examples by label and prediction", description)


def calibration(evaluation: Evaluation, temperature: Temperature | None) -> Picture:
    """Draw the accuracy by confidence, with the temperature in words."""
    scaled = temperature.words() if temperature else "not calibrated"
    bins = evaluation.calibration
    confidence = [entry.confidence for entry in bins]
    with figure(f"calibration-{evaluation.model}") as (fig, ax):
        ax.set_title("calibration")
        ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":", label="ideal")
        largest = max(entry.examples for entry in bins)
        heights = [0.2 * entry.examples / largest for entry in bins]
        ax.bar(confidence, heights, width=0.05, color=SECOND, alpha=0.35, label="examples")
        ax.plot(confidence, [entry.accuracy for entry in bins], "o-", ms=4, color=FIRST, label="accuracy")
        ax.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy")
        legend(ax)
        ece = f"{evaluation.metrics['ece']:.3f}"
        pairs = ", ".join(f"{entry.confidence:.2f} sure and {entry.accuracy:.2f} right" for entry in bins)
        description = f"{evaluation.model}: accuracy by confidence, expected calibration error {ece}: {pairs}"
        caption = f"Accuracy by confidence; expected calibration error (ECE) {ece}; {scaled}"
        return picture(fig, caption, f"{description}; {scaled}")
