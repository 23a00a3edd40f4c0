"""Where the canvas draws what: layers from left to right, few crossings, straight runs. Pure.

Layers by longest path after cycles are broken, order inside a layer by barycentre sweeps, heights by least squares
that keeps order and distance (pool adjacent violators). The same input gives the same picture on every process.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import rustworkx as rx

#: pixels from the middle of one card to the next, in a layer and between layers
ROW, COLUMN = 84, 300
_SWEEPS = 8

T = TypeVar("T", bound=Hashable)


def place(
    nodes: Sequence[T],
    edges: Sequence[tuple[T, T]],
    *,
    group: Mapping[T, str] | None = None,
    row: int = ROW,
    column: int = COLUMN,
) -> dict[T, tuple[int, int]]:
    """(x, y) of each node. Nodes of one ``group`` stand together inside a layer."""
    index = {n: i for i, n in enumerate(nodes)}
    pairs = sorted({(index[a], index[b]) for a, b in edges if a in index and b in index and a != b})
    if not index:
        return {}
    forward = acyclic(len(index), pairs)
    layer = layers(len(index), forward)
    groups = [str(group.get(n, "")) if group else "" for n in index]
    order = ordered(layer, forward, groups)
    height = heights(order, forward, row)
    return {n: (layer[i] * column, round(height[i])) for n, i in index.items()}


def acyclic(n: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs with every one that closes a cycle turned round, walking from sources first, then in order."""
    out: list[list[int]] = [[] for _ in range(n)]
    entering = [0] * n
    for a, b in pairs:
        out[a].append(b)
        entering[b] += 1
    state = bytearray(n)  # 0 new, 1 on the way, 2 done
    kept: list[tuple[int, int]] = []
    for start in sorted(range(n), key=lambda v: (entering[v] > 0, v)):
        if state[start]:
            continue
        state[start] = 1
        stack = [(start, iter(out[start]))]
        while stack:
            v, rest = stack[-1]
            for w in rest:
                kept.append((w, v) if state[w] == 1 else (v, w))
                if state[w] == 0:
                    state[w] = 1
                    stack.append((w, iter(out[w])))
                    break
            else:
                state[v] = 2
                stack.pop()
    return sorted(set(kept))


def layers(n: int, forward: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each node: as far left as its sources let it, and sources beside what they feed."""
    g: rx.PyDiGraph = rx.PyDiGraph(multigraph=False)
    g.add_nodes_from(range(n))
    g.add_edges_from_no_data(list(forward))
    before: list[list[int]] = [[] for _ in range(n)]
    behind: list[list[int]] = [[] for _ in range(n)]
    for a, b in forward:
        behind[a].append(b)
        before[b].append(a)
    topological = list(rx.topological_sort(g))
    layer = [0] * n
    for v in topological:
        layer[v] = max((layer[u] + 1 for u in before[v]), default=0)
    for v in reversed(topological):
        if not before[v] and behind[v]:
            layer[v] = min(layer[w] for w in behind[v]) - 1
    return layer


def ordered(
    layer: Sequence[int], forward: Sequence[tuple[int, int]], groups: Sequence[str]
) -> list[list[int]]:
    """Nodes of each layer from top to bottom, swept by the mean rank of their neighbours."""
    n = len(layer)
    near: tuple[list[list[int]], list[list[int]]] = ([[] for _ in range(n)], [[] for _ in range(n)])
    for a, b in forward:
        near[0][b].append(a)
        near[1][a].append(b)
    order: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for v in range(n):
        order[layer[v]].append(v)
    rank = [0.0] * n
    for row in order:
        _number(row, rank)
    for sweep in range(_SWEEPS):
        side = near[sweep % 2]
        for row in order if sweep % 2 == 0 else reversed(order):
            mean = {v: sum(rank[u] for u in side[v]) / len(side[v]) if side[v] else rank[v] for v in row}
            if any(groups[v] for v in row):
                _together(row, mean, groups)
            else:
                row.sort(key=mean.__getitem__)
            _number(row, rank)
    return order


def _number(row: list[int], rank: list[float]) -> None:
    for i, v in enumerate(row):
        rank[v] = (i + 0.5) / len(row)


def _together(row: list[int], mean: dict[int, float], groups: Sequence[str]) -> None:
    """Sort groups by their mean, and inside a group by one's own; who has no group is one alone."""
    members: dict[str, list[int]] = {}
    for v in row:
        members.setdefault(groups[v] or f"\0{v}", []).append(v)
    at = {g: sum(mean[v] for v in vs) / len(vs) for g, vs in members.items()}
    row.sort(key=lambda v: (at[groups[v] or f"\0{v}"], groups[v] or f"\0{v}", mean[v]))


def heights(order: Sequence[Sequence[int]], forward: Sequence[tuple[int, int]], row: int) -> dict[int, float]:
    """Heights that bring each node near the middle of its neighbours without changing order or distance."""
    near: dict[int, list[int]] = {v: [] for line in order for v in line}
    for a, b in forward:
        near[a].append(b)
        near[b].append(a)
    y = {v: (i - (len(line) - 1) / 2) * row for line in order for i, v in enumerate(line)}
    for sweep in range(_SWEEPS):
        for line in order if sweep % 2 == 0 else reversed(order):
            wish = [sum(y[u] for u in near[v]) / len(near[v]) if near[v] else y[v] for v in line]
            for v, at in zip(line, spaced(wish, row), strict=True):
                y[v] = at
    top = min(y.values())
    return {v: at - top for v, at in y.items()}


def spaced(wish: Sequence[float], gap: float) -> list[float]:
    """The positions nearest to those wished for, in the same order and at least ``gap`` apart."""
    blocks: list[
        tuple[float, int]
    ] = []  # sum and number of (wish - i * gap), pooled where they would overlap
    for i, at in enumerate(wish):
        total, count = at - i * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before, many = blocks.pop()
            total, count = total + before, count + many
        blocks.append((total, count))
    out: list[float] = []
    for total, count in blocks:
        out += [total / count + (len(out) + k) * gap for k in range(count)]
    return out
