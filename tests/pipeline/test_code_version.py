import shutil
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml

from components.common.component import component
from pipeline.experiment.experiment import load_experiment
from pipeline.graph import code_version as versions
from pipeline.graph.compile import compile_experiment
from pipeline.graph.tasks import tasks as specified

INGEST = ("components.ingest.component", "components.sources.fashion_mnist")
TRAIN = ("components.train.component", "components.families.lstm")
EVALUATE = ("components.evaluate.component",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all tests have their code in turn: a file that none has changed is parsed once."""
    return tmp_path_factory.mktemp("code")


@pytest.fixture
def code(folder, monkeypatch):
    """A copy of components/ and of the lock, which the versions are taken of."""
    original, lock = versions.ROOT, versions.LOCK
    root = folder / "components"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(original, root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(lock, folder / "lock")
    monkeypatch.setattr(versions, "ROOT", root)
    monkeypatch.setattr(versions, "LOCK", folder / "lock")
    return root


def edit(path):
    path.write_text(path.read_text() + "\nEDITED = True\n")


@pytest.mark.parametrize(
    ("modules", "file"),
    [
        (INGEST, "ingest/ingest.py"),
        (INGEST, "ingest/check_series.py"),
        (INGEST, "sources/fashion_mnist.py"),
        (INGEST, "sources/tfds.py"),
        (INGEST, "data/source_data.py"),
        (INGEST, "readers/time_axis.py"),
        (INGEST, "common/errors.py"),
        (TRAIN, "train/train.py"),
        (TRAIN, "families/lstm.py"),
        (TRAIN, "models/layers.py"),
        (TRAIN, "data/input_pipeline.py"),
        (TRAIN, "common/spec.py"),
        (TRAIN, "train/__init__.py"),
        (EVALUATE, "metrics/metrics.py"),
        (("components.report.component",), "report/templates/page.css"),
        (("components.export.component",), "models/fresh/run_exported.py"),
        (("components.tune.component",), "tune/trial.py"),
        (("components.tune.component",), "train/__main__.py"),
        (("components.compare.component",), "compare/compare.py"),
    ],
)
def test_it_changes_with_a_file_that_is_imported(code, modules, file):
    before = versions.code_version(*modules)
    edit(code / file)
    assert versions.code_version(*modules) != before


@pytest.mark.parametrize(
    ("modules", "file"),
    [
        (INGEST, "sources/csv.py"),
        (INGEST, "sources/image_folder.py"),
        (INGEST, "train/train.py"),
        (INGEST, "families/lstm.py"),
        (TRAIN, "families/mlp.py"),
        (TRAIN, "artifacts/leaderboard.py"),
        (TRAIN, "ingest/ingest.py"),
        (TRAIN, "sources/electricity.py"),
        (EVALUATE, "compare/compare.py"),
        (EVALUATE, "report/templates/page.html"),
    ],
)
def test_it_stays_when_another_file_changes(code, modules, file):
    before = versions.code_version(*modules)
    edit(code / file)
    assert versions.code_version(*modules) == before


def test_it_changes_with_an_import_inside_a_function(code):
    (code / "late.py").write_text("def late():\n    from components import leaf\n    return leaf\n")
    (code / "leaf.py").write_text("X = 1\n")
    before = versions.code_version("components.late")
    (code / "leaf.py").write_text("X = 2\n")
    assert versions.code_version("components.late") != before


@pytest.mark.parametrize(
    "statement",
    [
        "import components.branch",
        "import components.branch as other",
        "from components import branch",
        "from components.branch import X",
        "from components.branch.leaf import X",
        "import os, components.branch.leaf",
        "from .branch import leaf",
        "from . import branch",
        "NAME = 'components.branch.leaf'",
        "SOURCE = 'def late():\\n    from components.branch import leaf'",
    ],
)
def test_every_spelling_of_an_import_is_followed(code, statement):
    (code / "branch").mkdir()
    (code / "branch" / "__init__.py").write_text("from components.branch.leaf import X\n")
    (code / "branch" / "leaf.py").write_text("X = 1\n")
    (code / "tree.py").write_text(f"{statement}\n")
    before = versions.code_version("components.tree")
    (code / "branch" / "leaf.py").write_text("X = 2\n")
    assert versions.code_version("components.tree") != before


def test_modules_that_import_each_other_have_versions(code):
    (code / "one.py").write_text("import components.two\n")
    (code / "two.py").write_text("import components.one\n")
    assert versions.code_version("components.one") == versions.code_version("components.two")


def test_it_changes_with_the_locked_dependencies(code):
    before = versions.code_version(*TRAIN)
    edit(versions.LOCK)
    assert versions.code_version(*TRAIN) != before


def test_it_is_the_same_wherever_the_code_lies(code, tmp_path, monkeypatch):
    here = versions.code_version(*TRAIN), versions.all_files()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(versions, "ROOT", code.rename(tmp_path / "elsewhere" / "components"))
    assert (versions.code_version(*TRAIN), versions.all_files()) == here


def test_it_does_not_follow_from_the_order_of_modules(code):
    assert versions.code_version(*TRAIN) == versions.code_version(*reversed(TRAIN))
    assert versions.code_version(*TRAIN) != versions.code_version(*INGEST)


def test_content_that_moves_to_another_file_changes_it(code):
    for name in ("one", "two"):
        (code / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (code / "both.py").write_text("from components import one, two\n")
    before = versions.code_version("components.both")
    (code / "one.py").write_text("NAME = 'two'\n")
    (code / "two.py").write_text("NAME = 'one'\n")
    assert versions.code_version("components.both") != before


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("X = 1\n", "# why\nX  =  (1)  # that\n\n", True),
        ("def f():\n    return 1\n", 'def f():\n    """One."""\n    return 1\n', True),
        ('class A:\n    """One."""\n', 'class A:\n    """Two."""\n', True),
        ('"""One."""\nX = 1\n', '"""Two."""\nX = 1\n', True),
        ("X = 1\r\n", "X = 1\n", True),
        ("X = 'a'\n", "X = 'b'\n", False),
        ("X = 'é'\n", "X = 'e'\n", False),
        ("X = 1\n", "X = 1.0\n", False),
        ("X = 1\n", "X = True\n", False),
        ("def f(a, b): pass\n", "def f(a, *, b): pass\n", False),
        ("def f(): 'text'\n", "def f():\n    x = 'text'\n", False),
        ("not python (\n", "not python ((\n", False),
    ],
)
def test_comments_and_docstrings_are_no_code(old, new, same):
    digests = [versions.code_digest("a.py", text.encode()) for text in (old, new)]
    assert (digests[0] == digests[1]) == same


def test_other_files_are_digested_by_their_bytes(code):
    assert versions.code_digest("page.css", b"a {}") != versions.code_digest("page.css", b"a  {}")


def test_a_new_family_reruns_nothing(code):
    before, whole = versions.code_version(*TRAIN), versions.all_files()
    (code / "families" / "new.py").write_text("TASKS = ()\n")
    assert versions.code_version(*TRAIN) == before
    assert versions.all_files().keys() - whole.keys() == {"families/new.py"}
    (code / "families" / "__pycache__").mkdir()
    (code / "families" / "__pycache__" / "new.pyc").write_text("compiled")
    (code / "families" / "new.py").unlink()
    assert versions.all_files() == whole


@pytest.fixture(scope="module")
def experiment():
    """All families, one of them with a search."""
    return load_experiment(
        Path("configs/quick.yaml"), ["models.mlp.tune={trials: 2, ranges: {epochs: {low: 1, high: 2}}}"]
    )


def tasks_with(experiment, file):
    """The tasks whose code a file is part of."""
    return {task.name for task in specified(experiment) if file in versions.code_files(*task.modules)}


@pytest.mark.parametrize(
    ("file", "tasks"),
    [
        ("families/cnn.py", {"train-cnn", "evaluate-cnn", "export-cnn", "compare"}),
        ("families/mlp.py", {"tune-mlp", "train-mlp", "evaluate-mlp", "export-mlp", "compare"}),
        ("sources/fashion_mnist.py", {"ingest-fashion", "compare"}),
        ("sources/csv.py", set()),
        ("compare/compare.py", {"compare"}),
        ("register/register.py", {"register"}),
        ("report/page.py", {"report"}),
        ("report/templates/page.html", {"report"}),
        ("baseline/baseline.py", {"baseline-fashion", "baseline-electricity", "compare"}),
        ("predict/predict.py", set()),
        ("drift/drift.py", set()),
    ],
)
def test_a_file_is_code_of_the_tasks_that_import_it(experiment, file, tasks):
    assert tasks_with(experiment, f"components/{file}") == tasks


@pytest.mark.slow
def test_a_changed_line_reruns_the_tasks_whose_code_it_is_and_a_comment_none(code, experiment):
    """In each module of components/."""
    tasks = {tuple(task.modules): task.name for task in specified(experiment)}
    before = {task: versions.code_version(*modules) for modules, task in tasks.items()}
    files = {modules: versions.code_files(*modules) for modules in tasks}
    paths = sorted(code.rglob("*.py"))
    for path in paths:
        path.write_text(f"# A comment.\n{path.read_text()}\n# Another.\n")
    assert {task: versions.code_version(*modules) for modules, task in tasks.items()} == before
    for path in paths:
        text, file = path.read_text(), path.relative_to(code.parent).as_posix()
        edit(path)
        changed = {task for modules, task in tasks.items() if versions.code_version(*modules) != before[task]}
        path.write_text(text)
        assert changed == {task for modules, task in tasks.items() if file in files[modules]}, file


def test_what_python_finds_that_a_task_imports_is_its_code(experiment):
    """By the finder of Python's own library, which reads bytecode."""
    root = versions.ROOT.parent
    for task in specified(experiment):
        finder = ModuleFinder([str(root)])
        for module in task.modules:
            finder.import_hook(module)
        found = {Path(module.__file__) for module in finder.modules.values() if module.__file__}
        found = {path.relative_to(root).as_posix() for path in found}
        assert f"components/{task.step}/{task.step}.py" in found
        assert found <= versions.code_files(*task.modules).keys(), task.name


def test_every_task_has_code(experiment, tmp_path):
    path, _ = compile_experiment(experiment, tmp_path)
    spec = next(yaml.load_all(path.read_text(), yaml.SafeLoader))
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks.keys() == {task.name for task in specified(experiment)}
    for task in specified(experiment):
        constant = tasks[task.name]["inputs"]["parameters"]["code_version"]["runtimeValue"]["constant"]
        assert constant == versions.code_version(*task.modules), task.name


def test_comments_and_docstrings_of_a_component_are_not_in_its_command():
    def with_comments():
        @component
        def step(name: str) -> None:
            """Greet.

            Args:
                name: Whom.
            """
            # Loudly.
            print(name.upper())  # indeed

        return step

    def without():
        @component
        def step(name: str) -> None:
            print(name.upper())

        return step

    def changed():
        @component
        def step(name: str) -> None:
            print(name.lower())

        return step

    one, same, other = (
        make().component_spec.implementation.container.command for make in (with_comments, without, changed)
    )
    assert one == same
    assert one != other
    assert "upper" in one[-1]
    assert with_comments().component_spec.inputs["name"].description == "Whom."
