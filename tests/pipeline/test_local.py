import pytest

from pipeline.local.events import Event, events
from pipeline.local.graph import read_tasks, remember, why, without

KFP_OUTPUT = """\
06:16:46.962 - INFO - Running pipeline: \x1b[95m'quick'\x1b[0m
----------------------------------------
06:16:46.966 - INFO - Executing task \x1b[96m'train-b'\x1b[0m
06:16:46.966 - INFO - Streamed logs:

    epoch 1/2  loss 0.5
    INFO - Task train-b cache hit (key=1); skipping execution.
06:16:47.041 - INFO - Task \x1b[96m'train-b'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
06:16:47.042 - INFO - Task \x1b[96m'train-b'\x1b[0m outputs:
    model: Model( name='model',
INFO - Task train-a cache hit (key=0123456789ab); skipping execution.
06:16:47.042 - INFO - Executing task \x1b[96m'compare'\x1b[0m
    ValueError: boom
06:16:47.186 - ERROR - Task \x1b[96m'compare'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
"""


def test_events_are_read_from_kfps_output():
    assert list(events(KFP_OUTPUT.splitlines(keepends=True))) == [
        Event("started", "train-b"),
        Event("line", "train-b", "epoch 1/2  loss 0.5"),
        Event("line", "train-b", "INFO - Task train-b cache hit (key=1); skipping execution."),
        Event("done", "train-b"),
        Event("cached", "train-a"),
        Event("started", "compare"),
        Event("line", "compare", "ValueError: boom"),
        Event("failed", "compare"),
    ]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    from pathlib import Path

    from pipeline.compile import compile_experiment
    from pipeline.experiment import load_experiment
    from pipeline.local.graph import read_spec

    experiment = load_experiment(Path("configs/quick.yaml"), [])
    return read_spec(compile_experiment(experiment, tmp_path_factory.mktemp("build"))[0])


def test_every_model_has_tasks_of_its_own(spec):
    tasks = read_tasks(spec)
    assert len(tasks) == 2 * 2 + 7 * 3 + 3
    assert tasks["train-stacked-lstm"].needs == ["ingest-electricity"]
    assert tasks["export-cnn"].needs == ["ingest-fashion", "train-cnn"]
    order = list(tasks)
    assert all(order.index(need) < order.index(task.name) for task in tasks.values() for need in task.needs)


def test_a_failed_model_leaves_the_others(spec):
    rest = read_tasks(without(spec, {"train-cnn"}))
    gone = set(read_tasks(spec)) - set(rest)
    assert gone == {"train-cnn", "evaluate-cnn", "export-cnn"}
    assert "train-cnn" in read_tasks(spec), "the original isn't changed"
    assert not {"train-cnn", "evaluate-cnn", "export-cnn"} & set(rest["compare"].needs)


def test_a_failed_data_set_takes_its_models_along(spec):
    rest = read_tasks(without(spec, {"ingest-electricity"}))
    assert not [name for name in rest if "lstm" in name and "bidirectional" not in name]
    assert "evaluate-mlp" in rest


def test_without_compare_the_pipeline_gives_the_report_alone(spec):
    rest = without(spec, {"compare", "register"})
    assert rest["root"]["dag"]["outputs"]["artifacts"].keys() == {"report"}
    assert rest["root"]["outputDefinitions"]["artifacts"].keys() == {"report"}
    assert "compare" not in read_tasks(rest)["report"].needs


def test_the_reason_for_a_run_is_what_changed(spec):
    task = read_tasks(spec)["train-cnn"]
    assert why(task, None, set()) == "first time"
    before = remember(task)
    assert why(task, before, set()) == "its outputs are gone or incomplete"
    assert why(task, before, {"ingest-fashion"}) == "after ingest-fashion"
    changed = {**before, "arguments": {**before["arguments"], "code_version": "old"}}
    assert why(task, changed, set()) == "its code changed"
    older = before["arguments"]["spec"].replace('"epochs": ', '"epochs": 9')
    assert why(task, {**before, "arguments": {**before["arguments"], "spec": older}}, set()).startswith("epochs: 9")
    assert why(task, {**before, "command": "other"}, set()) == "its component or image changed"


def test_the_pipeline_carries_no_path_of_this_machine(spec):
    import json
    from pathlib import Path

    assert str(Path.cwd()) not in json.dumps(spec)


def test_compiling_twice_gives_the_same_file(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.compile import compile_experiment\n"
        "from pipeline.experiment import load_experiment\n"
        "print(compile_experiment(load_experiment(Path('configs/quick.yaml'), []), Path(sys.argv[1]))[1])\n"
    )
    digests = {
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
