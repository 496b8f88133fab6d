"""`wanbench doctor`"""

from __future__ import annotations

import sys

from wanbench.cli import options
from wanbench.cli.guard import guarded


@guarded
def doctor(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """What works on this machine and what is missing, each with the command that mends it."""
    from wanbench.doctor import examine

    findings = examine()
    if json:
        from dataclasses import asdict
        from json import dumps

        sys.stdout.write(dumps([asdict(f) for f in findings], indent=2) + "\n")
        return
    from rich.text import Text

    from wanbench.cli.output import Output

    console = Output()
    styles = {"ok": ("ok  ", "green"), "missing": ("--  ", "yellow"), "wrong": ("!!  ", "bold red")}
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            console.print(Text(section, style="bold"))
        mark, style = styles[finding.state]
        console.print(Text.assemble("  ", (mark, style), f"{finding.name}: {finding.text}"), soft_wrap=True)
        if finding.mend:
            console.print(Text(f"        {finding.mend}", style="dim"), soft_wrap=True)
