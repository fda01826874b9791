"""Solvers of single steps: minimal samples, quadrics, refinement."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.delays import RATE, SPEED, tdoa_case
from wavloc.geometry import LUVIRA_MICS, pairs, tdoa
from wavloc.methods.classical.solvers import minimal, quadrics, ransac, refine
from wavloc.methods.classical.solvers.problem import FAR, build, cost


@pytest.mark.parametrize("tree", range(16))
def test_minimal_solver_finds_the_source_through_every_tree(tree: int) -> None:
    rng = np.random.default_rng(tree)
    mics, source = rng.uniform(-3, 3, (200, 4, 3)), rng.uniform(-3, 3, (200, 3))
    distance = np.linalg.norm(mics - source[:, None], axis=-1)
    edges = minimal.TREES[tree]
    ranges = distance[:, edges[:, 0]] - distance[:, edges[:, 1]]
    points = minimal.solve(mics, np.full(200, tree), ranges)
    nearest = np.nanmin(np.linalg.norm(points - source[:, None], axis=-1), axis=1)
    assert np.median(nearest) < 1e-9
    assert (nearest < 1e-4).mean() > 0.97


def test_coplanar_microphones_give_both_mirror_images() -> None:
    mics = np.array([[0, 0, 0], [4, 0, 0], [0, 5, 0], [3, 3, 0.0]])
    source = np.array([1.0, 2.0, 1.5])
    distance = np.linalg.norm(mics - source, axis=1)
    edges = minimal.TREES[0]
    points = minimal.solve(mics, np.array(0), distance[edges[:, 0]] - distance[edges[:, 1]])
    assert sorted(points[:, 2].round(6)) == [-1.5, 1.5]
    assert points[:, :2] == pytest.approx(np.array([[1, 2], [1, 2]]), abs=1e-6)


def test_collinear_and_coincident_microphones_are_rejected() -> None:
    line = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0.0]])
    same = np.array([[0, 0, 0], [0, 0, 0], [2, 1, 0], [3, 0, 1.0]])
    for mics in (line, same):
        assert np.isnan(minimal.solve(mics, np.array(0), np.array([0.1, 0.0, 0.0]))).all()


def test_draws_are_spanning_trees_of_distinct_microphones() -> None:
    mics, _, pair, rank = ransac.draws(7, 4, 500, 0, (0.5, 0.25, 0.15, 0.1))
    assert (np.diff(mics, axis=1) > 0).all()
    ends = pairs(7)[pair]
    joined = [len(np.unique(draw)) for draw in ends.reshape(500, -1)]
    assert set(joined) == {4}
    assert rank.max() == 3
    assert (rank == 0).mean() == pytest.approx(0.5, abs=0.05)


def three_quadrics(ends: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sources (n, 3) and quadrics (n, 3, 10) of three pairs with ends (3, 2) of six microphones."""
    rng = np.random.default_rng(seed)
    mics, source = rng.uniform(-3, 3, (200, 6, 3)), rng.uniform(-3, 3, (200, 3))
    near, far = mics[:, ends[:, 0]], mics[:, ends[:, 1]]
    distance = [np.linalg.norm(end - source[:, None], axis=-1) for end in (near, far)]
    return source, quadrics.coefficients(near, far, distance[0] - distance[1])


@pytest.mark.parametrize(
    "ends", [[[0, 1], [2, 3], [4, 5]], [[0, 1], [0, 2], [0, 3]], [[0, 1], [1, 2], [2, 3]]]
)
def test_the_source_is_one_of_eight_roots(ends: list) -> None:
    """Three disjoint pairs, a star and a path."""
    source, surfaces = three_quadrics(np.array(ends))
    nearest = np.linalg.norm(quadrics.roots(surfaces) - source[:, None], axis=-1).min(axis=1)
    assert np.median(nearest) < 1e-6
    assert (nearest < 1e-3).mean() > 0.97


@pytest.mark.parametrize("ends", [[[0, 1], [1, 2], [0, 2]], [[0, 1], [0, 1], [0, 1]]])
def test_draws_without_isolated_roots_raise_nothing(ends: list) -> None:
    """A triangle, and three times the same delay: such draws occur."""
    _, surfaces = three_quadrics(np.array(ends))
    assert quadrics.roots(surfaces).shape == (200, 8, 3)
    assert np.isnan(quadrics.roots(np.zeros((1, 3, 10)))).all()


@pytest.mark.parametrize("shape", ["cube", "plane"])
def test_any_three_delays_of_a_symmetric_array(shape: str) -> None:
    """Unrotated, the cube gives exactly singular systems; in a plane roots are mirror images."""
    cube = np.array([[x, y, z] for x in (0, 4.0) for y in (0, 4.0) for z in (0, 2.0)])
    plane = np.array([[0, 0], [4, 0], [0, 5], [3, 3], [1, 4], [2, 1.0]])
    mics = cube if shape == "cube" else np.pad(plane, ((0, 0), (0, 1)))
    source = np.array([[2, 2, 1.0], [1, 2, 1.5], [2, 1, 0.5], [1.3, 2.2, 0.9]])
    problem = build(tdoa(source, mics, RATE, SPEED), mics, RATE, SPEED)
    points = quadrics.hypotheses(problem, 100, 0)
    images = [source] if shape == "cube" else [source, source * [1, 1, -1]]
    for image in images:
        assert np.linalg.norm(points - image[:, None], axis=-1).min(axis=1).max() < 1e-3


def test_any_three_delays_are_drawn_but_no_missing_ones() -> None:
    _, delays = tdoa_case(2)
    delays[1, 3:] = np.nan  # three delays are left: every draw is the same
    problem = build(delays, LUVIRA_MICS, RATE, SPEED)
    points = quadrics.hypotheses(problem, 50, 0)
    assert points.shape == (2, 400, 3)
    assert len(np.unique(points[0].round(6), axis=0)) > 100
    assert len(np.unique(points[1].round(3), axis=0)) <= 9
    nothing = build(np.full((1, 55), np.nan), LUVIRA_MICS, RATE, SPEED)
    assert (quadrics.hypotheses(nothing, 5, 0) == FAR).all()


def test_missing_delays_cost_the_full_threshold() -> None:
    source, delays = tdoa_case(2)
    problem = build(np.full_like(delays, np.nan), LUVIRA_MICS, RATE, SPEED)
    assert (problem.ranges == FAR).all()
    assert cost(problem, source[:, None], 0.1) == pytest.approx(np.full((2, 1), 5.5))


def test_singular_steps_move_nothing() -> None:
    problem = build(np.full((1, 55), np.nan), LUVIRA_MICS, RATE, SPEED)
    start = np.array([[[0.0, 0.0, 1.0]]])
    assert np.array_equal(refine.refine(problem, start, [refine.truncated(0.1)] * 3), start)
