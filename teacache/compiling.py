"""How torch.compile goes by our functions, which stand between the parts of a model that it compiles.

They run between blocks that have emptied the processor's caches, where every line of Python that need not be there
shows: torch's own wrappers cost as much as all the rest of what a block's needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch._C._dynamo.eval_frame import get_eval_frame_callback
from torch._dynamo.decorators import skip

Function = TypeVar("Function", bound=Callable[..., Any])


def compiles() -> bool:
    """Whether what is called now is compiled, or taken from what was."""
    return get_eval_frame_callback() is not None


def between(function: Function) -> Function:
    """Not traced by torch.compile; what it calls is, as a whole (a block's own forward), where not `uncompiled`."""
    skip(function)
    return function


def uncompiled(function: Function) -> Function:
    """Not traced by torch.compile, nor what it calls."""
    disabled = torch.compiler.disable(function)  # type: ignore[no-untyped-call]

    @between
    @wraps(function)
    def either(*args: Any, **kwargs: Any) -> Any:
        return (function if get_eval_frame_callback() is None else disabled)(*args, **kwargs)

    return either  # type: ignore[return-value]
