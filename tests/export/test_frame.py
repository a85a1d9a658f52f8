"""The frame of a volume that grows: that of the tiles at first, and no change without need."""

from scripts.export import frame

BLOCK = (64, 32)
TILES = (3.2, -5, 600, 300)
FIRST = (3, -5, 600, 300)


def test_the_first_frame_is_that_of_the_tiles():
    assert frame.steady(TILES, BLOCK, None) == FIRST


def test_a_frame_that_was_outgrown_gets_room_and_stays_then():
    grown = frame.steady((2.9, -5, 600, 300), BLOCK, FIRST)
    assert grown == (2 - 64, -5 - 32, 600 + 64, 300 + 32)
    for bounds in (TILES, (-60, -36, 600, 300), (3.2, -5, 664, 332), (100, 40, 500, 250)):
        assert frame.steady(bounds, BLOCK, grown) == grown
    assert frame.steady((3.2, -5, 600, 333), BLOCK, grown)[3] == 333 + 32


def test_a_frame_far_larger_than_the_tiles_does_not_stay():
    assert frame.steady((550, 200, 600, 300), BLOCK, FIRST) == (550 - 64, 168, 664, 332)
