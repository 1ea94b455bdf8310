"""The test server is no rubber stamp: it refuses packages and parameters that a cluster couldn't run."""

import package
import pytest


def test_what_is_compiled_for_kubeflow_is_taken_and_for_vertex_refused(compiled):
    assert package.read(compiled("kubeflow")[0].read_bytes())["schemaVersion"] == package.SCHEMA
    with pytest.raises(package.ApiError, match="no pipeline with a platform"):
        package.read(compiled("vertex")[0].read_bytes())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("resourceType: nvidia.com/gpu", "resourceType: NVIDIA_TESLA_T4", "no resource of Kubernetes"),
        ("schemaVersion: 2.1.0\nsdk", "schemaVersion: 2.0.0\nsdk", "expected 2.1.0"),
        ("nodeSelector:", "nodeSelectors:", 'no field named "nodeSelectors"'),
    ],
)
def test_what_no_cluster_runs_is_refused(compiled, old, new, said):
    text = compiled("kubeflow")[0].read_text()
    assert old in text
    with pytest.raises(package.ApiError, match=said):
        package.read(text.replace(old, new).encode())
