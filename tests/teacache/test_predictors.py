from __future__ import annotations

import pytest
import torch
from diffusers import FluxPipeline

import teacache
from teacache.predictors import Extrapolation
from tests.teacache.tiny_flux import generate


def number(predictor: Extrapolation, step: int) -> float:
    return float(predictor.predict(step))


def test_order_0_is_the_last_residual() -> None:
    predictor = Extrapolation(0)
    for step, value in ((0, 5.0), (2, 7.0), (3, 4.0)):
        predictor.keep(step, torch.tensor(value))
    assert number(predictor, 9) == 4.0


def test_order_1_is_the_line_through_the_last_two() -> None:
    predictor = Extrapolation(1)
    predictor.keep(0, torch.tensor(100.0))
    assert number(predictor, 1) == 100.0  # one residual: reuse
    predictor.keep(2, torch.tensor(3.0))
    predictor.keep(4, torch.tensor(7.0))
    # slope (7 - 3) / (4 - 2) = 2: 7 + 2 x 3 = 13 at step 7
    assert number(predictor, 7) == 13.0


def test_residuals_of_another_shape_or_type_are_not_mixed() -> None:
    predictor = Extrapolation(1)
    assert not predictor.can_stand_in(torch.zeros(2))
    predictor.keep(0, torch.zeros(2))
    assert predictor.can_stand_in(torch.ones(2))
    assert not predictor.can_stand_in(torch.ones(3))
    assert not predictor.can_stand_in(torch.ones(2, dtype=torch.bfloat16))
    predictor.keep(1, torch.ones(3))
    assert torch.equal(predictor.predict(5), torch.ones(3))


@pytest.mark.parametrize("order", [0, 1])
def test_a_run_with_given_decisions_is_that_extrapolation(pipe: FluxPipeline, order: int) -> None:
    """Stack inputs and outputs seen by plain hooks: on skipped steps their difference is the predicted residual."""
    model = pipe.transformer
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    model.x_embedder.register_forward_hook(lambda module, args, output: inputs.append(output))
    model.norm_out.register_forward_pre_hook(lambda module, args: outputs.append(args[0]))
    config = teacache.TeaCacheConfig(rel_l1_thresh=0.12, coefficients=(1.0, 0.0), order=order)
    with teacache.enabled(pipe, config) as cache:
        generate(pipe)
    computed = cache.stats.calls[0].computed
    assert not all(computed)
    residuals = [after - before for before, after in zip(inputs, outputs, strict=True)]
    for step, was_computed in enumerate(computed):
        if was_computed:
            continue
        nodes = [node for node in range(step) if computed[node]][-2:]
        expected = residuals[nodes[-1]]
        if order == 1 and len(nodes) == 2:
            slope = (residuals[nodes[1]] - residuals[nodes[0]]) / (nodes[1] - nodes[0])
            expected = residuals[nodes[1]] + slope * (step - nodes[1])
        torch.testing.assert_close(residuals[step], expected, rtol=1e-4, atol=1e-5)
