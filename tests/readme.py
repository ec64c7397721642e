"""`python -m tests.readme`: the table of models that README shows, made from the records. A test compares the two."""

from __future__ import annotations

import diffusers

from teacache.calibrate import takes_steps
from teacache.models import Model, Published
from teacache.published import PUBLISHED
from teacache.registry import MODELS

HEAD = ("class", "published recipes", "configs", "tested in tiny pipelines")


def models_table() -> str:
    rows = [HEAD, ("---",) * len(HEAD), *(_row(MODELS[name]) for name in sorted(MODELS, key=str.lower))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(model: Model) -> tuple[str, ...]:
    entries = [entry for entry in PUBLISHED if entry.transformer == model.transformer]
    sources = {entry.source.partition(",")[0] for entry in entries}
    recipes = f"{', '.join(map(_named, entries))} ({'; '.join(sorted(sources))})" if entries else "none"
    can_be_calibrated = any(takes_steps(getattr(diffusers, name)) for name in model.pipelines)
    needs = "once calibrated" if can_be_calibrated else "with coefficients of your own"
    configs = "all" if entries else f"adaptive, schedule; teacache {needs}"
    pipelines = ", ".join(name.removesuffix("Pipeline") for name in model.pipelines)
    return f"`{model.transformer}`", recipes, configs, pipelines


def _named(entry: Published) -> str:
    marks = [mark for mark, set_ in (("borrowed", entry.borrowed_from), ("by name", entry.config is None)) if set_]
    return f"{entry.name} ({', '.join(marks)})" if marks else entry.name


if __name__ == "__main__":
    print(models_table())
