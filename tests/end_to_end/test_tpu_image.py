"""The TPU's image on a machine without one: what a CustomJob starts in it loads the TPU's library."""

import json

import pytest

from components.ingest.ingest import ingest
from components.vertex.custom_job import COMMAND
from components.vertex.placement import TPU_ENVIRONMENT

pytestmark = pytest.mark.slow
# TensorFlow says it where it has loaded the library as its plugin, which is when it is imported.
LOADED = "PJRT_Api is set for device type tpu"


def test_a_training_loads_the_library_where_its_job_names_it(tpu_image, in_image, tmp_path):
    ingest("fashion", json.dumps({"source": "fashion_mnist", "use": 0.01}), str(tmp_path / "dataset"))
    tmp_path.chmod(0o777)
    spec = {"family": "mlp", "dataset": "fashion", "epochs": 1, "batch_size": 50, "hyperparameters": {"units": [8]}}
    arguments = {"name": "mlp", "spec_json": json.dumps(spec), "seed": 1, "code_version": "x"}
    arguments |= {"dataset": str(tmp_path / "dataset")}

    def train(name, environment):
        folder = str(tmp_path / name / "train-mlp" / "model")
        return in_image(
            tpu_image,
            [
                *COMMAND,
                json.dumps({**arguments, "folder": folder, "checkpoints": str(tmp_path / name / "checkpoints")}),
            ],
            volumes=[tmp_path],
            # Without the first, it would ask Google's servers for minutes which TPU it has.
            environment={"TPU_SKIP_MDS_QUERY": "1", "TF_CPP_MIN_LOG_LEVEL": "0", **environment},
        )

    for name, environment, loaded in (("job", TPU_ENVIRONMENT, 1), ("task", {}, 0)):
        said = train(name, environment)
        assert said.count(LOADED) == loaded, said
        assert "on the CPU, 550 examples" in said, "it finds no TPU, and trains all the same"
        assert (tmp_path / name / "train-mlp" / "model" / "model.keras").is_file()
