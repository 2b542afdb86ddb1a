"""The command `report`: finished runs become a page."""

import argparse
from pathlib import Path

from un_lightning.errors import UserError
from un_lightning.report.finished import find_runs
from un_lightning.report.own_output import write_page
from un_lightning.terminal import fail, say


def main(argv: list[str]) -> int:
    """Write the page that the arguments ask for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="report",
        description="Compare finished runs on one HTML page, which needs no server and no network.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folders, folders of runs, patterns, experiments (their newest run) or sweeps",
    )
    parser.add_argument(
        "--neurons", action="store_true", help="write a site with a page for every neuron instead"
    )
    parser.add_argument(
        "--out", type=Path, help="the page (report.html), or the folder of the neuron pages (neurons)"
    )
    parser.add_argument("--title", help="heading of the page")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the folder of all runs")
    parser.add_argument("--no-tables", action="store_true", help="leave out the neuron tables")
    parser.add_argument("--workspace", action="store_true", help="lay out the runs' W&B workspace instead")
    parser.add_argument(
        "--save", action="store_true", help="with --workspace: save it to W&B (needs a login)"
    )
    arguments = parser.parse_args(argv)
    try:
        _report(arguments)
    except UserError as error:
        fail(str(error))
        return 2
    return 0


def _report(arguments: argparse.Namespace) -> None:
    runs = find_runs(arguments.runs, arguments.root)
    if arguments.workspace or arguments.save:
        from un_lightning.report.workspace import report_workspace

        report_workspace(runs, arguments.title, arguments.save)
        return
    many = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    if arguments.neurons:
        from un_lightning.report.neuron_site import PAGE, write_site
        from un_lightning.report.neuron_sources import Sources
        from un_lightning.report.strongest import strongest

        sources, out = Sources(runs), arguments.out or Path("neurons")
        title = arguments.title or " ".join(("Neurons of", sources.family or ", ".join(sources.models)))
        index = write_site(sources, out, title)
        for story in strongest(sources):
            say("\n".join([*story.lines(), ""]))
        say(f"{many}, {len(index.table):,} neurons: open {out / PAGE}")
        return
    from un_lightning.report.compare import compare_page

    title = arguments.title or f"{many} compared"
    page = compare_page(runs, title, not arguments.no_tables)
    out = arguments.out or Path("report.html")
    write_page(out, page)
    say(f"{many}, {out.stat().st_size / 1e6:.1f} MB: open {out}")
