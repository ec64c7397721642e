"""Measure a model of one's own: TeaCache's polynomial and the best schedules.

    calibration = teacache.calibrate(pipe, prompts, num_inference_steps=28)
    calibration.save(folder_of_the_model)          # enable() finds it there

The pipeline runs uncached; what is kept of a run are numbers (`recording.py`). Part of the prompts is for the fit, the
others judge it (paper, section 3.3; procedure: ali-vilab/TeaCache, issue 2). `record` and `fit` are the two halves, for
prompts that are shared out over several machines: recordings are plain data, and joining them is concatenation.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import diffusers
import torch
from diffusers import ModularPipeline

from teacache.branches import Method
from teacache.cache import named_denoisers, with_method
from teacache.calibration import Calibration, Conditions
from teacache.checkpoint import Pipeline, described, plain
from teacache.fitting import Branches, Target, fit_polynomial
from teacache.predictors import Extrapolation
from teacache.quadrature import outputs_of
from teacache.recording import Recorder, Recording, SchedulerOutputs
from teacache.registry import MODELS, model_for
from teacache.rollouts import default_counts, measure
from teacache.scheduling import find_schedules
from teacache.trajectories import Progress, steps_of


def calibrate(
    pipe: Pipeline,
    prompts: Sequence[str],
    *,
    num_inference_steps: int = 28,
    degree: int = 4,
    target: Target = "output",
    intercept: bool = True,
    skip_first: int = 0,
    branches: Branches = "all",
    held_out: float = 0.25,
    seed: int = 0,
    measured: Sequence[int] | None = None,
    batch: int = 16,
    **call: Any,
) -> Calibration:
    """Run the prompts uncached, one at a time; fit the polynomial and find a schedule for every number of steps.

    Then measure some schedules (`rollouts.py`), on the first prompts in one call of the pipeline.

    Args:
        num_inference_steps: as the cache will be used: a calibration does not carry over to other numbers of steps.
        degree: of the polynomial; with `target`, `intercept`, `skip_first` and `branches`: see `fit_polynomial`.
        held_out: the share of the prompts, the last ones, that the fit does not see.
        seed: prompt number i runs with seed + i.
        measured: the numbers of computed steps; () measures none, None a dozen from all steps over 1.5 to all over 25,
            which takes up to 25 times as long as the same prompts uncached. None is measured where a denoiser's further
            streams (LTX-2's sound) go by a scheduler of their own, where there are several denoisers (Wan 2.2), where
            the scheduler is not linear in their outputs or called several times a step (Shap-E), nor on a modular
            pipeline, each of which gives its pictures in a way of its own: such models follow schedules with lines.
        batch: how many prompts measure, together.
        call: further arguments of the pipeline (height, width, guidance_scale, ...), as they will be used;
            `output_type` where it makes no latents, as Kandinsky's priors.

    Raises:
        UnsupportedModelError: teacache does not know the model.
        ValueError: too few prompts or steps for the degree, several pictures per prompt, `measured` steps on a modular
            pipeline, or a pipeline that takes no `num_inference_steps` (Helios' pyramid, SANA-WM's refiner).
    """
    _check(pipe, prompts, measured, call)
    recordings = [
        recording
        for number, prompt in enumerate(prompts)
        for recording in record(
            pipe, prompt, number=number, num_inference_steps=num_inference_steps, seed=seed + number, **call
        )
    ]
    conditions = conditions_of(pipe, prompts, num_inference_steps=num_inference_steps, **call)
    fitted = fit(recordings, conditions, degree=degree, target=target, intercept=intercept, skip_first=skip_first,
                 branches=branches, held_out=held_out)  # fmt: skip
    outputs = None if isinstance(pipe, ModularPipeline) or len(conditions.denoisers) > 1 else outputs_of(recordings)
    if outputs is None and measured:
        warnings.warn(f"no schedule can be measured on {type(pipe).__name__}, got measured={measured!r}; "
                      "schedules are followed with lines", stacklevel=2)  # fmt: skip
    counts = default_counts(num_inference_steps) if measured is None else measured
    if outputs is None or not counts:
        return fitted
    seeds = [seed + number for number in range(len(prompts))]
    schedules = measure(pipe, prompts[:batch], outputs, counts, seeds=seeds[:batch],
                        num_inference_steps=num_inference_steps, **call)  # fmt: skip
    return replace(fitted, measured={name: schedules for name in conditions.denoisers})


def _check(pipe: Pipeline, prompts: Sequence[str], measured: Sequence[int] | None, call: Mapping[str, Any]) -> None:
    if isinstance(pipe, ModularPipeline) and measured:
        raise ValueError(f"on a modular pipeline no schedules can be measured, got measured={measured!r}; leave it out")
    if isinstance(pipe, ModularPipeline):  # which takes what its blocks take
        takes = any(one.name == "num_inference_steps" for one in pipe.blocks.inputs)
    else:
        takes = takes_steps(type(pipe))
    if not takes:
        raise ValueError(
            f"{type(pipe).__name__} takes no num_inference_steps, for which alone a calibration is made; "
            "AdaptiveConfig needs none"
        )
    if not prompts:
        raise ValueError("calibrate needs at least one prompt")
    for name in ("num_images_per_prompt", "num_videos_per_prompt"):
        if call.get(name, 1) not in (1, None):
            raise ValueError(
                f"calibrate makes one picture per prompt, got {name}={call[name]!r}; give the prompt again"
            )


def takes_steps(kind: type) -> bool:
    """Whether a class of pipelines can be told its number of steps."""
    takes = inspect.signature(kind.__call__).parameters
    return "num_inference_steps" in takes or any(one.kind is one.VAR_KEYWORD for one in takes.values())


def record(pipe: Pipeline, prompt: str, *, number: int = 0, num_inference_steps: int = 28, seed: int = 0,
           **call: Any) -> list[Recording]:  # fmt: skip
    """Run one prompt uncached and keep what a calibration needs: one recording per denoiser and guidance branch.

    Args:
        number: of the prompt in the whole list.

    Raises:
        UnsupportedModelError: teacache does not know the model.
        ValueError: the run leaves out one of the pipeline's denoisers (MiniMax-H3 has one for given references), or
            makes more steps than its scheduler has (SkyReels-V2's diffusion forcing with `ar_step`).
    """
    recorders: dict[tuple[str, int], Recorder] = {}

    def recording(name: str, progress: Progress) -> Method:
        def policy(total: int | None) -> Recorder:
            count = sum(key[0] == name for key in recorders)
            return recorders.setdefault((name, count), Recorder(progress.sensitivities()))

        return Method(policy=policy, predictor=lambda: Extrapolation(0), granularity="batch")

    outputs = SchedulerOutputs(pipe.scheduler)
    with with_method(pipe, recording), outputs.heard():
        generator = torch.Generator("cpu").manual_seed(seed)
        _run(pipe, prompt, num_inference_steps=num_inference_steps, generator=generator, **call)
    recordings = [recorder.recording(prompt=number, denoiser=name, branch=str(branch))
                  for (name, branch), recorder in recorders.items() if recorder.changes]  # fmt: skip
    unused = named_denoisers(pipe).keys() - {recording.denoiser for recording in recordings}
    if unused:
        raise ValueError(f"a run has fewer than 2 steps in {', '.join(sorted(unused))}; give more steps, or unload it")
    made, known = max(one.first_step + one.steps for one in recordings), steps_of(pipe.scheduler)
    if made > known:  # as where frames are denoised one after the other
        raise ValueError(f"a run makes {made} steps, its scheduler knows {known}; such a run can't be calibrated")
    if any(model_for(denoiser).otherwise_scheduled for denoiser in named_denoisers(pipe).values()):
        return recordings  # there is more in the outputs than this scheduler gets
    return list(map(outputs.of, recordings))


def _run(pipe: Pipeline, prompt: str, **call: Any) -> None:
    """Run a pipeline for what happens on the way. A modular one is as its blocks are: it may take no prompt, and what
    its decoder would take is unknown."""
    if not isinstance(pipe, ModularPipeline):
        pipe(prompt=prompt, **{"output_type": "latent", **call})
    elif "prompt" in pipe.blocks.input_names:
        pipe(prompt=prompt, **call)
    else:
        pipe(**call)


def conditions_of(pipe: Pipeline, prompts: Sequence[str], *, num_inference_steps: int, **call: Any) -> Conditions:
    """What a calibration is measured with; asked after a run, when the scheduler knows its timesteps."""
    scheduler = pipe.scheduler
    sigmas = getattr(scheduler, "sigmas", None)
    denoisers = named_denoisers(pipe)
    return Conditions(
        denoisers={
            name: {**described(denoiser), "class": model_for(denoiser).transformer}
            for name, denoiser in denoisers.items()
        },
        scheduler=described(scheduler),
        num_inference_steps=num_inference_steps,
        timesteps=tuple(scheduler.timesteps[: steps_of(scheduler)].tolist()),
        sigmas=() if sigmas is None else tuple(sigmas.tolist()),
        call=plain(call),
        prompts=len(prompts),
        prompts_sha256=hashlib.sha256("\n".join(prompts).encode()).hexdigest(),
        dtype=str(next(iter(denoisers.values())).dtype).removeprefix("torch."),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__},
    )


def fit(recordings: Sequence[Recording], conditions: Conditions, *, degree: int = 4, target: Target = "output",
        intercept: bool = True, skip_first: int = 0, branches: Branches = "all",
        held_out: float = 0.25) -> Calibration:  # fmt: skip
    """The calibration that the recordings of all prompts give; arguments as those of `calibrate`.

    Raises:
        ValueError: too few prompts or steps for the degree.
    """
    first_held_out = max(1, round(conditions.prompts * (1 - held_out)))
    fitted = [recording for recording in recordings if recording.prompt < first_held_out]
    judging = [recording for recording in recordings if recording.prompt >= first_held_out]

    def of(name: str, all_of_them: Sequence[Recording]) -> list[Recording]:
        return [recording for recording in all_of_them if recording.denoiser == name]

    return Calibration(
        conditions=conditions,
        indicator=MODELS[next(iter(conditions.denoisers.values()))["class"]].indicator,
        polynomials={
            name: fit_polynomial(of(name, fitted), of(name, judging), degree=degree, target=target,
                                 intercept=intercept, skip_first=skip_first, branches=branches)
            for name in conditions.denoisers
        },
        schedules={name: find_schedules(of(name, fitted)) for name in conditions.denoisers},
    )  # fmt: skip
