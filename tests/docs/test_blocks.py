"""What README, CONTRIBUTING and docs/ say is so: every command, config and name in them. docs/verified.md says how."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from components.artifacts.dataset import Check, ImagesInfo
from components.common.contract import load_file
from components.common.spec import ModelSpec
from components.families import Family
from components.readers.picture_folder import read_folder
from components.sources.csv import Options as CsvOptions
from pipeline.__main__ import app
from pipeline.experiment.experiment import ExperimentFile, load_experiment, select_models

ROOT = Path(__file__).parent.parent.parent
# Run for real, beside submit, which is run with --dry-run; the others are parsed.
RUN = {"explain", "machines", "registry", "check", "compile"}
IMAGE = f"us-central1-docker.pkg.dev/my-project/images/keras-pipeline-python@sha256:{'a' * 64}"
CLOUD = {
    **dict.fromkeys(("IMAGE", "IMAGE_GPU", "IMAGE_TPU", "IMAGE_SERVING"), IMAGE),
    "GOOGLE_CLOUD_PROJECT": "my-project",
    "GOOGLE_CLOUD_REGION": "us-central1",
    "PIPELINE_BUCKET": "gs://my-bucket/runs",
}
# Files that a reader makes by following the texts.
MADE = {"components/families/softmax.py", "docs/reference.md"}
PLACES = "components|pipeline|configs|containers|tests|docs|infrastructure"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder to run commands in: the shipped configs, sales.csv, weather.csv, photos/."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").mkdir()
    for config in (ROOT / "configs").iterdir():
        (folder / "configs" / config.name).symlink_to(config)
    generator = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=900, freq="D").strftime("%Y-%m-%d")
    sales = {name: generator.normal(100, 10, len(days)).round(2) for name in ("units", "visitors", "price")}
    pd.DataFrame({"date": days, **sales, "holiday": np.arange(len(days)) % 30 == 0}).astype({"holiday": int}).to_csv(
        folder / "sales.csv", index=False
    )
    hours = pd.date_range("2013-01-01", periods=3000, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    weather = {"origin": "EWR", "temp": generator.normal(10, 5, len(hours)).round(2), "time_hour": hours}
    pd.DataFrame({**weather, "dewp": generator.normal(5, 2, len(hours)).round(2)}).to_csv(
        folder / "weather.csv", index=False
    )
    months = pd.DataFrame({"month": pd.date_range("2000-01-01", periods=187, freq="MS").strftime("%Y-%m")})
    cities = pd.DataFrame({"city": ["Abilene", "Austin", "Waco"]})
    sold = months.merge(cities, how="cross")
    sold.assign(sales=generator.integers(50, 900, len(sold))).to_csv(folder / "housing.csv", index=False)
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 255, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    for i in range(6):
        tile = folder / "tiles" / ("china" if i % 2 else "flower") / f"{i}.png"
        tile.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (40 * i, 0, 0)).save(tile)
    shutil.copytree(ROOT / "tests" / "components" / "preset", folder / "presets" / "resnet_18")
    for name in ("model.weights.h5", "image_converter.json"):
        (folder / "presets" / "resnet_18" / name).touch()
    for data, config in (("sales.csv", "sales"), ("photos/", "photos")):
        done = subprocess.run(
            [ROOT / "pipeline" / "keras-pipeline", "check", data], cwd=folder, capture_output=True, check=False
        )
        (folder / "configs" / f"{config}.yaml").write_bytes(done.stdout)
    return folder


@pytest.fixture
def in_folder(folder, monkeypatch):
    """That folder as the working directory, and a project of Google Cloud in the environment."""
    monkeypatch.chdir(folder)
    for name, value in CLOUD.items():
        monkeypatch.setenv(name, value)
    return folder


def commands(script):
    """The commands of a script, each as its words, those in $(…) too."""
    for line in script.replace("\\\n", " ").splitlines():
        for inner in re.findall(r"\$\((.*?)\)", line):
            yield from commands(inner)
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, "&&"]:
            if word in ("&&", "|", ";"):
                if words:
                    yield words
                words = []
            elif words[-1:] == [">"]:
                words.pop()
            else:
                words.append(word)


def check_command(words):
    """A command of the pipeline's, of make, or one that names files of the project."""
    words = [word.replace("$ACCOUNT", "runner@my-project.iam.gserviceaccount.com") for word in words]
    if "pipeline" in words and "-m" in words:
        check_pipeline(words[words.index("pipeline") + 1 :])
    elif words[0] == "make":
        check_make(words[1:])
    for word in words:
        if re.fullmatch(rf"({PLACES})/[\w./-]+", word) and word not in MADE:
            assert (ROOT / word).exists() or Path(word).exists(), word


def check_pipeline(words):
    """The command line takes it, its config can be loaded with its changes; it runs where that is cheap."""
    given, command = list(words), typer.main.get_command(app)
    while getattr(command, "commands", None) and given:
        name = given.pop(0) if given[0] in command.commands or command.name != "runs" else "list"
        command = command.commands[name]
    parameters = command.make_context(name, given).params
    if config := parameters.get("config"):
        experiment = load_experiment(config, list(parameters.get("overrides") or []))
        select_models(experiment, list(parameters.get("models") or []))
    if words[0] == "submit":
        # A process of its own: the images' names are read when it starts.
        subprocess.run(
            [ROOT / "pipeline" / "keras-pipeline", *words, "--dry-run"], check=True, stdout=subprocess.DEVNULL
        )
    elif words[0] in RUN and "promote" not in words:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (done.output, done.exception)


def check_make(words):
    """make has the target, knows the variables, and its recipe calls the pipeline as the command line takes it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    values = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    for name in values:
        assert re.search(rf"\b{name}\b", makefile), name
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--directory", str(ROOT), *words],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    config = values.get("CONFIG", "configs/quick.yaml" if "run-containers" in words else "configs/families.yaml")
    for called in re.findall(r"-m pipeline (.*)", done.stdout):
        check_pipeline(shlex.split(called.replace("$CONFIG", config)))


def test_every_block_is_of_a_kind_that_is_checked(fence):
    assert fence in ("sh", "yaml", "python", "text")


def test_commands(sh_block, in_folder):
    subprocess.run(["bash", "-n", "-c", sh_block], check=True)
    for words in commands(sh_block):
        check_command(words)


def test_configs(yaml_block, in_folder):
    content, *more = yaml.safe_load_all(yaml_block)
    if "apiVersion" in content:  # for kubectl
        assert all(part.keys() == {"apiVersion", "kind", "metadata", "spec"} for part in [content, *more])
        return
    whole = yaml.safe_load((ROOT / "configs" / "tune.yaml").read_text(encoding="utf-8"))
    if content.keys() <= ExperimentFile.model_fields.keys():
        whole = content if "datasets" in content else {**whole, **content}
    elif content.keys() <= ModelSpec.model_fields.keys() | {"expect", "tune"}:
        whole["models"]["mlp"] |= content
    elif content.keys() <= {"gate"}:
        whole["datasets"]["fashion"] |= content
    else:
        assert content.keys() <= CsvOptions.model_fields.keys() | {"baselines"}
        options = {"source": "csv", "path": "../sales.csv", "time": "date", "target": "units", "frequency": "D"}
        options |= {"covariates": ["price"], "lookback": 14, "horizon": 7, **content}
        whole = {"datasets": {"sales": options}, "models": {"mlp": {"family": "mlp", "dataset": "sales"}}}
    for options in whole["datasets"].values():
        if "path" in options:
            options["path"] = str(in_folder / Path(options["path"]).name)
    path = in_folder / "configs" / "of-a-block.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert load_experiment(path, []).models


def test_python(python_block, tmp_path, monkeypatch, request):
    if "serving.md" in request.node.name:
        compile(python_block, "serving.md", "exec")
        pytest.skip("tests/components/test_export.py runs it with exported models")
    if "own-pictures.md" in request.node.name:
        subprocess.run([sys.executable, "-c", python_block], cwd=tmp_path, check=True)
        found = read_folder(tmp_path / "photos", channels=3)
        assert {name: len(pictures) for name, pictures in found.classes.items()} == {"china": 150, "flower": 150}
        assert not found.copies()
        return
    if "runs.md" in request.node.name:
        import pipeline

        for name in re.search(r"from pipeline import (.*)", python_block)[1].split(", "):
            assert callable(getattr(pipeline, name))
        compile(python_block, "runs.md", "exec")
        pytest.skip("tests/end_to_end/test_runs.py runs these functions")
    (tmp_path / "of_a_block.py").write_text(python_block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    family = load_file(Family, "of_a_block")
    checks = [Check(name="counts", found="enough")]
    info = ImagesInfo(
        name="images", source="test", records={"train": 8, "validation": 2, "test": 2}, sha256="0", checks=checks,
        mean=[70.0], std=[90.0], classes=["a", "b"], shape=[28, 28, 1], label_counts={},
    )  # fmt: skip
    model = family.build(info, family.Hyperparameters())
    assert model(np.zeros((3, 28, 28, 1), np.uint8)).shape == (3, 2)


def test_names_in_the_text(span, in_folder):
    if re.fullmatch(r"python -m pipeline [\w-]+", span):
        assert span.split()[-1] in typer.main.get_command(app).commands
    elif span.startswith(("make ", "python -m pipeline ")) and not re.search("[…<]", span):
        check_command(shlex.split(span))
    elif re.fullmatch(rf"({PLACES})/[\w./-]*", span) and span not in MADE:
        assert (ROOT / span).exists()
    elif re.fullmatch(r"(components|pipeline)(\.\w+)+", span):
        found, parts = None, span.split(".")
        for i, part in enumerate(parts):
            found = getattr(found, part, None) or importlib.import_module(".".join(parts[: i + 1]))


def test_what_a_text_finds_in_a_file_is_there(text):
    for path, name in re.findall(r"`([\w/]+\.py)`: `(\w+)`", text.read_text(encoding="utf-8")):
        assert re.search(rf"^ *(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


def test_links_of_the_front_page_lead_somewhere(text):
    for link in re.findall(r"\]\(([^)#]+)|(?:src|href)=\"([^\"]+)\"", text.read_text(encoding="utf-8")):
        target = "".join(link)
        assert target.startswith("https://") or (text.parent / target).exists(), target


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) < 600_000


def test_the_drawn_house_is_this_one(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "pictures")
    import house

    drawn = (ROOT / "docs" / "pictures" / "house.svg").read_text(encoding="utf-8")
    height = {name: float(y) for name, y in re.findall(r'id="([\w.]+)" x="[\d.]+" y="([\d.]+)"', drawn)}
    imports = house.rooms()
    assert height.keys() == imports.keys(), "python docs/pictures/house.py"
    upwards = {(room, other) for room, others in imports.items() for other in others if height[room] > height[other]}
    assert not upwards, "python docs/pictures/house.py"
