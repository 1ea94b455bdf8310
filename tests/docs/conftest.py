import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
# Fixtures of the tests here: fenced blocks by language, and texts in backquotes.
PARTS = {
    **{f"{language}_block": rf"^```{language}\n((?s:.*?))^```$" for language in ("sh", "yaml", "python")},
    "span": r"(?<!`)`([^`\n]+)`(?!`)",
    "fence": r"^```(.+)$",
}


def pytest_generate_tests(metafunc):
    """Each part of each text is a case of its own, named by file and line; `text` is the path of a text."""
    for name in PARTS.keys() & set(metafunc.fixturenames):
        found = {
            f"{path.name}:{content[: match.start()].count(chr(10)) + 1}:{match.start()}": match.group(1)
            for path in TEXTS
            for content in [path.read_text(encoding="utf-8")]
            for match in re.finditer(PARTS[name], content, re.MULTILINE)
        }
        metafunc.parametrize(name, found.values(), ids=found)
    if "text" in metafunc.fixturenames:
        metafunc.parametrize("text", TEXTS, ids=[path.name for path in TEXTS])
