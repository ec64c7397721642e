from __future__ import annotations

import pytest
import torch
from diffusers import FluxPipeline

import teacache
from teacache.predictors import Extrapolation
from teacache.rows import Selection
from tests.teacache.tiny.flux import generate


def rows(*which: int, size: int = 3) -> Selection:
    return Selection(which, size)


ALL = rows(0, 1, 2)


def keep(predictor: Extrapolation, step: int, values: list[float], selection: Selection = ALL) -> None:
    predictor.keep(step, torch.tensor(values)[:, None], selection)


def numbers(predictor: Extrapolation, step: int, selection: Selection = ALL) -> list[float]:
    return [float(value) for value in predictor.predict(step, selection).flatten()]


def test_order_0_is_the_last_residual_of_each_row() -> None:
    predictor = Extrapolation(0)
    keep(predictor, 0, [5.0, 6.0, 7.0])
    keep(predictor, 2, [1.0, 2.0], rows(0, 2))
    assert numbers(predictor, 9) == [1.0, 6.0, 2.0]
    assert numbers(predictor, 9, rows(1, 2)) == [6.0, 2.0]


def test_order_1_is_the_line_through_the_last_two_of_each_row() -> None:
    predictor = Extrapolation(1)
    keep(predictor, 0, [100.0, 10.0, 1.0])
    assert numbers(predictor, 1) == [100.0, 10.0, 1.0]  # one residual: reuse
    keep(predictor, 2, [104.0], rows(0))
    # row 0: slope (104 - 100) / (2 - 0) = 2, so 104 + 2 x 2 = 108 at step 4; the others know one residual
    assert numbers(predictor, 4) == [108.0, 10.0, 1.0]
    keep(predictor, 4, [110.0, 3.0], rows(0, 2))
    # row 0: slope (110 - 104) / (4 - 2) = 3: 110 + 3 x 3 = 119 at step 7; row 2: (3 - 1) / (4 - 0) = 0.5: 3 + 1.5
    assert numbers(predictor, 7) == [119.0, 10.0, 4.5]
    assert numbers(predictor, 7, rows(2)) == [4.5]
    keep(predictor, 8, [0.0, 0.0, 7.0])
    keep(predictor, 9, [1.0, 1.0, 7.5])
    assert numbers(predictor, 11) == [3.0, 3.0, 8.5]


def test_residuals_of_another_shape_or_type_are_not_mixed() -> None:
    predictor = Extrapolation(1)
    assert not predictor.can_stand_in(torch.zeros(3, 1))
    keep(predictor, 0, [0.0, 0.0, 0.0])
    assert predictor.can_stand_in(torch.ones(3, 1))
    assert not predictor.can_stand_in(torch.ones(3, 2))
    assert not predictor.can_stand_in(torch.ones(3, 1, dtype=torch.bfloat16))
    predictor.keep(1, torch.ones(3, 2), ALL)
    assert torch.equal(predictor.predict(5, ALL), torch.ones(3, 2))


def test_residuals_can_be_kept_in_fewer_bytes() -> None:
    predictor = Extrapolation(1, dtype=torch.bfloat16, device="cpu")
    keep(predictor, 0, [1.0, 2.0, 1.0 + 2**-9])  # bfloat16 has 8 bits
    assert predictor.can_stand_in(torch.ones(3, 1))
    assert predictor.predict(1, ALL).dtype == torch.float32
    assert numbers(predictor, 1) == [1.0, 2.0, 1.0]


def test_residuals_can_be_kept_on_the_cpu() -> None:
    """A tensor without values cannot be brought there, which shows that it is tried."""
    predictor, nowhere = Extrapolation(0, device="cpu"), torch.ones(3, 1, device="meta")
    with pytest.raises(NotImplementedError, match="meta"):
        predictor.keep(0, nowhere, ALL)
    Extrapolation(0).keep(0, nowhere, ALL)


def test_residuals_are_kept_as_a_config_says(pipe: FluxPipeline) -> None:
    latents = []
    for dtype in ("float32", "bfloat16", None):
        with teacache.enabled(pipe, teacache.ScheduleConfig(steps=(0, 1, 4, 9, 11), residual_dtype=dtype)):
            latents.append(generate(pipe))
    assert torch.equal(latents[0], latents[2])
    assert not torch.equal(latents[1], latents[2])
    torch.testing.assert_close(latents[1], latents[2], rtol=1e-2, atol=1e-2)


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
    (computed,) = cache.stats.calls[0].computed
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


@pytest.mark.parametrize("selection", [ALL, rows(0, 2)])
def test_the_error_is_that_of_the_line_and_what_is_kept_next_is_not_touched_by_it(selection: Selection) -> None:
    # Row 0 goes up by 2 a step, row 1 by 1, row 2 by -1; at step 4 that makes 18, 14 and 1.
    predictor = Extrapolation(1)
    keep(predictor, 0, [10.0, 10.0, 5.0])
    keep(predictor, 2, [14.0, 12.0, 3.0])
    residual = selection.take(torch.tensor([20.0, 14.0, 0.0])[:, None])
    error = predictor.error(4, residual, selection)
    assert error.flatten().tolist() == selection.take(torch.tensor([-2.0, 0.0, 1.0])).tolist()
    predictor.keep(4, residual, selection)
    error.fill_(99.0)
    # The lines through steps 2 and 4, at step 6: 26, 16 and -3.
    assert numbers(predictor, 6, selection) == selection.take(torch.tensor([26.0, 16.0, -3.0])).tolist()
