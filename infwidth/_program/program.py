"""A network lowered to a flat list of operations on pairs of numbers, k and t, in registers.

Both kernels of a pair of inputs start in register 0 from the Gram entry k = Σ_f v_f x_f x'_f / d, with t = 0, and each
operation changes one register in place: see ``operation``. The kernels of the inputs with themselves follow the same
operations, once a row. In the end register 0 holds the NNGP kernel k = K and the neural tangent kernel t = Θ.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infwidth._program.operation import ONE_SITE, Operation, SitePairs


@dataclass(frozen=True)
class Program:
    """Operations, and what they start from.

    Attributes
    ----------
    input_scale : ndarray of shape (n_features,)
        The factors √(v_f / d) that turn inputs into rows whose Gram matrix the operations start from.
    operations : tuple of Operation
    pairs : SitePairs, default=ONE_SITE
        The pairs of sites whose kernels are needed, each site with itself among them. The features of an input are
        those of its first site, then those of its second one, and so on.
    """

    input_scale: np.ndarray
    operations: tuple[Operation, ...]
    pairs: SitePairs = ONE_SITE

    def __post_init__(self) -> None:
        last = self.pairs_of_values[self.versions[1]]
        if len(last) > 1:
            raise ValueError(f"a program must end with one pair of sites, but this one ends with {len(last)}.")

    def require_ntk(self) -> None:
        """Raise if the neural tangent kernel does not exist: if an activation on the way has no derivative dual."""
        for operation in self.operations:
            operation.require_ntk()

    @property
    def n_registers(self) -> int:
        """Number of registers."""
        return 1 + max((max(operation.target, operation.source) for operation in self.operations), default=0)

    @property
    def n_sites(self) -> int:
        """Number of sites of an input."""
        return 1 + max(left for left, _ in self.pairs)

    @cached_property
    def versions(self) -> tuple[list[tuple[int, int]], int]:
        """Which values each operation finds in its target and in its source, and which the program ends with.

        Values 0 are those of the start, values i + 1 what operation i leaves in its target.

        Raises
        ------
        ValueError
            If an operation reads a register that nothing was written to.
        """
        newest, found = {0: 0}, []
        for place, operation in enumerate(self.operations):
            read = operation.source if operation.overwrites else operation.target
            for register in (read, operation.source):
                if register not in newest:
                    raise ValueError(f"{operation} reads register {register}, to which nothing was written.")
            found.append((newest.get(operation.target, 0), newest[operation.source]))
            newest[operation.target] = place + 1
        return found, newest[0]

    @cached_property
    def pairs_of_values(self) -> list[SitePairs]:
        """The pairs of sites of the values at the start and after each operation."""
        pairs = [self.pairs]
        for operation, (_, source) in zip(self.operations, self.versions[0], strict=True):
            pairs.append(operation.pairs_after(pairs[source]))
        return pairs
