from __future__ import annotations

from typing import Any

import pytest

from teacache import TeaCacheConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rel_l1_thresh": -0.1}, "rel_l1_thresh must be >= 0, got -0.1"),
        ({"rel_l1_thresh": float("nan")}, "rel_l1_thresh must be >= 0, got nan"),
        ({"coefficients": ()}, "coefficients must be one or more finite numbers"),
        ({"coefficients": (1.0, float("inf"))}, "coefficients must be one or more finite numbers"),
        ({"fitted_range": (0.3, 0.1)}, r"fitted_range must be \(low, high\) with low < high, got \(0.3, 0.1\)"),
        ({"order": 2}, "order must be 0 or 1, got 2"),
        ({"max_consecutive_skips": 0}, "max_consecutive_skips must be >= 1, got 0"),
        ({"num_inference_steps": 0}, "num_inference_steps must be >= 1, got 0"),
        ({"num_inference_steps": 4, "num_inference_steps_callback": lambda: 4}, "not both"),
    ],
)
def test_a_field_out_of_range_is_refused_with_its_value(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeaCacheConfig(**fields)


def test_lists_from_yaml_become_tuples() -> None:
    config = TeaCacheConfig(coefficients=[1, 2], fitted_range=[0, 1])  # type: ignore[arg-type]
    assert (config.coefficients, config.fitted_range) == ((1.0, 2.0), (0.0, 1.0))
    assert hash(config) == hash(TeaCacheConfig(coefficients=(1.0, 2.0), fitted_range=(0.0, 1.0)))
