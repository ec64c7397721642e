from collections.abc import Callable

import pytest

from jobs.config.job import Job
from jobs.errors import Refused
from jobs.evaluation.chosen import CHOOSE, CONFIRM, chosen_samples, parts
from jobs.preflight import checked
from jobs.rows import Sample
from tests.jobs.conftest import WriteShard

BuildJob = Callable[..., Job]

PROMPTS = [f"prompt {number}" for number in range(40)]


def chosen(job: Job, num_prompts: int) -> list[Sample]:
    return chosen_samples(checked(job), job.each_model[0], num_prompts)


def test_the_same_rows_are_drawn_from_everywhere(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", id=[f"a{number}" for number in range(40)], prompt=PROMPTS)
    shard("b.parquet", id=[f"b{number}" for number in range(40)], prompt=PROMPTS)
    ready = checked(job())
    drawn = chosen_samples(ready, ready.job.each_model[0], 10)
    assert len(drawn) == 10
    assert {sample.id[0] for sample in drawn} == {"a", "b"}
    # More of them are the same and more, so an evaluation can be made larger later.
    assert {sample.id for sample in drawn} < {
        sample.id for sample in chosen_samples(ready, ready.job.each_model[0], 20)
    }
    assert drawn[0].num_inference_steps == 3


def test_the_parts_are_halves_that_share_no_prompt(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=PROMPTS[:7])
    found = chosen(job(generation={"samples": 3, "width": 64, "height": 64}), 100)
    assert len(found) == 21
    of = parts(found)
    texts = {part: {sample.prompt for sample in found if of[sample.id] == part} for part in (CHOOSE, CONFIRM)}
    assert not texts[CHOOSE] & texts[CONFIRM]
    assert (len(texts[CHOOSE]), len(texts[CONFIRM])) == (4, 3)


def test_several_numbers_of_steps_are_refused(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=PROMPTS[:3], num_inference_steps=[4, 5, None])
    with pytest.raises(Refused, match=r"model flux: the prompts have several numbers of steps \(3, 4, 5\)"):
        chosen(job(), 3)


def test_one_prompt_is_too_few(job: BuildJob, shard: WriteShard) -> None:
    shard("a.parquet", prompt=["same", "same", None])
    with pytest.raises(Refused, match="two different prompts or more"):
        chosen(job(), 3)
