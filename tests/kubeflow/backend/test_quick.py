"""quick.yaml on Kubeflow's own programs gives what a local run gives."""

import re

import yaml
from cluster import HOST
from runs import ROOT, command, leaderboard_here, leaderboard_there


def test_quick_ends_with_the_leaderboard_of_a_local_run_and_a_second_time_from_the_cache(cluster, tmp_path):
    quick, ids = str(ROOT / "configs/quick.yaml"), []
    for name in ("first", "second"):
        submit = ("submit", quick, "--kubeflow", HOST, "--wait", "--job-id", name)
        said = command(tmp_path, *submit, IMAGE=cluster.image, IMAGE_GPU=cluster.image)
        ids.append(re.search(r"/runs/details/(\S+)", said)[1])
    there = leaderboard_there(ids[0])
    assert len(there["models"]) == 7
    assert there == leaderboard_here(tmp_path, quick)
    spec = next(yaml.safe_load_all((tmp_path / "build/quick-kubeflow.yaml").read_text("utf-8")))
    # What the last three write holds the run's name.
    assert [cluster.tasks(one) for one in ids] == [set(spec["root"]["dag"]["tasks"]), {"compare", "register", "report"}]
