"""Many series in one file: which rows belong together, and what is wrong with which series."""

import json
from dataclasses import replace

import numpy as np
import pytest
from many import AREAS, HORIZON, LOOKBACK, SERIES, START, many_lines, many_spec, ramp, wave
from tiny import run

from components.artifacts.dataset import SPLITS, load_info
from components.artifacts.series_table import load_table
from components.baseline.baseline import measure
from components.common.errors import InputError
from components.data import input_pipeline, storage
from components.data.splits import cut_times, folds
from components.readers import csv_series
from components.sources import csv

WINDOW = LOOKBACK + HORIZON


@pytest.fixture(scope="module")
def ramps(tmp_path_factory):
    """A folder and its description, with targets that tell series and day."""
    root = tmp_path_factory.mktemp("many")
    info = run(root / "dataset", many_spec(root, many_lines(ramp)))
    return root / "dataset", info


def problems(spec):
    with pytest.raises(InputError) as refused:
        csv.check(csv.Options(**{key: value for key, value in spec.items() if key != "source"}))
    return [problem.removeprefix(spec["path"]) for problem in refused.value.problems]


def test_each_split_has_the_rows_of_one_series_after_the_other(ramps):
    folder, info = ramps
    table = load_table(folder, info)
    assert table.names.tolist() == ["Aue", "Bonn", "Ulm"]
    days = []
    for i, split in enumerate(SPLITS):
        rows = storage.load_rows(folder, info, split)
        parts = np.split(rows, np.cumsum(table.rows[:, i])[:-1])
        for name, part in zip(table.names, parts, strict=True):
            first = int(part[0, 0]) % 1000
            assert part[:, 0].tolist() == [ramp(name, first + k) for k in range(len(part))]
            assert set(part[:, info.stored.index("area")]) == {np.float32(AREAS[name])}
            days.append((split, first, first + len(part)))
    # The same dates for all: the later series lacks the first ones.
    assert {(s, end) for s, _, end in days if s == "train"} == {("train", days[0][2])}
    assert len({entry for entry in days if entry[0] == "validation"}) == 1
    assert len({entry for entry in days if entry[0] == "test"}) == 1
    assert days[0][1] == SERIES["Aue"][1]
    assert days[1][1] == 0


def test_windows_do_not_cross_series_and_each_is_seen_once(ramps):
    folder, info = ramps
    for split in SPLITS:
        seen = []
        for batch in (
            input_pipeline.sequential_batches(folder, info, split, 7),
            input_pipeline.shuffled_batches(folder, info, split, 7, seed=1, epochs=1),
        ):
            firsts, mixed = [], False
            for inputs, target in batch.as_numpy_iterator():
                values = np.concatenate([inputs["window"][:, :, 0], target], axis=1)
                np.testing.assert_array_equal(np.diff(values, axis=1), 1)
                assert (values // 1000 == values[:, :1] // 1000).all()
                firsts += values[:, 0].tolist()
                mixed = mixed or len(set(values[:, 0] // 1000)) > 1
            assert len(firsts) == info.examples(split) == info.windows[split]
            assert mixed
            seen.append(firsts)
        assert seen[0] == sorted(seen[0]) == sorted(seen[1]) != seen[1]
        rows = load_table(folder, info).rows[:, SPLITS.index(split)]
        assert len(seen[0]) == sum(rows - WINDOW + 1)


def test_the_order_of_the_file_makes_no_difference(ramps, tmp_path):
    lines = sorted(many_lines(ramp), key=lambda line: line.split(",")[1], reverse=True)
    assert run(tmp_path / "dataset", many_spec(tmp_path, lines)).sha256 == ramps[1].sha256
    renamed = [line.replace("Bonn", "Born") for line in lines]
    assert run(tmp_path / "renamed", many_spec(tmp_path, renamed)).sha256 != ramps[1].sha256


def test_rows_are_grouped_whatever_fits_into_a_part(ramps, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_series, "_SORTED", 13)
    assert run(tmp_path / "dataset", many_spec(tmp_path, many_lines(ramp))).sha256 == ramps[1].sha256


def test_each_series_has_the_scale_of_its_own_training_rows(tmp_path):
    info = run(tmp_path / "dataset", many_spec(tmp_path, many_lines()))
    table = load_table(tmp_path / "dataset", info)
    rows = storage.load_rows(tmp_path / "dataset", info, "train").astype(float)
    parts = np.split(rows, np.cumsum(table.rows[:, 0])[:-1])
    for part, scale, of_loss in zip(parts, table.scale, table.loss_scale, strict=True):
        assert scale == pytest.approx(np.abs(part[7:, 0] - part[:-7, 0]).mean())
        assert of_loss == pytest.approx(max(scale, part[:, 0].std() / 2))
    # What all series share is of all training rows.
    np.testing.assert_allclose(info.mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(info.std, rows.std(axis=0), rtol=1e-6)


def test_a_series_that_is_constant_in_training_takes_the_scale_of_the_others(tmp_path):
    def until_sold(name, day):
        return (0 if day < 150 else 9000) if name == "Bonn" else wave(name, day)

    tables, shown = [], []
    for unit in (1, 1000):
        lines = many_lines(lambda name, day, unit=unit: unit * until_sold(name, day))
        info = run(tmp_path / str(unit), many_spec(tmp_path, lines))
        tables.append(load_table(tmp_path / str(unit), info))
        shown.append({check.name: check.found for check in info.checks})
    aue, bonn, ulm = tables[0].scale
    assert bonn == pytest.approx((aue + ulm) / 2)
    np.testing.assert_allclose(tables[1].scale, 1000 * tables[0].scale, rtol=1e-5)
    assert shown[0]["series that are constant in training"].startswith("1, Bonn: ")


def test_the_few_sales_of_a_series_do_not_outweigh_the_others(tmp_path):
    lines = many_lines(lambda name, day: float(day == 70) if name == "Bonn" else wave(name, day))
    info = run(tmp_path / "dataset", many_spec(tmp_path, lines))
    table = load_table(tmp_path / "dataset", info)
    number = table.names.tolist().index("Bonn")
    rows = storage.load_rows(tmp_path / "dataset", info, "train")[:, 0].astype(float)
    bonn = np.split(rows, np.cumsum(table.rows[:, 0])[:-1])[number]
    assert bonn.sum() == 1
    assert table.loss_scale[number] == pytest.approx(bonn.std() / 2)
    assert table.loss_scale[number] > 2 * table.scale[number]
    # A window without a sale has next to no deviation, by which the ridge regression would divide what follows.
    found = measure(str(tmp_path / "dataset"), str(tmp_path / "baselines"))
    assert found["ridge"]["mae"] < 2 * found["last_value"]["mae"]


def test_series_that_are_too_short_are_left_out_and_named(ramps, capsys, tmp_path):
    run(tmp_path / "dataset", many_spec(tmp_path, many_lines()))
    assert "too short for a window in each split: 1 left out: Rees" in capsys.readouterr().out
    found = {check.name: check.found for check in ramps[1].checks}
    assert found["series too short for a window in each split"] == "1 left out: Rees"
    assert found["series"] == "3 by store"


def test_where_all_are_too_short_the_longest_is_named(tmp_path):
    spec = many_spec(tmp_path, many_lines(), lookback=40)
    (problem,) = problems(spec)
    assert "lookback 40 + horizon 3 = 43 rows are longer than the" in problem
    assert "split of series '" in problem
    assert "of 4, with" in problem


def test_the_cut_dates_are_those_of_all_rows():
    options = csv.Options(path="", time="", target="", frequency="s", lookback=1, horizon=1, validation=0.2, test=0.2)
    even = cut_times({"a": range(10), "b": range(10)}, options)
    assert even == [6, 8, 10]
    # Most rows are late, and so are the cuts.
    assert cut_times({"a": range(100), **{str(i): range(90, 100) for i in range(40)}}, options)[0] > 90


def test_all_problems_of_all_series_are_told_at_once(tmp_path):
    lines = list(many_lines())
    for old, new in (
        ("2023-01-05,Bonn,", "2023-01-04,Bonn,"),  # a duplicate, and a gap of a day
        ("2023-02-03,Ulm,", "2023-02-03,Ulm,much"),
        ("2023-05-01,Aue,", "2023-05-01,,"),
    ):
        (place,) = [k for k, line in enumerate(lines) if line.startswith(old)]
        lines[place] = new + lines[place].removeprefix(old)
    place = next(k for k, line in enumerate(lines) if line.startswith("2023-06-01,Ulm"))
    day, name, value, _, promotion = lines[place].split(",")
    lines[place] = ",".join([day, name, value, "121", promotion])
    found = problems(many_spec(tmp_path, lines, fill=None))
    assert len(found) == 5, found
    assert any("series 'Bonn': duplicate time: 2023-01-04" in p and "resample" in p for p in found)
    assert any("series 'Aue': gap: 2023-05-02" in p and "the first of 2, in 2 series" in p for p in found)
    assert any("series 'Ulm': column 'units': 'much" in p for p in found)
    assert any("column 'store': no name" in p for p in found)
    assert any("series 'Ulm': static column 'area': 121 after 120" in p for p in found)
    assert all(p.startswith(":") and p[1].isdigit() for p in found)


def test_filling_does_not_cross_series(tmp_path):
    lines = [line for line in many_lines(ramp) if not line.startswith(("2023-03-10,Bonn", "2023-07-20,Aue"))]
    folder = tmp_path / "dataset"
    info = run(folder, many_spec(tmp_path, lines, fill={"method": "linear", "at_most": 2}))
    assert info.filled["units"] == 1, "the last row of Aue isn't filled from Bonn"
    rows = np.concatenate([storage.load_rows(folder, info, split) for split in SPLITS])
    assert ramp("Bonn", (np.datetime64("2023-03-10") - np.datetime64(START, "D")).astype(int)) in rows[:, 0]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"series": "shop"}, "no column 'shop'; there are: day, store"),
        ({"series": "units"}, "series: column 'units' is the time or a value"),
        ({"series": None, "where": {"store": "Ulm"}}, "static: only many series have such columns"),
        ({"static": ["promotion"], "known": []}, "static column 'promotion': 0 after 1"),
    ],
)
def test_wrong_options_are_named(tmp_path, changes, part):
    assert any(part in problem for problem in problems(many_spec(tmp_path, many_lines(), **changes)))


def test_zones_on_some_series_are_a_problem(tmp_path):
    lines = [line.replace(",Ulm", "T00:00Z,Ulm") for line in many_lines()]
    assert any("time zone, series before it have none" in p for p in problems(many_spec(tmp_path, lines)))


def test_a_leak_is_found_in_many_short_series(tmp_path):
    lines = []
    for k in range(30):
        lines += [
            f"{np.datetime64('2023-01-01') + d},s{k},{(k * 7 + d * d) % 31},1,{(k * 7 + d * d) % 31}" for d in range(40)
        ]
    spec = many_spec(tmp_path, lines, lookback=3, horizon=1, known=[], covariates=["promotion"])
    assert any("equals 'units' in every row: a leak" in p for p in problems(spec))
    fine = [f"{line.rsplit(',', 1)[0]},{i * i % 17}" for i, line in enumerate(lines)]
    options = many_spec(tmp_path, fine, lookback=3, horizon=1, known=[], covariates=["promotion"])
    csv.check(csv.Options(**{key: value for key, value in options.items() if key != "source"}))


def test_one_series_has_no_table(series):
    folder, info, _ = series
    assert (info.series, info.windows, info.scaling) == (None, {}, "shared")
    assert not (folder / "series.npz").exists()
    assert load_table(folder, info).first_rows(info, "test").tolist() == list(range(info.examples("test")))
    assert "series" not in json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    assert load_info(folder) == info
    assert replace(load_table(folder, info)).scale.tolist() == [info.seasonal_error]


def test_the_folds_of_a_backtest_are_cut_at_the_same_times_in_all_series(tmp_path):
    """A fold tests the days after those of the fold before; a series that begins too late for one is left out of it."""
    spec = many_spec(tmp_path, many_lines(), backtest={"folds": 3})
    options = csv.Options(**{key: value for key, value in spec.items() if key != "source"})
    whole = csv.check(options)
    assert whole.left_out == ["Rees"]
    found = [csv.check(fold) for fold in folds(whole.rows, options)]
    assert [fold.left_out for fold in found] == [["Aue", "Rees"], ["Rees"], ["Rees"]]
    for before, after in zip(found, [*found[1:], whole], strict=True):
        assert before.cuts[2] == after.cuts[1]
    assert problems({**spec, "backtest": {"folds": 5}})[0].startswith(": backtest: 5 folds of ")
