"""The manifest that KServe serves a registered model by."""

import yaml

from components.register import kserve
from components.register.kserve import manifest
from components.serve.settings import Settings
from pipeline.commands.registry import manifest_command


def test_kserves_manifest_tells_the_server_what_it_reads(monkeypatch):
    service = yaml.safe_load(manifest("My_experiment-fashion", "gs://bucket/x", "registry/serving@sha256:1"))
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"] == {"name": "my-experiment-fashion"}
    (container,) = service["spec"]["predictor"]["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", "registry/serving@sha256:1")
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings.from_environment()
    assert (settings.model, settings.name) == ("/mnt/models", "my-experiment-fashion")
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert container["readinessProbe"]["httpGet"] == {"path": settings.health, "port": settings.port}


def test_a_version_on_this_machine_has_no_manifest_until_it_is_copied(registry, capsys):
    assert not (registry / "inference_service.yaml").exists()
    manifest_command("test-fashion", "gs://bucket/fashion")
    service = yaml.safe_load(capsys.readouterr().out)
    assert service == yaml.safe_load(manifest("test-fashion", "gs://bucket/fashion"))


def test_a_version_in_a_claim_has_a_manifest_with_its_address(run_registered, tmp_path, monkeypatch):
    monkeypatch.setattr(kserve, "CLAIMS", tmp_path / "pvc")
    version = run_registered(tmp_path / "pvc" / "team-models" / "registry")
    service = yaml.safe_load((version / "inference_service.yaml").read_text())
    assert service["metadata"] == {"name": "test-fashion"}
    (container,) = service["spec"]["predictor"]["containers"]
    assert container["env"][0] == {"name": "STORAGE_URI", "value": "pvc://team-models/registry/test/fashion/1"}
