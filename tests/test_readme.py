"""README and the pages of doc/ say what the software does: their examples run and print what is shown."""

import contextlib
import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infwidth.estimators.base import default_networks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# a ```python block, and the ```text block that follows it directly, if any
BLOCKS = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", README, flags=re.MULTILINE | re.DOTALL)
PAGES = sorted(path.name for path in (ROOT / "doc").glob("*.rst") if ">>> " in path.read_text(encoding="utf-8"))


def test_the_readme_shows_code_with_its_output():
    assert len(BLOCKS) == README.count("```python")
    assert any(output for _, output in BLOCKS)


def test_readme_blocks_print_what_is_shown():
    namespace = {}
    for code, output in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue().split() == output.split()


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_ranks_are_those_of_the_results(tmp_path):
    script = ROOT / "doc" / "benchmarks" / "ranks.py"
    command = [sys.executable, str(script), "--picture", str(tmp_path / "ranks.png")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^\| (\w.*?) \| (\d\.\d\d) \| (\d\.\d\d) \|", README, flags=re.MULTILINE)
    assert len(rows) == 12
    assert [row for row in rows if f"| {' | '.join(row)} |" not in printed] == []


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "doc/guide.rst", "examples/quickstart.py"])
def test_a_page_says_how_many_networks_are_averaged(page):
    count = ["one", "two", "three", "four", "five", "six"][len(default_networks()) - 1]
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"{count} networks" in text
    assert "a few networks" not in text


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(ROOT / "doc" / page), module_relative=False, optionflags=flags, encoding="utf-8")
    assert result.attempted
    assert not result.failed
