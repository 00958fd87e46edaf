"""Sphinx configuration."""

import re

import infwidth

project = "infwidth"
author = "The infwidth developers"
copyright = author  # noqa: A001  # Sphinx's name
version = release = infwidth.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "benchmarks"]
templates_path = ["_templates"]

rst_prolog = r".. |x| replace:: \|x\|"  # docstrings write absolute values as they are

autosummary_generate = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "ignore_pattern": "quickstart",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "infwidth"
html_show_sourcelink = False
html_sidebars = {"**": []}
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}


def _escape_signatures(app, what, name, obj, options, lines):
    """Shapes and signatures, "(n_features_in_,)" and "(y, *, weight)", hold no references and no emphasis."""
    lines[:] = [re.sub(r"(?<=[( ])(\w+)_(?=[,)])", r"\1\\_", line) for line in lines]
    lines[:] = [re.sub(r"(?<=, )\*(?=, )", r"\\*", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", _escape_signatures, priority=100)  # before numpydoc reads it
