"""The nearest rows among those of the nearest cells, compiled: see `infwidth._data.cells`."""

from typing import NamedTuple

import numpy as np

from infwidth._runtime.jit import entry_point, jit, reduction

SMALLEST, LARGEST = 2.0**-100, 2.0**125  # squared lengths whose sums in float32 neither underflow nor overflow
SPARE = 64  # rows more than 2 k that a query collects before it drops all but k


class CellRows(NamedTuple):
    """Rows, cell by cell.

    Attributes
    ----------
    edges : ndarray of shape (n_cells + 1,)
        The first place of each cell, and the number of rows.
    rows : ndarray of shape (n,)
        The row at each place.
    X : ndarray of shape (n, d)
        Its features.
    centres : ndarray of shape (d, n_cells)
    factors : ndarray of float32, shape (n_cells, d + 1, size)
        For each place of a cell, the features less those of the centre, and a lower bound of their squared length.
    shrink : float
        1 - ε, see `infwidth._data.cells.Cells`.
    """

    edges: np.ndarray
    rows: np.ndarray
    X: np.ndarray
    centres: np.ndarray
    factors: np.ndarray
    shrink: float


class Found(NamedTuple):
    """What queries have found so far: ``counts`` rows each, in any order, among them the k nearest.

    Attributes
    ----------
    squared : ndarray of shape (m, capacity)
        Squared distances.
    rows : ndarray of shape (m, capacity)
    counts : ndarray of shape (m,)
    limits : ndarray of shape (m,)
        Farther rows are none of the k nearest.
    """

    squared: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    limits: np.ndarray


def numbers(k: int, n_probes: int, d: int) -> int:
    """Return how many numbers each query needs besides its answer."""
    return 2 * (2 * k + SPARE + n_probes) + d


@entry_point
def nearest(cells: CellRows, X: np.ndarray, n_probes: int, n_first: int, k: int) -> np.ndarray:
    """Return the ``k`` rows nearest to each row of ``X``, of equally near ones the first, in any order.

    Parameters
    ----------
    cells : CellRows
    X : ndarray of shape (m, d)
    n_probes : int
        Cells that each query looks at.
    n_first : int
        As many of them, the nearest, come first, so that few rows of the others are within the limit.
    k : int
        At most the number of rows in any ``n_probes`` cells.

    Returns
    -------
    ndarray of shape (m, k)
    """
    m, capacity = len(X), 2 * k + SPARE
    found = Found(np.empty((m, capacity)), np.empty((m, capacity), np.intp), np.zeros(m, np.intp), np.full(m, np.inf))
    probes = nearest_cells(cells.centres, X, n_probes, n_first)
    search(cells, X, probes[:, :n_first], k, found)
    search(cells, X, probes[:, n_first:], k, found)
    for query in range(m):
        keep_nearest(found, query, k)
    return found.rows[:, :k]


@jit
def nearest_cells(centres: np.ndarray, X: np.ndarray, n_probes: int, n_first: int) -> np.ndarray:
    """Return the cells with the nearest centres, shape (m, n_probes), the first ``n_first`` the nearest of these."""
    d, n_cells = centres.shape
    probes = np.empty((len(X), n_probes), np.intp)
    squared, cells = np.empty(n_cells), np.empty(n_cells, np.intp)
    for query in range(len(X)):
        for cell in range(n_cells):
            squared[cell], cells[cell] = 0.0, cell
        for feature in range(d):
            x, places = X[query, feature], centres[feature]
            for cell in range(n_cells):
                squared[cell] += (x - places[cell]) ** 2
        select(squared, cells, n_cells, n_probes)
        select(squared, cells, n_probes, n_first)
        for rank in range(n_probes):
            probes[query, rank] = cells[rank]
    return probes


@jit
def search(cells: CellRows, X: np.ndarray, probes: np.ndarray, k: int, found: Found) -> None:
    """Look at all rows of the cells ``probes``, shape (m, any number), cell by cell: all queries of one at a time."""
    d, n_cells = cells.centres.shape
    edges, queries = by_cell(probes, n_cells)
    size = cells.factors.shape[2]
    centre, offsets, bounds = np.empty(d), np.empty(d, np.float32), np.empty(size, np.float32)
    within = np.empty((size + 7) // 8 * 8, np.uint8)
    for cell in range(n_cells):
        if edges[cell] < edges[cell + 1]:
            for feature in range(d):
                centre[feature] = cells.centres[feature, cell]
            for query in queries[edges[cell] : edges[cell + 1]]:
                length = 0.0
                for feature in range(d):
                    offset = X[query, feature] - centre[feature]
                    offsets[feature] = -2.0 * offset
                    length += offset**2
                bound(cells.factors[cell], offsets, lower(cells.shrink * length), bounds)
                collect(cells, cell, bounds, within, X[query], query, k, found)


@jit
def by_cell(probes: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the queries of each cell, one cell after another, after the places where each begins."""
    m, n_probes = probes.shape
    edges, queries = np.zeros(n_cells + 1, np.intp), np.empty(m * n_probes, np.intp)
    for query in range(m):
        for rank in range(n_probes):
            edges[probes[query, rank]] += 1
    for cell in range(n_cells):
        edges[cell + 1] += edges[cell]
    for query in range(m):
        for rank in range(n_probes):
            cell = probes[query, rank]
            edges[cell] -= 1
            queries[edges[cell]] = query
    return edges, queries


@jit
def lower(square: float) -> np.float32:
    """Return a squared length in float32; where float32 is too coarse, -inf: then no row is beyond any limit."""
    return np.float32(square if SMALLEST <= square <= LARGEST else -np.inf)


@jit
def bound(factors: np.ndarray, offsets: np.ndarray, length: np.float32, bounds: np.ndarray) -> None:
    """Write lower bounds of the squared distances of the rows of a cell."""
    d = len(offsets)
    lengths = factors[d]
    for column in range(len(bounds)):
        bounds[column] = lengths[column] + length
    feature = 0
    while feature + 4 <= d:  # four at a time, so that the bounds are read and written less often
        a, b, c, e = offsets[feature], offsets[feature + 1], offsets[feature + 2], offsets[feature + 3]
        A, B, C, E = factors[feature], factors[feature + 1], factors[feature + 2], factors[feature + 3]
        for column in range(len(bounds)):
            bounds[column] = bounds[column] + a * A[column] + b * B[column] + c * C[column] + e * E[column]
        feature += 4
    while feature < d:
        a, A = offsets[feature], factors[feature]
        for column in range(len(bounds)):
            bounds[column] = bounds[column] + a * A[column]
        feature += 1


@jit
def collect(
    cells: CellRows, cell: int, bounds: np.ndarray, within: np.ndarray, x: np.ndarray, query: int, k: int, found: Found
) -> None:
    """Collect the rows of a cell whose bound, and then distance, is within the limit."""
    start, n_rows = cells.edges[cell], cells.edges[cell + 1] - cells.edges[cell]
    limit = np.float32(found.limits[query])
    for column in range(n_rows):
        within[column] = not bounds[column] > limit  # NaN is within
    within[n_rows:] = 0
    eights = within.view(np.uint64)
    for eight in range(len(eights)):
        if eights[eight] == 0:
            continue
        for column in range(8 * eight, 8 * eight + 8):
            if within[column] == 0:
                continue
            squared = squared_distance(x, cells.X[start + column])
            if squared > found.limits[query]:
                continue
            if found.counts[query] == found.squared.shape[1]:
                keep_nearest(found, query, k)
            count = found.counts[query]
            found.squared[query, count], found.rows[query, count] = squared, cells.rows[start + column]
            found.counts[query] = count + 1


@reduction
def squared_distance(x: np.ndarray, row: np.ndarray) -> float:
    """Return the squared distance, as float64 has it, the same wherever two rows stand."""
    total = 0.0
    for feature in range(len(x)):
        total += (x[feature] - row[feature]) ** 2
    return total


@jit
def keep_nearest(found: Found, query: int, k: int) -> None:
    """Drop all but the ``k`` nearest rows; what is farther than these need not be looked at."""
    select(found.squared[query], found.rows[query], found.counts[query], k)
    found.counts[query] = k
    found.limits[query] = found.squared[query, k - 1]


@jit
def select(values: np.ndarray, labels: np.ndarray, n: int, k: int) -> None:
    """Move the ``k`` lowest of the first ``n`` values to the front, of equal ones those with the lowest labels.

    Quickselect, down to the k-th of them in its place. No two labels are equal, so no two pairs are.
    """
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        value, label = values[middle], labels[middle]
        values[middle], labels[middle] = values[high], labels[high]
        store = low
        for place in range(low, high):  # without branches, which would be mispredicted
            here, name = values[place], labels[place]
            values[place], labels[place] = values[store], labels[store]
            values[store], labels[store] = here, name
            store += (here < value) | ((here == value) & (name < label))
        values[high], labels[high] = values[store], labels[store]
        values[store], labels[store] = value, label
        if store == k - 1:
            return
        low, high = (store + 1, high) if store < k - 1 else (low, store - 1)
