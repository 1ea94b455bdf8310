"""The rivals from statsforecast, and the ridge regression that knows the future."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from kfp import dsl
from sklearn.linear_model import Ridge
from small_run import artifact
from statsforecast import StatsForecast
from statsforecast.models import MSTL, AutoETS, AutoTheta
from tiny import HORIZON, LOOKBACK, START, csv_spec, csv_table, run

from components.artifacts.baselines import baseline_names, rival_seasons
from components.baseline import rivals
from components.baseline.component import baseline
from components.common.errors import InputError
from components.data import storage

DAYS, TRAINED, AHEAD = 300, 200, 4
ORIGINS = np.arange(TRAINED, DAYS - AHEAD + 1, 7)
JUDGES = {
    "auto_ets": AutoETS(season_length=7),
    "mstl": MSTL(season_length=[7]),
    "auto_theta": AutoTheta(season_length=7),
}


@pytest.fixture(scope="module")
def sales():
    """Days with a season of a week, a trend and noise."""
    days = np.arange(DAYS)
    noise = np.random.default_rng(1).normal(0, 1, DAYS)
    return 50 + 0.05 * days + 8 * np.sin(2 * np.pi * days / 7) + noise


def forecasts(rival, sales):
    return rivals.rolling(rival, sales, TRAINED, "D", AHEAD)(ORIGINS)


@pytest.mark.parametrize("context", [35, 1000], ids=["fitted on five weeks, and again every five", "fitted once"])
@pytest.mark.parametrize("rival", JUDGES)
def test_a_rival_forecasts_as_statsforecasts_own_cross_validation_does(rival, context, sales, monkeypatch):
    monkeypatch.setattr(rivals, "LEAST_CONTEXT", context)
    frame = pd.DataFrame({"unique_id": "a", "ds": pd.date_range(START, periods=DAYS), "y": sales})
    expected = []
    for fitted in range(TRAINED, int(ORIGINS[-1]) + 1, context):
        origins = ORIGINS[(ORIGINS - fitted) // context == 0]
        rows = frame[max(0, fitted - context) : origins[-1] + AHEAD]
        judge = StatsForecast([JUDGES[rival]], freq="D")
        judged = judge.cross_validation(df=rows, h=AHEAD, step_size=7, n_windows=len(origins), refit=False)
        expected.append(judged[repr(JUDGES[rival])].to_numpy().reshape(len(origins), AHEAD))
    np.testing.assert_allclose(forecasts(rival, sales), np.concatenate(expected), rtol=1e-9)


@pytest.mark.parametrize("rival", JUDGES)
def test_a_rival_follows_a_trend_far_from_where_it_was_first_fitted(rival, monkeypatch):
    """Its error is little more than the noise's, whose mean size is 0.8."""
    monkeypatch.setattr(rivals, "LEAST_CONTEXT", 100)
    days = np.arange(1000)
    noise = np.random.default_rng(2).normal(0, 1, len(days))
    rising = 50 + 0.05 * days + 8 * np.sin(2 * np.pi * days / 7) + noise
    origins = np.arange(900, 990, 9)
    found = rivals.rolling(rival, rising, TRAINED, "D", AHEAD)(origins)
    assert np.abs(found - rising[origins[:, None] + np.arange(AHEAD)]).mean() < 1.2


@pytest.mark.parametrize("rival", JUDGES)
def test_a_rival_sees_no_row_from_its_origin_on(rival, sales):
    found = forecasts(rival, sales)
    for i, origin in enumerate(ORIGINS):
        changed = sales.copy()
        changed[origin:] += 100
        again = forecasts(rival, changed)
        np.testing.assert_array_equal(again[: i + 1], found[: i + 1])
        assert i + 1 == len(ORIGINS) or not np.allclose(again[i + 1], found[i + 1])


def test_seasons_are_those_of_the_frequency():
    assert rival_seasons("mstl", "30min", 12264) == [48, 336]
    assert rival_seasons("auto_theta", "30min", 12264) == [336]
    assert rival_seasons("auto_ets", "h", 2000) == [24]
    assert rival_seasons("auto_ets", "10D", 100) == rival_seasons("auto_theta", "10D", 100) == [1]


@pytest.mark.parametrize(
    ("rival", "frequency", "rows", "message"),
    [
        ("auto_ets", "30min", 12264, "baselines: auto_ets: a season of 48 rows, expected at most 24; take mstl"),
        ("mstl", "10D", 100, "baselines: mstl: frequency 10D has no season to decompose"),
        ("mstl", "h", 300, "baselines: mstl: 300 training rows, expected at least 336"),
        ("auto_ets", "D", 19, "baselines: auto_ets: 19 training rows, expected at least 20"),
    ],
)
def test_a_series_that_a_rival_cannot_model_is_refused(rival, frequency, rows, message):
    with pytest.raises(InputError, match=message):
        rivals.rolling(rival, np.arange(400.0), rows, frequency, 2)


def test_an_error_of_statsforecast_is_a_line(sales):
    sales = sales.copy()
    sales[5] = np.nan
    with pytest.raises(InputError, match="baselines: mstl: statsforecast can't model this series"):
        forecasts("mstl", sales)


def test_rivals_are_measured_on_the_test_windows_and_ridge_has_the_future(tmp_path):
    table = csv_table(300)
    table[:, 0] += 20 * table[:, 2]  # a holiday is seen ahead
    spec = csv_spec(tmp_path, table, frequency="D", calendar=[])
    lines = (tmp_path / "series.csv").read_text().splitlines()
    days = [f"{(START + timedelta(days=i)).date()},{line.split(',', 1)[1]}" for i, line in enumerate(lines[1:])]
    (tmp_path / "series.csv").write_text("\n".join([lines[0], *days]))
    info = run(tmp_path / "dataset", spec)
    dataset, made = artifact(dsl.Dataset, tmp_path / "dataset"), artifact(dsl.Artifact, tmp_path / "baseline")
    asked = ["auto_ets", "mstl", "auto_theta"]
    baseline.python_func("x", dataset, made, "[0.1, 0.5, 0.9]", json.dumps(asked))
    found = json.loads((tmp_path / "baseline" / "baselines.json").read_text())
    assert list(found) == baseline_names("forecasting", "D", LOOKBACK, True, asked)
    assert all(values.keys() == found["ridge"].keys() for values in found.values())

    parts = [storage.load_rows(dataset.path, info, split) for split in ("train", "validation", "test")]
    rows, trained, before = np.concatenate(parts).astype(float), len(parts[0]), len(parts[0]) + len(parts[1])

    def windows(first, end):
        starts = np.arange(first, end - LOOKBACK - HORIZON + 1)
        return starts, rows[starts[:, None] + np.arange(LOOKBACK + HORIZON)]

    mean, std = rows[:trained].mean(axis=0), rows[:trained].std(axis=0)

    def features(cut):
        scaled = (cut - mean) / std
        return np.concatenate([scaled[:, :LOOKBACK].reshape(len(cut), -1), scaled[:, LOOKBACK:, 2]], axis=1)

    (_, train), (starts, test) = windows(0, trained), windows(before, len(rows))
    targets = test[:, LOOKBACK:, 0]
    judge = Ridge().fit(features(train), (train[:, LOOKBACK:, 0] - mean[0]) / std[0])
    error = np.abs(judge.predict(features(test)) * std[0] + mean[0] - targets).mean()
    assert found["ridge_known_future"]["mae"] == pytest.approx(error, rel=1e-3)
    assert error < 0.9 * found["ridge"]["mae"]

    judge = AutoETS(season_length=7).fit(rows[:trained, 0])
    ahead = [judge.forward(rows[: start + LOOKBACK, 0], HORIZON)["mean"] for start in starts]
    assert found["auto_ets"]["mae"] == pytest.approx(np.abs(np.array(ahead) - targets).mean(), rel=1e-5)
