"""What a family's or a source's file has to hold."""

import pytest

from components.common.contract import load_file
from components.common.errors import InputError
from components.families import Family, family_names, load_family
from components.sources import load_source, source_names


def test_a_file_that_lacks_something_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text('"""Half a family."""\nTASKS = ("classification",)\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as refused:
        load_file(Family, "half")
    assert refused.value.problems == ("half.py: no Hyperparameters, build; it needs TASKS, Hyperparameters, build",)


def test_the_shipped_files_hold_all():
    assert all(load_family(name).doc for name in family_names())
    assert {name for name in source_names() if load_source(name).fetch} == {"fashion_mnist", "tfds"}
