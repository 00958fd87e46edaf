"""The pages are plain reStructuredText, which a repository shows as well; on the site they get what Sphinx can add.

Literals that name a public object lead to its page, links to files of the repository lead to their pages on the site,
and numbers of equations, ``\\qquad \\text{(1.1)}`` at their ends, stand at the margin.
"""

import re

from docutils import nodes
from public_names import public_modules, public_names
from sphinx import addnodes

TARGETS = {name.rpartition(".")[2]: name for name in public_names()} | {name: name for name in public_modules()}
PAGES = {  # of files, as links of a page name them
    r"(\w+)\.rst": r"\1",
    r"\.\./examples/(plot_\w+)\.py": r"auto_examples/\1",
    r"\.\./examples": "auto_examples/index",
}
SOURCE = r"\.\./(infwidth/.+)\.py"  # shown by sphinx.ext.viewcode
NUMBER = re.compile(r"\s*\\qquad \\text\{\((\d+\.\d+)\)\}$")


def link_names(doctree, docname):
    """Make each literal that is a public name a reference to it, but for titles and what is a link already."""
    taken = (nodes.title, nodes.reference, addnodes.pending_xref)
    for literal in list(doctree.findall(nodes.literal)):
        name = TARGETS.get(literal.astext())
        if name and not isinstance(literal.parent, taken):
            where = {"refdomain": "py", "reftype": "obj", "reftarget": name, "refdoc": docname}
            literal.replace_self(addnodes.pending_xref("", literal.deepcopy(), **where))


def link_files(doctree, docname):
    """Make each link to a file of the repository one to its page; Sphinx warns where there is none."""
    for reference in list(doctree.findall(nodes.reference)):
        uri = reference.get("refuri", "")
        if re.fullmatch(SOURCE, uri):
            reference["refuri"] = re.sub(SOURCE, r"_modules/\1.html", uri)
        for pattern, page in PAGES.items():
            if match := re.fullmatch(pattern, uri):
                where = {"refdomain": "std", "reftype": "doc", "reftarget": f"/{match.expand(page)}", "refdoc": docname}
                text = nodes.inline("", reference.astext())
                reference.replace_self(addnodes.pending_xref("", text, refexplicit=True, refwarn=True, **where))


def number_equations(doctree):
    """Make the number at the end of an equation its tag."""
    for block in doctree.findall(nodes.math_block):
        tagged, found = NUMBER.subn(r" \\tag{\1}", block.astext())
        if found:
            block[:] = [nodes.Text(f"\\begin{{equation}}\n{tagged}\n\\end{{equation}}")]
            block["no-wrap"] = True


def complete(app, doctree):
    docname = app.env.current_document.docname
    link_names(doctree, docname)
    if "/" not in docname:
        link_files(doctree, docname)
    number_equations(doctree)


def setup(app):
    app.connect("doctree-read", complete)
    return {"parallel_read_safe": True}
