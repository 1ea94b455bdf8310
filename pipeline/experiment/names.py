"""Check the names of experiments, data sets, models and folds."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.common.errors import InputError
from components.common.words import did_you_mean
from pipeline.experiment.validation import shorten

FILE_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# The longest label on Vertex AI and Kubernetes, in letters.
MAX_FILE_NAME = 63
# The names of other folders in runs/ and in runs/<experiment>/.
RESERVED = ("registry", "latest")
# A name becomes part of task names, of Python identifiers and of paths.
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# A task's name, such as evaluate-<model>, is a label of Kubernetes, which has at most 63 letters.
MAX_NAME = 50
# Of evaluate-<model>-fold-100, too.
MAX_NAME_OF_FOLDS = 44


def check_file_name(path: Path) -> None:
    """Check the name of a config's file, which is its experiment's.

    Raises:
        InputError: It can't be the name of a folder in runs/ and of a label, or is taken there.
    """
    about = f"{path}: a file's name is its experiment's"
    if not FILE_NAME.fullmatch(path.stem):
        raise InputError(f"{about}: small letters, digits and single - or _")
    if len(path.stem) > MAX_FILE_NAME:
        raise InputError(f"{about}: {len(path.stem)} letters, at most {MAX_FILE_NAME}")
    if path.stem in RESERVED:
        raise InputError(f"{about}, and runs/ has another use for '{path.stem}'")


def check_name(where: str, name: str) -> None:
    """Check the name of a data set or model. `where` is the file and the kind, for messages.

    Raises:
        InputError: The name can't be a part of task names and paths.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"{where}.{shorten(name, quoted=False)}: expected small letters, digits and single _")
    if len(name) > MAX_NAME:
        raise InputError(f"{where}.{shorten(name, quoted=False)}: {len(name)} letters, expected at most {MAX_NAME}")


def fold_name_problems(where: str, folds: Mapping[str, int]) -> list[str]:
    """The problems of names that folds are named after, given the number of folds of each data set or model."""
    problems = []
    for name, count in folds.items():
        if count and len(name) > MAX_NAME_OF_FOLDS:
            problems.append(
                f"{where}.{name}: {len(name)} letters, expected at most {MAX_NAME_OF_FOLDS} where there is a backtest"
            )
        taken = [fold for i in range(1, count + 1) if (fold := f"{name}_fold_{i}") in folds]
        problems += [f"{where}.{fold}: is the name of a fold of {name}; expected another one" for fold in taken]
    return problems


def check_selected(experiment: str, known: Iterable[str], models: Iterable[str]) -> None:
    """Check that an experiment has the models that `--model` names.

    Raises:
        InputError: The experiment has no such model.
    """
    problems, names = [], list(known)
    for name in dict.fromkeys(models):
        if name not in names:
            hint = did_you_mean(name, names) or f"there are: {', '.join(names)}"
            problems.append(f"--model {shorten(name, quoted=False)}: {experiment} has no such model; {hint}")
    if problems:
        raise InputError(*problems)
