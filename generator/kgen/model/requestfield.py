"""What a request is made of, by name."""

from __future__ import annotations

import enum


class RequestField(str, enum.Enum):
    """What of a request a wish stands in, or a change is made to."""

    ACCELERATOR = "accelerator"
    CONDA_NAME = "conda-name"
    CONSTRAINT = "constraint"
    CUTOFF = "cutoff"
    DEPENDENCY = "dependency"
    DRIVER = "driver"
    GENERATION = "generation"
    GLIBC = "glibc"
    GPU = "gpu"
    JOINT = "joint"
    KERAS = "keras"
    OTHER_FRAMEWORKS = "other-frameworks"
    OWN_INDEX = "own-index"
    PLATFORM = "platform"
    PYTHON = "python"
    REQUIREMENT = "requirement"
    TARGET = "target"
