from rich.console import Console

from jobs.config.fields import fields_table


def test_every_field_is_listed_with_its_default_and_meaning() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(fields_table())
    lines = {line.split()[0]: line for line in captured.get().splitlines() if line.strip().startswith("--")}
    assert {"--prompts", "--model.pipeline", "--model.cache.method", "--actors.batch_size", "--audit.fraction"} <= set(
        lines
    )
    assert "required" in lines["--output"]
    assert "28" in lines["--generation.num_inference_steps"]
    assert all(len(line.split()) > 2 for line in lines.values())
