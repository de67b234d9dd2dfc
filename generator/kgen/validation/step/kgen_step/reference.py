"""The trajectory that every backend must follow: the network forward and backward in plain NumPy and float64.

    python -m kgen_step.reference > ../../reference.json     # in the folder above this one

Nothing here is shared with a framework but the formulas: a convolution (that is, correlation) without padding, relu,
dense layers, softmax, the mean categorical cross-entropy, and SGD with momentum (v <- m v - r g; w <- w + v).
"""

import json
import sys

import numpy

from kgen_step import task


def forward(weights, images):
    """Gives (probabilities, all values in between) for images (batch, height, width, channels)."""
    first, first_bias, second, second_bias, hidden, hidden_bias, output, output_bias = weights
    before_one = _convolve(images, first) + first_bias
    one = numpy.maximum(before_one, 0)
    before_two = _convolve(one, second) + second_bias
    two = numpy.maximum(before_two, 0)
    flat = two.reshape((len(two), -1))
    before_three = flat.dot(hidden) + hidden_bias
    three = numpy.maximum(before_three, 0)
    scores = three.dot(output) + output_bias
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), (before_one, one, before_two, two, flat, before_three, three)


def loss_and_gradients(weights, images, labels):
    """Gives the mean cross-entropy, its gradient by each weight, and the least distance from a kink of relu."""
    _, _, second, _, hidden, _, output, _ = weights
    probabilities, between = forward(weights, images)
    before_one, one, before_two, two, flat, before_three, three = between
    loss = -(labels * numpy.log(probabilities)).sum(axis=1).mean()
    by_scores = (probabilities - labels) / len(images)
    by_three = by_scores.dot(output.T) * (before_three > 0)
    by_two = by_three.dot(hidden.T).reshape(two.shape) * (before_two > 0)
    by_one = _spread(by_two, second) * (before_one > 0)
    gradients = [
        _by_kernel(images, by_one),
        by_one.sum(axis=(0, 1, 2)),
        _by_kernel(one, by_two),
        by_two.sum(axis=(0, 1, 2)),
        flat.T.dot(by_three),
        by_three.sum(axis=0),
        three.T.dot(by_scores),
        by_scores.sum(axis=0),
    ]
    return loss, gradients, min(abs(values).min() for values in (before_one, before_two, before_three))


def _windows(images):
    """The part of the images under each place of the kernel: (row, column, that part)."""
    height = images.shape[1] - task.KERNEL + 1
    width = images.shape[2] - task.KERNEL + 1
    for row in range(task.KERNEL):
        for column in range(task.KERNEL):
            yield row, column, images[:, row : row + height, column : column + width]


def _convolve(images, kernel):
    return sum(window.dot(kernel[row, column]) for row, column, window in _windows(images))


def _by_kernel(images, by_result):
    gradient = numpy.empty((task.KERNEL, task.KERNEL, images.shape[3], by_result.shape[3]))
    for row, column, window in _windows(images):
        gradient[row, column] = numpy.tensordot(window, by_result, axes=((0, 1, 2), (0, 1, 2)))
    return gradient


def _spread(by_result, kernel):
    """The gradient by the input of a convolution: what `_convolve` gathered is given back to where it came from."""
    batch, height, width, _ = by_result.shape
    gradient = numpy.zeros((batch, height + task.KERNEL - 1, width + task.KERNEL - 1, kernel.shape[2]))
    for row, column, window in _windows(gradient):
        window += by_result.dot(kernel[row, column].T)  # noqa: PLW2901 - a view of `gradient`
    return gradient


def trajectory(seed=task.SEED, steps=task.STEPS):
    """Gives the losses of so many steps, the first outputs, the weights at the end, and the least distance from a kink.

    A kink is one of relu.
    """
    weights, images, labels = task.arrays(seed)
    weights = [weight.astype("float64") for weight in weights]
    velocities = [numpy.zeros_like(weight) for weight in weights]
    first, _ = forward(weights, images[0].astype("float64"))
    losses = []
    margin = numpy.inf
    for step in range(steps):
        batch, wanted = (values[step % task.BATCHES].astype("float64") for values in (images, labels))
        loss, gradients, distance = loss_and_gradients(weights, batch, wanted)
        losses.append(loss)
        margin = min(margin, distance)
        velocities = [task.MOMENTUM * v - task.RATE * g for v, g in zip(velocities, gradients)]
        weights = [weight + velocity for weight, velocity in zip(weights, velocities)]
    return losses, first, weights, margin


def main():
    """Writes the trajectory as JSON: losses with 17 digits, the rest with what float32 can be compared to."""
    losses, first, weights, margin = trajectory()
    values = {
        "seed": task.SEED,
        "losses": [float(loss) for loss in losses],
        "outputs": [[round(float(value), 10) for value in row] for row in first],
        "weights": {
            name: [round(float(value), 10) for value in weight.ravel()]
            for (name, _, _), weight in zip(task.SHAPES, weights)
        },
        "kink": round(float(margin), 9),
    }
    json.dump(values, sys.stdout, indent=None, separators=(",", ":"), sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
