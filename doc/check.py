"""What must hold for the pages and the site beyond what Sphinx warns of.

    python doc/check.py SITE

Every public name has an entry on the site, plain docutils has nothing to complain of in the pages, and the site
loads nothing from other machines. It ends with an error that lists what does not hold.
"""

import inspect
import io
import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from docutils.core import publish_string
from public_names import public_modules, public_names

FOLDER = Path(__file__).parent
FOR_SPHINX_ALONE = {"index", "api"}  # lists of pages
NOT_OURS = ("get_metadata_routing", "_request")  # scikit-learn's routing of metadata


def members(cls: type) -> Iterator[str]:
    """Yield the public methods and properties of a class, inherited ones too."""
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        if not name.startswith("_") and not name.endswith(NOT_OURS) and (callable(value) or is_descriptor(value)):
            yield name


def is_descriptor(value: object) -> bool:
    return isinstance(value, property | classmethod | staticmethod)


def defined(module_name: str) -> Iterator[str]:
    """Yield the public classes and functions that a module offers."""
    module = import_module(module_name)
    for name in getattr(module, "__all__", dir(module)):
        value = getattr(module, name)
        is_own = hasattr(module, "__all__") or getattr(value, "__module__", "") == module_name
        if not name.startswith("_") and is_own and (inspect.isclass(value) or inspect.isfunction(value)):
            yield f"{module_name}.{name}"


def expected() -> set[str]:
    """Return what the site must have an entry of."""
    names = set(public_names()) | {name for module in public_modules() for name in defined(module)}
    for name in list(names):
        module, _, last = name.rpartition(".")
        value = getattr(import_module(module), last)
        if inspect.isclass(value):
            names |= {f"{name}.{member}" for member in members(value)}
    return names


def inventory(site: Path) -> set[str]:
    """Return the Python objects of ``objects.inv``: four lines of text, then one compressed line for each object."""
    compressed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = (line.split(" ") for line in zlib.decompress(compressed).decode().splitlines())
    return {entry[0] for entry in entries if entry[1].startswith("py:")}


def undocumented(site: Path) -> list[str]:
    """Return what the site has no entry of."""
    return [f"{name} has no entry on the site" for name in sorted(expected() - inventory(site))]


def unreadable(page: Path) -> list[str]:
    """Return what plain docutils, without files that it could include, has to complain of a page."""
    messages = io.StringIO()
    settings = {"report_level": 2, "warning_stream": messages, "file_insertion_enabled": False}  # 2 is a warning
    publish_string(page.read_text(encoding="utf-8"), page.name, writer="html5", settings_overrides=settings)
    return [line for line in messages.getvalue().splitlines() if line.startswith(page.name)]


def remote_scripts(page: Path) -> list[str]:
    """Return the page if it takes scripts or styles from other machines."""
    text = page.read_text(encoding="utf-8")
    heads = [part.split(">", 1)[0] for tag in ("<script", "<link") for part in text.split(tag)[1:]]
    return [f"{page.name} loads {head.strip()}" for head in heads if "//" in head and 'rel="canonical"' not in head]


def main() -> None:
    site = Path(sys.argv[1])
    faults = undocumented(site)
    for page in sorted(FOLDER.glob("*.rst")):
        faults += unreadable(page) if page.stem not in FOR_SPHINX_ALONE else []
    for page in sorted(site.rglob("*.html")):
        faults += remote_scripts(page)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(expected())} public names have entries, pages are plain reStructuredText, scripts are local")


if __name__ == "__main__":
    main()
