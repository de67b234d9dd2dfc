"""`fit` from a `DataLoader` of PyTorch's, whatever the backend."""

from kgen_step import task
from kgen_step.parts import _pipelines

TRAINS = False


def run(world):
    """Batches of a loader of PyTorch's."""
    _pipelines.needs("torch")
    import torch

    def make(images, labels):
        # Keras takes its batches as they come; on the CPU, from where the backend takes them
        rows = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
        return torch.utils.data.DataLoader(rows, batch_size=task.BATCH)

    return _pipelines.fed(world, make)
