"""Bare kfp.local, with its cache."""

import sys
from pathlib import Path

from kfp import dsl, local

STEPS = str(Path(__file__).parent)
component = dsl.component(base_image="python", packages_to_install=[], install_kfp_package=False)


@component
def load_step(steps: str, data: dsl.Output[dsl.Dataset]) -> None:
    import sys
    from pathlib import Path

    sys.path.insert(0, steps)
    from steps import load

    Path(data.path).mkdir(parents=True)
    load(data.path)


@component
def train_step(steps: str, data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> None:
    import sys
    from pathlib import Path

    sys.path.insert(0, steps)
    from steps import train

    Path(model.path).mkdir(parents=True)
    train(data.path, f"{model.path}/model.keras")


@component
def evaluate_step(steps: str, data: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model]) -> float:
    import sys

    sys.path.insert(0, steps)
    from steps import evaluate

    return evaluate(data.path, f"{model.path}/model.keras")


@component
def export_step(steps: str, model: dsl.Input[dsl.Model], exported: dsl.Output[dsl.Model]) -> None:
    import sys

    sys.path.insert(0, steps)
    from steps import export

    export(f"{model.path}/model.keras", exported.path)


@dsl.pipeline(name="peer")
def pipeline() -> None:
    data = load_step(steps=STEPS).outputs["data"]
    model = train_step(steps=STEPS, data=data).outputs["model"]
    evaluate_step(steps=STEPS, data=data, model=model)
    export_step(steps=STEPS, model=model)


if __name__ == "__main__":
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=f"{sys.argv[1]}/outputs",
        cache_root=f"{sys.argv[1]}/cache",
        enable_caching=True,
    )
    pipeline()
