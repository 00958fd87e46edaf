"""The table of solvers."""

from infwidth._linalg.cholesky import Cholesky
from infwidth._linalg.solver import Solver

SOLVERS: dict[str, type[Solver]] = {solver.name: solver for solver in (Cholesky,)}


def solver_class(name: str) -> type[Solver]:
    """Return the solver of a name of the table; "auto" is "cholesky"."""
    return SOLVERS["cholesky" if name == "auto" else name]
