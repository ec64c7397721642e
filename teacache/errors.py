"""What teacache raises, all of it also catchable as ValueError or RuntimeError.

TeaCacheError
  UnsupportedModelError   the model is not in the registry (ValueError)
  CoefficientsError       no polynomial is known for this model (ValueError)
  AlreadyEnabledError     a cache is on already (RuntimeError, and ValueError as diffusers' enable_cache has it)
"""


class TeaCacheError(Exception):
    """Base of the errors below."""


class UnsupportedModelError(TeaCacheError, ValueError):
    """The model has no record in `teacache.models`."""


class CoefficientsError(TeaCacheError, ValueError):
    """A TeaCacheConfig without coefficients met a model that none were published or calibrated for."""


class AlreadyEnabledError(TeaCacheError, RuntimeError, ValueError):
    """The denoiser has a cache already: ours, or one of diffusers' own."""
