"""`edge doctor`: what this machine can run, and how to repair what it cannot."""

import json
from dataclasses import asdict

import typer

from edge.cli.arguments import JsonOption
from edge.text.table import aligned


def doctor(as_json: JsonOption = False) -> None:
    """Examine this machine, and say the repair.

    The installation, the providers (proved by sessions), the processor, and every shipped bundle.
    """
    from edge.cli.doctor import examine

    checks = list(examine())
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        typer.echo(json.dumps({"healthy": not broken, "checks": [asdict(check) for check in checks]}))
    else:
        for check, line in zip(checks, aligned([(c.state, c.name, c.detail) for c in checks]), strict=True):
            typer.echo(line)
            if check.repair and check.state != "ok":
                typer.echo(f"        -> {check.repair}")
    if broken:
        names = ", ".join(check.name for check in broken)
        typer.echo(f"edge: broken: {names}; follow the arrows above", err=True)
        raise typer.Exit(1)
