"""NumPy: `fit` is not there, so the contract is a forward pass. Nothing is compiled."""

from kgen_step.forward import TRAINS, built, device, places, prove, watch

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "device", "hold", "places", "prove", "watch"]

MODULES = ("jax",)
WATCHED = ()


def hold(environ, _device, _folder):
    """Keras's NumPy backend imports JAX for shapes; it needs no GPU for that."""
    environ["JAX_PLATFORMS"] = "cpu"
