"""Data in Cloud Storage: copied where they are checked, mounted where the pipeline runs."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from components.common.errors import InputError
from components.common.spec import ModelSpec
from components.families import backbone
from components.sources import csv, image_folder
from components.vertex import cloud_storage
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
from pipeline.vertex.request import pipeline_job
from pipeline.vertex.settings import Settings

ROWS = "day,units\n" + "".join(f"2024-{1 + i // 28:02}-{1 + i % 28:02},{i}\n" for i in range(28))
OPTIONS = {"time": "day", "target": "units", "frequency": "D", "lookback": 2, "horizon": 1}


@pytest.fixture(autouse=True)
def own_folder(cloud, tmp_path, monkeypatch):
    """A folder of the test's own for copies."""
    monkeypatch.chdir(tmp_path)
    cloud_storage.local_path.cache_clear()
    yield
    cloud_storage.local_path.cache_clear()


def downloads(cloud):
    return [call for call in cloud.requests() if "/download/" in call["method"] or "alt=media" in str(call)]


def test_a_file_is_copied_once_and_again_when_it_changed(cloud):
    cloud.put("gs://bucket/sales.csv", ROWS)
    options = csv.Options(path="gs://bucket/sales.csv", **OPTIONS)
    first = csv.check(options)
    assert first.rows == 28
    count = len(downloads(cloud))
    assert count
    cloud_storage.local_path.cache_clear()
    assert csv.check(options) == first
    assert len(downloads(cloud)) == count
    cloud.put("gs://bucket/sales.csv", ROWS + "2024-01-29,28\n")
    cloud_storage.local_path.cache_clear()
    assert csv.check(options).rows == 29
    assert csv.check(options).fingerprint != first.fingerprint


def test_a_folder_is_copied_and_follows_its_source(cloud):
    for name in ("cat", "dog"):
        for i in range(4):
            buffer = io.BytesIO()
            Image.new("L", (4, 4), 40 * i + 20 * (name == "dog")).save(buffer, "PNG")
            cloud.put(f"gs://bucket/pets/{name}/{i}.png", buffer.getvalue())
    cloud.put("gs://bucket/petsnot/x.png", b"")
    options = image_folder.Options(path="gs://bucket/pets", height=4, width=4, channels=1)
    first = image_folder.check(options)
    cloud.file("gs://bucket/pets/dog/3.png").unlink()
    cloud_storage.local_path.cache_clear()
    assert image_folder.check(options).fingerprint != first.fingerprint


def test_a_preset_in_a_bucket_is_the_one_that_was_copied_there(cloud):
    preset = Path(__file__).parent.parent / "components" / "preset"
    here = backbone.Hyperparameters(preset=str(preset), weights=False)
    there = backbone.Hyperparameters(preset="gs://bucket/presets/tiny", weights=False)
    cloud.put("gs://bucket/presets/tiny/config.json", (preset / "config.json").read_bytes())
    assert backbone.check(there).sha256 == backbone.check(here).sha256
    with pytest.raises(InputError, match=r"no model\.weights\.h5 and no image_converter\.json in it"):
        backbone.check(there.model_copy(update={"weights": True}))


def test_what_is_not_there_is_one_line(cloud):
    for path in ("gs://bucket/none.csv", "gs://no-such-bucket/none.csv", "gs://forbidden-bucket/none.csv"):
        with pytest.raises(InputError, match="gs://") as refused:
            csv.check(csv.Options(path=path, **OPTIONS))
        assert "\n" not in str(refused.value)


def test_where_buckets_are_mounted_nothing_is_copied(cloud, monkeypatch):
    cloud.put("gs://bucket/sales.csv", ROWS)
    monkeypatch.setattr(cloud_storage, "MOUNT", cloud.folder / "buckets")
    assert csv.check(csv.Options(path="gs://bucket/sales.csv", **OPTIONS)).rows == 28
    assert not downloads(cloud)


def test_a_file_of_this_machine_is_not_submitted(cloud, tmp_path):
    (tmp_path / "sales.csv").write_text(ROWS)
    cloud.put("gs://bucket/sales.csv", ROWS)
    config = tmp_path / "mine.yaml"
    text = (
        "datasets:\n"
        "  sales: {source: csv, path: PATH, time: day, target: units, frequency: D, lookback: 2, horizon: 1}\n"
        "models: {lstm: {family: lstm, dataset: sales}}\n"
    )
    config.write_text(text.replace("PATH", "sales.csv"))
    there = Settings("my-project", "us-central1", "gs://bucket/runs")
    experiment = load_experiment(config, [])
    path, digest = compile_experiment(experiment, tmp_path)
    with pytest.raises(InputError, match=r"datasets\.sales: path: '/.*/sales.csv' is on this machine"):
        pipeline_job(experiment, path, digest, there, {}, moving_tags=True)
    config.write_text(text.replace("PATH", "gs://bucket/sales.csv") + "vertex: {serving_image: a.pkg.dev/p/i:1}\n")
    experiment = load_experiment(config, [])
    path, digest = compile_experiment(experiment, tmp_path)
    path.write_text(path.read_text().replace("keras-pipeline-python:latest", "a.pkg.dev/p/i:1"))
    pipeline_job(experiment, path, digest, there, {}, moving_tags=True)
    model = replace(
        experiment, models={"m": ModelSpec(family="backbone", dataset="sales", hyperparameters={"preset": "p"})}
    )
    with pytest.raises(InputError, match=r"models\.m: hyperparameters: preset: 'p' is on this machine"):
        pipeline_job(model, path, digest, there, {}, moving_tags=True)


def test_data_in_a_bucket_need_credentials_and_the_line_names_them(cloud, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "none.json")
    with pytest.raises(
        InputError, match=r"^gs://bucket/sales\.csv: can't be read: no credentials for Google Cloud: run"
    ):
        csv.check(csv.Options(path="gs://bucket/sales.csv", **OPTIONS))
