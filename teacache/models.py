"""What differs between models: where the block stack is, what its blocks take and give, what the indicator is.

`families/` holds a record for every known class, and the polynomials that were published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from teacache.row_layout import RowLayout


class Arguments:
    """The arguments of one call, by name, however they were passed."""

    __slots__ = ("_args", "_kwargs", "_names")

    def __init__(self, names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._names, self._args, self._kwargs = names, args, kwargs

    def __getitem__(self, name: str) -> Any:
        if name in self._kwargs:
            return self._kwargs[name]
        if name not in self._names or self._names.index(name) >= len(self._args):
            raise ValueError(f"the call has no argument {name}; it takes {', '.join(self._names)}")
        return self._args[self._names.index(name)]

    def get(self, name: str) -> Any:
        """The argument, or None where it was left out."""
        try:
            return self[name]
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """TeaCache's signal: the output of a submodule that runs before the blocks, or something of the first block's."""

    of_block: Callable[[Any, Arguments], Tensor] | None = None
    """From the first block and its arguments; (rows, ...), or with rows where the hidden states have them."""
    module: str = ""
    """The submodule whose output it is, where the first block does not see it."""
    shares: str = ""
    """The submodule of the first block that `of_block` calls just as the block itself is going to: evaluated once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """One list of blocks: its name as a submodule of the transformer (FLUX.3's has a dot), and the arguments that each
    block returns, in order."""

    name: str
    returns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How to cache one transformer class.

    The residual is that of the hidden states: what the last block returns minus what the first one takes in. So it is
    of every further stream.
    """

    transformer: str
    stack: tuple[Blocks, ...]
    """The block lists, in the order of execution."""
    indicators: Mapping[str, Indicator] = field(default_factory=dict)
    """By name, the default first."""
    hidden_states: str = "hidden_states"
    """The argument of the blocks that carries the image or video tokens."""
    further_streams: tuple[str, ...] = ()
    """Further arguments of the blocks whose tokens the model goes on with behind the stack, as the sound of a video:
    each leaves it with a residual of its own. A call may have None in the place of one."""
    mixed_in: tuple[str, ...] = ()
    """What the hidden states hold beside the video and what goes by a scheduler of its own, as sound does."""
    tokens: Literal["all", "first", "last"] = "all"
    """Which of the last block's tokens are those that the first one took in, where text has joined them on the way."""
    count: Callable[[Arguments], int] | None = None
    """Takes the arguments of the first block; says how many of its tokens the stack's input and output are, the last
    ones, where it takes in others before them."""
    mask: str = ""
    """The argument of the first block that marks tokens that count, where a batch is padded: (rows, tokens), or
    (rows, 1, 1, keys), of which the tokens are the first."""
    rows: RowLayout = field(default_factory=RowLayout)
    """Where the rows of the batch lie in the arguments of the blocks."""
    exit: str = ""
    """The submodule before which the residual ends, where the last block has its tokens in another order than the
    first."""
    published_exit: str = ""
    """The submodule before which the published residual ends, where that is somewhere else."""
    idle: tuple[str, ...] = ()
    """Submodules that the model calls between its blocks and whose output is in the residual already."""
    timestep: str | Callable[[Arguments], Any] = "timestep"
    """The argument of the transformer's forward that tells where the run stands, or what finds it among them."""
    latents: str = "hidden_states"
    """The argument of the transformer's forward that holds the noisy latents."""
    guidance: Literal["calls", "batch"] = "calls"
    """Whether its pipelines run guidance as several calls at each step, or as one batch that repeats the samples."""
    apart: Callable[[Arguments], bool] | None = None
    """Takes the arguments of the transformer's forward; says whether the call is none of a run's steps, but only fills
    a memory of the blocks, and is to be left alone."""
    memory: bool = False
    """Whether a branch's first call fills a memory for its later ones, so that guidance cannot begin after it."""
    refuses: Callable[[Any], str] | None = None
    """Takes a transformer; says why it cannot be cached where its config makes it differ from this record, else ""."""
    pipelines: tuple[str, ...] = ()
    """The pipeline classes that the tests run it in."""

    def __post_init__(self) -> None:
        for blocks in self.stack:
            for stream in self.streams:
                if stream not in blocks.returns:
                    names = ", ".join(blocks.returns)
                    raise ValueError(f"{self.transformer}: {blocks.name} must return {stream}, got {names}")
        if self.further_streams and (self.exit or self.published_exit):
            module = self.exit or self.published_exit
            raise ValueError(f"{self.transformer}: only one stream comes by {module}, got {self.streams}")

    @property
    def streams(self) -> tuple[str, ...]:
        """The arguments of the blocks that leave the stack with a residual, the hidden states first."""
        return (self.hidden_states, *self.further_streams)

    @property
    def otherwise_scheduled(self) -> tuple[str, ...]:
        """What leaves the stack beside the video and does not go by the pipeline's scheduler."""
        return (*self.further_streams, *self.mixed_in)

    @property
    def indicator(self) -> str:
        """The name of the default indicator."""
        return next(iter(self.indicators), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A polynomial that its authors fitted on one checkpoint, and how they use it."""

    name: str
    transformer: str
    coefficients: tuple[float, ...]
    """Highest degree first."""
    source: str
    config: Mapping[str, Any] | None = field(default_factory=dict)
    """What tells the checkpoint: fields of the transformer's config. None: nothing does, it is taken by name only."""
    pipeline: str = ""
    """A part of the pipeline's class name that tells it, where the config does not; goes for modular ones too."""
    denoisers: int | None = None
    """How many denoisers its pipeline has, where that tells it."""
    indicator: str = ""
    """The model's indicator that was fitted; "" its default."""
    first: int | float = 1
    """The steps at the start of a run that are always computed; a fraction is of the number of steps."""
    last: bool = True
    """Whether the last step is always computed."""
    num_inference_steps: int | None = None
    """The number of steps that it was fitted or published with, where its authors say so."""
    resolution: str = ""
    fitted_range: tuple[float, float] | None = None
    borrowed_from: str = ""
    """The checkpoint that the digits were really fitted on, where it is another one."""
