import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def compiled(folder, *arguments, **environment):
    line = [sys.executable, "-m", "pipeline", "compile", str(ROOT / "configs" / "quick.yaml"), *arguments]
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False)


def test_a_terminal_without_a_character_gets_the_rest_of_the_line(tmp_path):
    done = compiled(tmp_path, "--set", "seed=6 × 7 → 42", PYTHONIOENCODING="iso-8859-1:strict")
    assert done.returncode == 2
    assert "quick.yaml: seed: '6 × 7 ? 42'" in done.stderr.decode("iso-8859-1")


def test_an_empty_environment_is_enough(tmp_path):
    done = compiled(tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_text_file_is_read_and_written_as_utf_8():
    """Ruff's PLW1514 sees this only where it knows that the object is a path."""
    unsaid = []
    for path in [*(ROOT / "components").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("read_text", "write_text"):
                unsaid += [f"{path}:{node.lineno}"] * all(keyword.arg != "encoding" for keyword in node.keywords)
    assert unsaid == []
