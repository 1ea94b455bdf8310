"""The CPU image, built from its Dockerfile: what is in it, and what isn't."""

import json
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
LARGEST = 2.4e9


@pytest.fixture
def inside(image, in_image):
    """Run a shell command in the image."""
    return lambda command: in_image(image, ["sh", "-c", command])


def test_its_health_check_imports_everything_and_names_the_devices(inside):
    said = inside("python3 -m components 2>/dev/null")
    assert inside("python3 -c 'import google.cloud.aiplatform_v1 as a; print(a.JobServiceClient.__name__)'").strip()
    assert re.search(r"Python 3\.1\d\.\d+, TensorFlow 2\.21\.0, Keras 3\.15\.1\nCPU /physical_device:CPU:0", said)


def test_a_package_that_is_missing_fails_the_health_check(image, in_image):
    broken = "import sys; sys.modules['sklearn.metrics'] = None; from components.__main__ import main; main()"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        in_image(image, ["python3", "-c", broken])
    assert "sklearn.metrics" in failed.value.output


def test_its_user_is_not_root_and_can_write_to_its_home_alone(inside):
    assert inside("id -u").strip() == "1000"
    writable = inside("find / -xdev -writable -not -type l -not -path '/tmp*' -not -path '/proc*' 2>/dev/null || true")
    outside = [path for path in writable.split() if not path.startswith(("/home/runner", "/dev", "/var/tmp", "/run"))]
    assert not outside


def test_it_holds_the_code_and_nothing_else_of_the_project(inside):
    assert set(inside("ls -A /app").split()) == {"LICENSE", "components", "requirements-cpu.lock", "sbom"}
    found = set(inside("cd /app/components && find . -name '*.py'").split())
    assert found == {f"./{path.relative_to(ROOT / 'components')}" for path in (ROOT / "components").rglob("*.py")}


def test_bytecode_is_compiled(inside):
    assert int(inside("find /app/components -name '*.py' | wc -l")) == int(
        inside("find /app/components -name '*.pyc' | wc -l")
    )
    packages = "/opt/venv/lib/python3*/site-packages"
    assert int(inside(f"ls {packages}/keras/src/layers/rnn/__pycache__ | wc -l")) > 10


def test_no_compiler_cache_or_test_is_left(inside):
    assert not inside("command -v gcc cc g++ clang make git || true").strip()
    assert not inside("ls /opt/venv/bin/pip /locks 2>/dev/null || true").strip()
    assert not inside("find / -xdev -type d -name .cache 2>/dev/null || true").strip()
    packages = "/opt/venv/lib/python3*/site-packages"
    assert not inside(f"ls -d {packages}/sklearn/tests {packages}/numpy/*/tests {packages}/pip 2>/dev/null || true")


def test_it_is_not_larger_than_promised(inside):
    assert int(inside("du -xsb / 2>/dev/null | cut -f1")) < LARGEST


def test_labels_name_version_licence_and_revision(image, docker_client):
    labels = docker_client.images.get(image).labels
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert f'version = "{labels["org.opencontainers.image.version"]}"' in (ROOT / "pyproject.toml").read_text()
    revision = labels["org.opencontainers.image.revision"]
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True).returncode == 0:
        ask = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], **ask).stdout
        assert revision == head + ("-dirty" if changed else "")


def test_no_layer_holds_a_certificate_or_an_address(image, docker_client):
    history = json.dumps(docker_client.images.get(image).history())
    assert not re.search(r"https?://|BEGIN CERTIFICATE|PIP_INDEX", history)


def test_its_bills_of_materials_are_complete(inside):
    bill = json.loads(inside("cat /app/sbom/python.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {c["name"].lower().replace("_", "-").replace(".", "-"): c["version"] for c in bill["components"]}
    names = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(inside(f'python3 -c "{names}"'))
    assert listed == {name.lower().replace("_", "-").replace(".", "-"): v for name, v in installed.items()}
    assert sum(bool(c.get("licenses")) for c in bill["components"]) > 0.8 * len(listed)
    debian = json.loads(inside("cat /app/sbom/debian.cdx.json"))
    packages = inside("dpkg-query -W -f '${Package}\\n'").split()
    assert set(packages) <= {c["name"] for c in debian["components"]}


def test_scan_writes_them_and_says_what_fills_the_image(image, tmp_path):
    import os

    done = subprocess.run(
        [ROOT / "containers/scan.sh"], env={**os.environ, "NAME": image}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^numpy +2\.\S+ +\S", done.stdout, re.MULTILINE)
    assert re.search(r"^\d{3,}\ttensorflow$", done.stdout, re.MULTILINE)
    assert json.loads((ROOT / "build/sbom-cpu-python.cdx.json").read_text())["components"]


def test_another_target_is_refused():
    done = subprocess.run([ROOT / "containers/build.sh", "gpuu"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: TARGET=gpuu, expected cpu, gpu, tpu or serving\n"
