"""kgen: one reproducible, GPU-proven Keras environment per backend."""

__version__ = "0.1.0"
