"""Trains a small network on pictures of digits. It knows nothing of kgen, nor on which backend it runs.

kgen compare jax-cpu tensorflow-cpu torch-cpu --same-start -- python examples/digits/train.py
"""

import argparse
from pathlib import Path

import keras
import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pictures, between 0 and 1, and what is on them."""
    with np.load(Path(__file__).parent / "digits.npz") as data:
        return data["images"][..., None].astype("float32") / 255, data["labels"].astype("int32")


def network(width: int = 16) -> keras.Model:
    """A network with two convolutions; the first has `width` filters."""
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(width, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(width * 2, 3, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    arguments = parser.parse_args()

    images, labels = digits()
    model = network(arguments.width)
    # in the same order on every backend, so that their losses can be compared step by step
    model.fit(images, labels, batch_size=64, epochs=arguments.epochs, shuffle=False, verbose=2)


if __name__ == "__main__":
    main()
