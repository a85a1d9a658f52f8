"""What stays while a volume grows: a slow drift is followed, what can be seen is not."""

import numpy as np
import pytest

from scripts.lib import growing

TOLERANCE = 0.02
LAYERS = 200


def result(new, published):
    """What is published after a new look: layers, and which of them stayed."""
    before = np.full_like(new, np.nan)
    before[: len(published)] = published
    drift, stays = growing.followed(new - before, TOLERANCE)
    return np.where(stays[:, None], before, new - drift), stays


@pytest.fixture
def published():
    return np.random.default_rng(3).normal(0, 1, (LAYERS, 2)).cumsum(axis=0)


def test_a_drift_that_nobody_sees_moves_no_layer_and_new_ones_come_after_the_last(published):
    # 1.4 px at the end, a decay of 78 layers: what a wave of new layers does by the stage's prior
    drift = 1.0 * np.exp((np.arange(LAYERS) - LAYERS) / 78)[:, None] + [5.0, -3.0]
    new = np.concatenate([published + drift, published[-1:] + drift[-1:] + [[1.0, 2.0]]])
    out, stays = result(new, published)
    assert stays.tolist() == [True] * LAYERS + [False]
    assert np.array_equal(out[:LAYERS], published)
    assert out[-1] - out[-2] == pytest.approx([1.0, 2.0])


def test_what_is_seen_from_layer_to_layer_is_as_newly_found(published):
    change = np.zeros((LAYERS, 2))
    change[50] = 0.5  # a layer that was wrong
    change[150:] = [0.3, 0.0]  # a step
    out, stays = result(published + change, published)
    assert np.flatnonzero(~stays).tolist() == [50, *range(150, LAYERS)]
    assert np.diff(out, axis=0) == pytest.approx(np.diff(published + change, axis=0))


def test_steps_never_differ_from_the_newest_by_more_than_the_tolerance(published):
    rng = np.random.default_rng(4)
    for wave in range(5):
        new = published + rng.normal(0, 0.02, (LAYERS, 2)).cumsum(axis=0) / (wave + 1)
        published, stays = result(new, published)
        off = np.diff(published, axis=0) - np.diff(new, axis=0)
        assert np.linalg.norm(off, axis=1).max() < TOLERANCE
        assert stays.any()


def test_a_small_step_is_taken_back_and_a_large_one_moves_all_behind(
    published,
):
    for size, stay in ((0.07, True), (0.3, False)):
        change = np.zeros((LAYERS, 2))
        change[100:] = [0.6 * size, 0.8 * size]
        drift, stays = growing.followed(change, TOLERANCE, taken_back=5)
        # 0.02 is less than 0.07 - 3 * 0.018: the fourth layer stays again
        moved = [100, 101, 102] if stay else list(range(100, LAYERS))
        assert np.flatnonzero(~stays).tolist() == moved
        out = np.where(stays[:, None], published, published + change - drift)
        off = np.diff(out, axis=0) - np.diff(published + change, axis=0)
        assert np.linalg.norm(off, axis=1).max() < TOLERANCE


def test_a_layer_may_have_a_tolerance_of_its_own(published):
    change = np.zeros((LAYERS, 2))
    change[50] = change[150] = [0.03, 0.0]
    most = np.full(LAYERS, TOLERANCE)
    most[[50, 51]] = 0.04
    _, stays = growing.followed(change, most)
    assert np.flatnonzero(~stays).tolist() == [150]


def test_a_first_layer_that_moved_alone_does_not_take_the_volume_with_it(published):
    change = np.zeros((LAYERS, 2))
    change[0] = 4.0
    _, stays = result(published + change, published)
    assert np.flatnonzero(~stays).tolist() == [0]


def test_without_tolerance_or_anything_published_all_is_new(published):
    drift, stays = growing.followed(np.full((3, 2), np.nan), TOLERANCE)
    assert not stays.any()
    assert not drift.any()
    drift, stays = growing.followed(np.full((3, 2), 1e-9), 0)
    assert not stays.any()
    assert not drift.any()


def test_the_box_of_pictures_stays_while_it_shows_nearly_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert growing.published_box() is None
    growing.publish_box((0.0, 0.0, 1000.0, 400.0))
    for bounds in ((-30.0, 0.0, 1000.0, 415.0), (20.0, 0.0, 1049.0, 400.0)):
        growing.publish_box(bounds)
        assert growing.published_box() == (0, 0, 1000, 400)
    growing.publish_box((0.0, 0.0, 1000.0, 425.0))
    assert growing.published_box() == (0, 0, 1000, 425)
    growing.publish_box(None)  # imaging has ended
    assert growing.published_box() is None
