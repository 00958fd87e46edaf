"""Sphinx configuration."""

import re
import sys
from pathlib import Path

import infwidth

sys.path.insert(0, str(Path(__file__).parent))  # for repository_pages

project = "infwidth"
author = "The infwidth developers"
copyright = author  # noqa: A001  # Sphinx's name
version = release = infwidth.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "repository_pages",
]
exclude_patterns = ["_build", "_templates", "benchmarks"]
templates_path = ["_templates"]

rst_prolog = r".. |x| replace:: \|x\|"  # docstrings write absolute values as they are

autosummary_generate = True
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the parameters say their types; no page lists all overloads
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "ignore_pattern": "quickstart",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "infwidth"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_show_sourcelink = False
html_sidebars = {"**": []}
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}


def _escape_signatures(app, what, name, obj, options, lines):
    """Shapes and signatures, "(n_features_in_,)" and "(y, *, weight, **rest)", hold no references and no emphasis."""
    lines[:] = [re.sub(r"(?<=[( ])(\w+)_(?=[,)])", r"\1\\_", line) for line in lines]
    lines[:] = [re.sub(r"(?<=, )\*{1,2}(?=, |\w+\))", lambda stars: "\\*" * len(stars[0]), line) for line in lines]


def _drop_foreign_labels(app, what, name, obj, options, lines):
    """Methods inherited from scikit-learn refer to labels of its own pages."""
    lines[:] = [re.sub(r":ref:`(.+?) <.+?>`", r"\1", line) for line in lines]


def _skip_metadata_requests(app, what, name, obj, skip, options):
    """Leave out scikit-learn's methods for the routing of metadata, which are alike in all estimators."""
    return True if re.fullmatch(r"get_metadata_routing|set_\w+_request", name) else None


def setup(app):
    app.connect("autodoc-skip-member", _skip_metadata_requests)
    app.connect("autodoc-process-docstring", _escape_signatures, priority=100)  # before numpydoc reads it
    app.connect("autodoc-process-docstring", _drop_foreign_labels)
