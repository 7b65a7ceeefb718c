"""Distance fields that lesions are cut from.

A lesion is a sub-level set of a wobbling distance to one or more seeds, cut at the level that
encloses the target share of its subregion: so any share is met for any shape.
"""

import numpy as np

from tools.phantom.shape import FloatArray


def wobble(rng: np.random.Generator, points: FloatArray) -> FloatArray:
    """Returns a smooth field of about ±1 at points of shape (…, 3), with waves of 8–20 mm."""
    total = np.zeros(points.shape[:-1], np.float32)
    for _ in range(4):
        direction = rng.normal(size=3)
        wave = 2.0 * np.pi * direction / np.linalg.norm(direction) / rng.uniform(8.0, 20.0)
        total += np.sin(points @ wave.astype(np.float32) + rng.uniform(0.0, 6.28))
    return total / 2.0


def spread_seeds(rng: np.random.Generator, points: FloatArray, count: int) -> FloatArray:
    """Returns centres among candidate points, spread by a few tries; shape (count, 3)."""
    middle = points.mean(axis=0)
    if count == 1:
        near = np.argsort(np.linalg.norm(points - middle, axis=1))
        return points[near[rng.integers(0, max(near.size // 4, 1))]][None]
    best, widest = points[:count], -1.0
    for _ in range(40):
        chosen = points[rng.choice(points.shape[0], count, replace=False)]
        apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)
        nearest = float(apart[~np.eye(count, dtype=bool)].min())
        if nearest > widest:
            best, widest = chosen, nearest
    # Off the corners, towards the middle.
    return (best + 0.25 * (middle - best)).astype(np.float32)


def level_at(field: FloatArray, weights: FloatArray, wanted: float) -> float:
    """Returns the level below which a field encloses the wanted total weight."""
    order = np.argsort(field, kind="stable")
    reached = np.cumsum(weights[order])
    return float(field[order[min(int(np.searchsorted(reached, wanted)), order.size - 1)]])
