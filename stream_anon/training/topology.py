"""The mesh's triangles, out of the package that its network comes from: a script.

``python -m stream_anon.training.topology WHEEL MESH.npy stream_anon/alignment/mesh_topology.npz``

The wheel's ``face_mesh_connections.py`` lists edges. Three vertices that are mutually joined are a
triangle; eyes and mouth are holes, closed by strips between their upper and lower contours. The
winding is made consistent from one triangle to its neighbours, and turned so that a triangle that
faces the camera has a positive area in an image (x to the right, y down) of the frontal face
``MESH.npy`` (468, 2 or more).
"""

from __future__ import annotations

import ast
import itertools
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE

MEMBER = "mediapipe/python/solutions/face_mesh_connections.py"

Edges = set[tuple[int, int]]
Triangle = tuple[int, int, int]


def edges_of(source: str) -> Edges:
    """The set FACEMESH_TESSELATION of the module's text, each edge once."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            name = node.targets[0]
            if isinstance(name, ast.Name) and name.id == "FACEMESH_TESSELATION":
                found = ast.literal_eval(node.value.args[0])
                return {(min(e), max(e)) for e in found}
    raise ValueError("the module lists no FACEMESH_TESSELATION")


def triangles_of(edges: Edges) -> list[Triangle]:
    """All triples of vertices that are mutually joined."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    return sorted({
        tuple(sorted((a, b, c)))  # type: ignore[misc]
        for a, b in edges
        for c in near[a] & near[b]
    })


def strip(upper: tuple[int, ...], lower: tuple[int, ...]) -> list[Triangle]:
    """Triangles between two contours with common ends, in step."""
    found: list[Triangle] = []
    for (a, b), (c, d) in zip(itertools.pairwise(upper), itertools.pairwise(lower), strict=True):
        found += [t for t in ((a, b, d), (a, d, c)) if len(set(t)) == 3]
    return found


def wound(triangles: list[Triangle], points: NDArray[np.float64]) -> NDArray[np.int16]:
    """Triangles (m, 3) of one winding, positive for those that face the camera."""
    around: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, t in enumerate(triangles):
        for a, b in itertools.combinations(t, 2):
            around[min(a, b), max(a, b)].append(i)
    turned: dict[int, Triangle] = {0: triangles[0]}
    open_ = [0]
    while open_:
        i = open_.pop()
        t = turned[i]
        directed = {(t[0], t[1]), (t[1], t[2]), (t[2], t[0])}
        for a, b in directed:
            for j in around[min(a, b), max(a, b)]:
                if j in turned:
                    continue
                x, y, z = triangles[j]
                theirs = {(x, y), (y, z), (z, x)}
                # Neighbours run along their common edge in opposite directions.
                turned[j] = (x, z, y) if (a, b) in theirs else (x, y, z)
                open_.append(j)
    if len(turned) != len(triangles):
        raise ValueError("the triangles are not one surface")
    table = np.array([turned[i] for i in range(len(triangles))], np.int16)
    first, second, third = (points[table[:, k], :2] for k in range(3))
    (ux, uy), (vx, vy) = (second - first).T, (third - first).T
    areas = ux * vy - uy * vx
    return np.ascontiguousarray(table if np.sum(areas) > 0 else table[:, ::-1])


def build(wheel: Path, mesh: Path, out: Path) -> tuple[int, int]:
    """Write the data file; how many triangles of the surface and of the strips there are."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(MEMBER).decode()
    surface = triangles_of(edges_of(source))
    strips = [strip(*pair) for pair in (RIGHT_EYE, LEFT_EYE, INNER_LIPS)]
    kinds = [0] * len(surface) + [k for k, s in enumerate(strips, 1) for _ in s]
    table = wound([*surface, *itertools.chain(*strips)], np.load(mesh).astype(np.float64))
    np.savez_compressed(out, triangles=table, kinds=np.array(kinds, np.uint8))
    return len(surface), len(table) - len(surface)


if __name__ == "__main__":
    print(build(*(Path(p) for p in sys.argv[1:4])))
