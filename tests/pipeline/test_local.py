import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import dsl
from rich.console import Console

from pipeline.local import cache
from pipeline.local.cache import DamagedError
from pipeline.local.failure import TaskFailedError, explain, failure
from pipeline.local.reasons import Basis, remember, remembered, why
from pipeline.local.tasks import arguments, command, executor_input, read_tasks


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The compiled file of quick.yaml."""
    from pipeline.experiment.experiment import load_experiment
    from pipeline.graph.compile import compile_experiment

    experiment = load_experiment(Path("configs/quick.yaml"), [])
    return compile_experiment(experiment, tmp_path_factory.mktemp("build"))[0]


@pytest.fixture(scope="module")
def tasks(compiled):
    """The tasks of quick.yaml as a local run reads them, by name."""
    return read_tasks(compiled)


def test_every_model_has_tasks_of_its_own(tasks):
    assert len(tasks) == 2 * 2 + 7 * 3 + 3
    assert tasks["train-stacked-lstm"].needs == ["ingest-electricity"]
    assert tasks["export-cnn"].needs == ["ingest-fashion", "train-cnn"]
    order = list(tasks)
    assert all(order.index(need) < order.index(task.name) for task in tasks.values() for need in task.needs)


def test_what_gathers_results_can_do_without_some_and_register_is_never_cached(tasks):
    assert {name for name, task in tasks.items() if task.optional} == {"compare", "register", "report"}
    assert tasks["report"].optional == set(tasks["report"].needs)
    assert set(tasks["register"].needs) - tasks["register"].optional == {"compare"}
    assert {name for name, task in tasks.items() if not task.cached} == {"register"}


def test_only_trainings_may_use_gpus(tasks):
    assert {name.partition("-")[0] for name, task in tasks.items() if task.trains} == {"train"}
    assert all(task.trains for name, task in tasks.items() if name.startswith("train-"))


def given_to(task, folder, before):
    """The ExecutorInput of quick.yaml's training of the MLP, whose data set is said to lie in `before`."""
    dataset = cache.Artifact(
        type={"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}, metadata={"a": "b"}, path="dataset", files={}
    )
    values = arguments(task, {"failures": "{}", "vertex": "", "checkpoints": ""}, {})
    outputs = cache.Outputs(parameters={}, artifacts={"dataset": dataset}, folder=before)
    return executor_input(task, values, {"ingest-fashion": outputs}, folder, "run-1")


def test_the_executor_input_is_that_of_kfp(tasks, tmp_path):
    """By KFP's own message and the functions that kfp.local makes it with."""
    from google.protobuf import json_format
    from kfp.local import executor_input_utils, placeholder_utils
    from kfp.pipeline_spec import pipeline_spec_pb2

    task, folder = tasks["train-mlp"], tmp_path / 'it\'s a "folder"'
    ours = given_to(task, folder, tmp_path / "before")
    component = json_format.ParseDict(task.component, pipeline_spec_pb2.ComponentSpec())
    dataset = dsl.Dataset(name="dataset", uri=str(tmp_path / "before" / "dataset"), metadata={"a": "b"})
    values = {**arguments(task, {"vertex": "", "checkpoints": ""}, {}), "dataset": dataset}
    message = executor_input_utils.construct_executor_input(component, values, str(folder), False)
    theirs = executor_input_utils.executor_input_to_dict(message, component)
    assert without_empty(ours) == without_empty(theirs)
    replaced = placeholder_utils.replace_placeholders(task.command, theirs, "run-1", "train-mlp", "/root", "1")
    assert [one if "{" not in one else json_of(one) for one in command(task, ours)] == [
        one if "{" not in one else json_of(one) for one in replaced
    ]


def without_empty(value):
    if isinstance(value, dict):
        return {key: without_empty(one) for key, one in value.items() if one not in ({}, [])}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


def json_of(text):
    return without_empty(json.loads(text)) if text.startswith("{") else text


def test_no_other_placeholder_is_in_a_compiled_experiment(compiled):
    """Those of the run's name and of the ExecutorInput are the ones that a local run replaces."""
    found = set(re.findall(r"\{\{\$.*?\}\}", compiled.read_text(encoding="utf-8")))
    assert found == {dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "{{$}}"}


def test_the_run_gives_its_name_to_the_tasks_that_ask_for_it(tasks, tmp_path):
    for name, key in (("compare", "run"), ("report", "run")):
        values = {"run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER, "other": "a {{$}}"}
        given = executor_input(tasks[name], values, {}, tmp_path, "run-1")
        assert given["inputs"]["parameterValues"] == {key: "run-1", "other": "a {{$}}"}


COMPONENT = {
    "outputDefinitions": {
        "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}},
        "parameters": {"tuned": {"parameterType": "STRING"}, "number": {"parameterType": "NUMBER_INTEGER"}},
    }
}


@pytest.fixture
def finished(tmp_path):
    """The folder of a task that left two files, and its manifest."""
    folder = tmp_path / "work" / "train-mlp-0123"
    (folder / "model" / "inner").mkdir(parents=True)
    (folder / "model" / "weights").write_bytes(b"0123456789")
    (folder / "model" / "inner" / "about").write_text("text")
    (folder / "tuned").write_text("a: 1")
    said = {"name": "model", "uri": str(folder / "model"), "metadata": {"parameters": "3"}}
    output = {"parameterValues": {"number": 3.0}, "artifacts": {"model": {"artifacts": [said]}}}
    (folder / "executor_output.json").write_text(json.dumps(output))
    artifact = {"name": "model", "type": {"schemaTitle": "system.Model"}, "uri": str(folder / "model"), "metadata": {}}
    given = {
        "outputs": {
            "artifacts": {"model": {"artifacts": [artifact]}},
            "outputFile": str(folder / "executor_output.json"),
        }
    }
    cache.save_outputs(folder, given, COMPONENT)
    return folder


def test_what_a_task_gave_is_found_again_also_where_it_was_moved(finished, tmp_path):
    before = cache.load_outputs(finished)
    assert before.parameters == {"tuned": "a: 1", "number": 3}
    assert before.artifacts["model"].metadata == {"parameters": "3"}
    assert before.artifacts["model"].path == "model"
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    after = cache.load_outputs(tmp_path / "elsewhere" / finished.name, digests=True)
    assert (after.parameters, after.artifacts) == (before.parameters, before.artifacts)
    assert after.path("model") == tmp_path / "elsewhere" / finished.name / "model"


def rewrite(path, content):
    """Another content of the same size and time, as a flipped bit on a disk has."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGES = {
    "cut": (lambda model: (model / "weights").write_bytes(b"01234"), "its output model/weights was changed"),
    "edited": (lambda model: (model / "weights").write_bytes(b"0123456780"), "its output model/weights was changed"),
    "deleted": (lambda model: (model / "inner" / "about").unlink(), "its output model/inner/about is gone"),
    "added": (lambda model: (model / "other").write_text("x"), "its output model/other was added"),
    "no manifest": (lambda model: (model.parent / "manifest.json").unlink(), "it didn't finish"),
    "cut manifest": (lambda model: (model.parent / "manifest.json").write_text('{"par'), "the manifest of its outputs"),
    "other manifest": (lambda model: (model.parent / "manifest.json").write_text("[]"), "the manifest of its outputs"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_output_is_not_believed(finished, name):
    damage, message = DAMAGES[name]
    damage(finished / "model")
    with pytest.raises(DamagedError, match=message):
        cache.load_outputs(finished)


def test_a_flipped_bit_of_the_same_time_is_seen_where_digests_are_looked_at(finished):
    rewrite(finished / "model" / "weights", b"0123456780")
    cache.load_outputs(finished)
    with pytest.raises(DamagedError, match="its output model/weights was changed"):
        cache.load_outputs(finished, digests=True)


def test_a_file_with_another_time_and_the_same_content_is_believed(finished):
    os.utime(finished / "model" / "weights", (1, 1))
    cache.load_outputs(finished)
    # From now on its time is known: so this goes unseen without a look at the digests.
    rewrite(finished / "model" / "weights", b"0123456780")
    cache.load_outputs(finished)


def test_without_a_folder_there_is_nothing_to_say(tmp_path):
    with pytest.raises(FileNotFoundError):
        cache.load_outputs(tmp_path / "nothing")


BASIS = Basis(
    image="image",
    command="command",
    parameters={"spec": '{"epochs": 3, "seed": 1}', "code_version": "a", "name": "mlp"},
    inputs={"dataset": "1", "model": "2"},
    code={"a.py": "1", "b.py": "2"},
)
AFTER = {"dataset": "ingest-fashion", "model": "train-mlp"}


def test_the_folder_of_checkpoints_makes_no_other_task():
    moved = Basis(**{**BASIS.model_dump(), "parameters": {**BASIS.parameters, "checkpoints": "/elsewhere"}})
    assert moved == BASIS
    assert moved.key() == BASIS.key()


def test_neither_its_code_nor_what_it_took_names_the_folder_of_its_outputs():
    assert BASIS.model_copy(update={"code": {}, "seconds": 3.0}).key() == BASIS.key()


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, "first time"),
        ({}, "first time"),
        ({"seconds": 2.0}, "its outputs are gone"),
        ({"inputs": {"dataset": "0", "model": "2"}}, "after ingest-fashion"),
        ({"inputs": {}}, "after ingest-fashion and 1 more"),
        ({"inputs": {**BASIS.inputs, "tuning": "3"}}, "its inputs are fewer"),
        ({"parameters": {**BASIS.parameters, "code_version": "b"}}, "its code changed"),
        ({"parameters": {**BASIS.parameters, "code_version": "b"}, "code": {}}, "its code changed"),
        (
            {"parameters": {**BASIS.parameters, "code_version": "b"}, "code": {"a.py": "1", "b.py": "1"}},
            "its code changed: b.py",
        ),
        (
            {"parameters": {**BASIS.parameters, "code_version": "b"}, "code": {"a.py": "1", "c.py": "1"}},
            "its code changed: b.py and 1 more",
        ),
        ({"parameters": {**BASIS.parameters, "spec": '{"epochs": 9, "seed": 1}'}}, "epochs: 9 → 3"),
        ({"parameters": {**BASIS.parameters, "spec": '{"epochs": 3}'}}, "seed: default → 1"),
        ({"parameters": {**BASIS.parameters, "name": "cnn"}}, "name: cnn → mlp"),
        (
            {"parameters": {"spec": '{"a": [1], "epochs": 4, "seed": 2}', "code_version": "b", "name": "mlp"}},
            "a: [1] → default, epochs: 4 → 3, seed: 2 → 1 …",
        ),
        ({"image": "other"}, "its component or image changed"),
        ({"command": "other"}, "its component or image changed"),
    ],
)
def test_the_reason_for_a_run_is_what_changed(before, expected):
    assert why(before if before is None else BASIS.model_copy(update=before), BASIS, AFTER) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({"pipeline_sha256": "a"}, "the pipeline changed"),
        ({"about": '{"code_version": "b", "seed": 1}'}, "the pipeline changed"),
        ({"about": '{"code_version": "b", "seed": 2}', "pipeline_sha256": "a"}, "seed: 2 → 1"),
    ],
)
def test_a_digest_is_a_reason_where_nothing_else_is(before, expected):
    now = BASIS.model_copy(update={"parameters": {"pipeline_sha256": "b", "about": '{"code_version": "a", "seed": 1}'}})
    assert why(now.model_copy(update={"parameters": {**now.parameters, **before}}), now, AFTER) == expected


def test_what_a_run_remembers_of_its_tasks_is_read_by_the_next(tmp_path):
    assert remembered(tmp_path / "tasks.json") == {}
    remember(tmp_path / "tasks.json", {"train-mlp": BASIS})
    assert remembered(tmp_path / "tasks.json") == {"train-mlp": BASIS}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"train-mlp": {"image": 3}}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_set_aside(tmp_path, content, capsys):
    path = tmp_path / "tasks.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert remembered(path) == {}
    assert not path.exists()
    assert [one.name for one in tmp_path.iterdir()] == ["tasks.json.damaged-1"]
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "lines", "expected"),
    [
        (1, ["Traceback", "ValueError: no such layer"], "ValueError: no such layer"),
        (3, ["nothing of an error"], "it ended with exit code 3"),
        (-9, ["ValueError: before"], "it was ended by SIGKILL, as the kernel does when memory runs out"),
        (137, [], "it was ended by SIGKILL, as the kernel does when memory runs out"),
        (-11, [], "it was ended by SIGSEGV"),
    ],
)
def test_how_a_task_failed_is_told(code, lines, expected):
    assert str(failure(code, lines)) == expected


def test_all_problems_of_refused_input_are_told():
    found = failure(1, ["Traceback:", "components.common.errors.InputError: a.csv:1: this", "a.csv:2: that", ""])
    assert found.refused
    assert found.message.splitlines() == ["a.csv:1: this", "a.csv:2: that"]


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/app/components/tune/tune.py", False),
        ("/app/components/families/mine.py", True),
        ("/lib/keras/a.py", True),
    ],
)
def test_the_frames_of_a_reason_that_a_step_gives_itself_are_left_out(tmp_path, place, shown):
    lines = [
        '  File "/lib/kfp/executor.py", line 1, in <module>',
        f'  File "{place}", line 2',
        "RuntimeError: all failed",
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/tune-mlp.log").write_text("\n".join(lines))
    console = Console(file=io.StringIO(), width=200)
    with pytest.raises(TaskFailedError, match=r"^tune-mlp failed: RuntimeError: all failed$"):
        explain({"tune-mlp": failure(1, lines)}, tmp_path, console)
    said = console.file.getvalue()
    assert (said.count("all failed"), "executor.py" in said) == ((2, True) if shown else (1, False))
    assert "the whole log: " in said


def test_the_pipeline_carries_no_path_of_this_machine(compiled):
    assert str(Path.cwd()) not in compiled.read_text()


def test_compiling_twice_gives_the_same_file(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.graph.compile import compile_experiment\n"
        "from pipeline.experiment.experiment import load_experiment\n"
        "print(compile_experiment(load_experiment(Path('configs/quick.yaml'), []), Path(sys.argv[1]))[1])\n"
    )
    digests = {
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
