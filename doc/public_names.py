"""The objects that doc/api.rst names: what the site has pages of."""

import re
from pathlib import Path

API = Path(__file__).parent / "api.rst"


def public_names() -> list[str]:
    """Return the full names, "infwidth.networks.MLP", in the order of the page."""
    module, names, listing = "", [], False
    for line in API.read_text(encoding="utf-8").splitlines():
        if directive := re.match(r"\.\. (current)?module:: (\S+)", line):
            module = directive[2]
        if line and not line.startswith(" "):
            listing = line == ".. autosummary::"
        elif listing and re.fullmatch(r"   \w+", line):
            names.append(f"{module}.{line.strip()}")
    return names


def public_modules() -> list[str]:
    """Return the modules of those objects."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in public_names()))
