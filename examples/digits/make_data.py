"""Draws the data of the example: ten glyphs of 8 x 8 pixels, moved and noisy. Writes digits.npz beside itself."""

from pathlib import Path

import numpy as np

GLYPHS = """
.##. .##. .##. #### #..# #### .##. #### .##. .##.
#..# ..#. #..# ...# #..# #... #... ...# #..# #..#
#..# ..#. ..#. .##. #### ###. ###. ..#. .##. .###
#..# ..#. .#.. ...# ...# ...# #..# .#.. #..# ...#
.##. .### #### ###. ...# ###. .##. .#.. .##. .##.
"""


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 8 x 8 pixels, from 0 to 255, and which glyph each of them is."""
    rows = [line.split() for line in GLYPHS.strip().splitlines()]
    glyphs = np.array([[[pixel == "#" for pixel in row[digit]] for row in rows] for digit in range(10)])
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    random.shuffle(labels)
    images = random.integers(0, 90, (count, 8, 8))
    for image, label in zip(images, labels, strict=True):
        top, left = random.integers(0, 4), random.integers(0, 5)
        image[top : top + 5, left : left + 4] += glyphs[label] * random.integers(120, 165)
    return images.astype(np.uint8), labels.astype(np.uint8)


if __name__ == "__main__":
    images, labels = draw(1280, 1)
    np.savez_compressed(Path(__file__).parent / "digits.npz", images=images, labels=labels)
