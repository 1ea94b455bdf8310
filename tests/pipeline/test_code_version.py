import shutil

import pytest

from pipeline import code_version as versions

INGEST = ("components.ingest.work", "components.sources.fashion_mnist")
TRAIN = ("components.train.work", "components.families.lstm")


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A copy of components/ and of the lock, which the versions are taken of."""
    original, lock = versions.ROOT, versions.LOCK
    root = tmp_path / "components"
    shutil.copytree(original, root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(lock, tmp_path / "lock")
    monkeypatch.setattr(versions, "ROOT", root)
    monkeypatch.setattr(versions, "LOCK", tmp_path / "lock")
    versions._imported.cache_clear()
    yield root
    versions._imported.cache_clear()


def version(*modules):
    """The version as a process that starts now sees it."""
    versions._imported.cache_clear()
    return versions.code_version(*modules)


def edit(path):
    path.write_text(path.read_text() + "\nEDITED = True\n")


@pytest.mark.parametrize(
    ("modules", "file"),
    [
        (INGEST, "ingest/work.py"),
        (INGEST, "ingest/check_series.py"),
        (INGEST, "sources/fashion_mnist.py"),
        (INGEST, "sources/tfds.py"),
        (INGEST, "records.py"),
        (INGEST, "time_axis.py"),
        (INGEST, "errors.py"),
        (TRAIN, "train/work.py"),
        (TRAIN, "families/lstm.py"),
        (TRAIN, "layers.py"),
        (TRAIN, "inputs.py"),
        (TRAIN, "spec.py"),
        (("components.evaluate.work",), "metrics.py"),
        (("components.report.work",), "report/templates/page.css"),
        (("components.export.work", "components.export.fresh_process"), "export/fresh_process.py"),
    ],
)
def test_it_changes_with_a_file_that_is_imported(code, modules, file):
    before = version(*modules)
    edit(code / file)
    assert version(*modules) != before


@pytest.mark.parametrize(
    ("modules", "file"),
    [
        (INGEST, "sources/csv.py"),
        (INGEST, "sources/image_folder.py"),
        (INGEST, "train/work.py"),
        (INGEST, "families/lstm.py"),
        (TRAIN, "families/mlp.py"),
        (TRAIN, "leaderboard.py"),
        (TRAIN, "ingest/work.py"),
        (TRAIN, "sources/electricity.py"),
        (("components.evaluate.work",), "compare/work.py"),
        (("components.evaluate.work",), "report/templates/page.html"),
    ],
)
def test_it_stays_when_another_file_changes(code, modules, file):
    before, whole = version(*modules), versions.whole_code_version()
    edit(code / file)
    assert version(*modules) == before
    assert versions.whole_code_version() != whole


def test_it_changes_with_an_import_inside_a_function(code):
    (code / "late.py").write_text("def late():\n    from components import leaf\n    return leaf\n")
    (code / "leaf.py").write_text("X = 1\n")
    before = version("components.late")
    (code / "leaf.py").write_text("X = 2\n")
    assert version("components.late") != before


@pytest.mark.parametrize(
    "statement",
    [
        "import components.branch",
        "import components.branch as other",
        "from components import branch",
        "from components.branch import X",
        "from components.branch.leaf import X",
        "import os, components.branch.leaf",
    ],
)
def test_every_spelling_of_an_import_is_followed(code, statement):
    (code / "branch").mkdir()
    (code / "branch" / "__init__.py").write_text("from components.branch.leaf import X\n")
    (code / "branch" / "leaf.py").write_text("X = 1\n")
    (code / "tree.py").write_text(f"{statement}\n")
    before = version("components.tree")
    (code / "branch" / "leaf.py").write_text("X = 2\n")
    assert version("components.tree") != before


def test_modules_that_import_each_other_have_versions(code):
    (code / "one.py").write_text("import components.two\n")
    (code / "two.py").write_text("import components.one\n")
    assert version("components.one") == version("components.two")


def test_it_changes_with_the_locked_dependencies(code):
    before = version(*TRAIN)
    edit(versions.LOCK)
    assert version(*TRAIN) != before


def test_it_is_the_same_wherever_the_code_lies(code, tmp_path, monkeypatch):
    here = version(*TRAIN), versions.whole_code_version()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(versions, "ROOT", code.rename(tmp_path / "elsewhere" / "components"))
    assert (version(*TRAIN), versions.whole_code_version()) == here


def test_it_does_not_follow_from_the_order_of_modules(code):
    assert version(*TRAIN) == version(*reversed(TRAIN))
    assert version(*TRAIN) != version(*INGEST)


def test_content_that_moves_to_another_file_changes_it(code):
    for name in ("one", "two"):
        (code / f"{name}.py").write_text(f"# {name}\n")
    (code / "both.py").write_text("from components import one, two\n")
    before = version("components.both")
    (code / "one.py").write_text("# two\n")
    (code / "two.py").write_text("# one\n")
    assert version("components.both") != before


def test_a_new_file_changes_the_whole_alone(code):
    before, whole = version(*TRAIN), versions.whole_code_version()
    (code / "families" / "new.py").write_text("TASKS = ()\n")
    assert version(*TRAIN) == before
    assert versions.whole_code_version() != whole
    (code / "families" / "new.pyc").write_text("compiled")
    (code / "families" / "new.py").unlink()
    assert versions.whole_code_version() == whole
