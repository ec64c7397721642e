"""`python -m tests.benchmarks.rounding`: which kernels round a row by the size of the batch that it is in?

One uncached pipeline call of the demo FLUX with seven rows. Every tensor operation in it is done a second time for its
first row alone, from the very same inputs; those whose result differs are counted. Seven, because it divides no size
of the model: a tensor whose first size it divides holds seven rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from jobs.paths import packaged

ROWS = 7


class FirstRowAgain(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs each operation again on the first of the rows, and counts which results differ."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.differing: Counter[str] = Counter()
        self.largest: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if any(map(_has_rows, tree_leaves(args))) and any(map(_has_rows, tree_leaves(result))):
            self._compare(func, result, tree_map(_first_row, (args, kwargs)))
        return result

    def _compare(self, func: Any, result: Any, inputs: tuple[Any, Any]) -> None:
        name = str(func)
        try:
            alone = func(*inputs[0], **inputs[1])
        except RuntimeError:  # Views and reshapes that name the size of the batch: nothing that rounds.
            return
        self.calls[name] += 1
        differences = [_difference(*pair) for pair in _pairs(tree_map(_first_row, result), alone)]
        if any(differences):
            self.differing[name] += 1
            self.largest[name] = max(self.largest[name], *differences)


def _has_rows(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and not isinstance(value, nn.Parameter)
        and value.dim() > 0
        and value.shape[0] > 0
        and value.shape[0] % ROWS == 0
    )


def _first_row(value: object) -> object:
    return value[: value.shape[0] // ROWS] if isinstance(value, torch.Tensor) and _has_rows(value) else value


def _pairs(ours: Any, theirs: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for one, other in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.shape == other.shape:
            yield one, other


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest absolute difference over the largest value."""
    if torch.equal(one, other):
        return 0.0
    return float((one.double() - other.double()).abs().max() / other.double().abs().max().clamp_min(1e-30))


def main() -> None:
    torch.set_num_threads(1)
    pipeline = DiffusionPipeline.from_pretrained(packaged("demo/flux"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    with FirstRowAgain() as again:
        pipeline(
            prompt=[f"a small red circle, number {index}" for index in range(ROWS)],
            height=64,
            width=64,
            num_inference_steps=4,
            max_sequence_length=16,
            generator=[torch.Generator().manual_seed(index) for index in range(ROWS)],
            output_type="pt",
        )
    print("| operation | calls | differ | largest difference, relative |\n|---|---|---|---|")
    for name, calls in sorted(again.calls.items(), key=lambda item: -again.differing[item[0]]):
        if again.differing[name]:
            print(f"| {name} | {calls} | {again.differing[name]} | {again.largest[name]:.1e} |")
    exact = sum(calls for name, calls in again.calls.items() if not again.differing[name])
    print(f"| {len(again.calls) - len(again.differing)} others | {exact} | 0 | |")


if __name__ == "__main__":
    main()
