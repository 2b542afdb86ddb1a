"""Write the table of docs/benchmarks.md anew, from the newest file of each benchmark in benchmarks/results.

python benchmarks/table.py
"""

import json
from pathlib import Path
from typing import Any


RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"


def newest() -> dict[str, dict[str, Any]]:
    """The newest result of each benchmark, by the name of its file; quick ones do not count."""
    found = {}
    for path in sorted(RESULTS.glob("*.json")):  # the names end in a date
        report = json.loads(path.read_text())
        if "ratios" in report and not report["options"].get("quick"):
            found[report["benchmark"]] = path.name, report
    return dict(sorted(found.values()))


def rows(results: dict[str, dict[str, Any]]) -> list[str]:
    """Both tables: what was measured, and on what."""
    lines = ["| result | ratio | measured | target | |", "|---|---|---|---|---|"]
    for report in results.values():
        for label, ratio in report["ratios"].items():
            words = {"at_least": "at least", "at_most": "at most"}
            target = " ".join(f"{words[key]} {ratio[key]:g}" for key in words if key in ratio)
            verdict = {True: "reached", False: "missed", None: ""}[ratio.get("met")]
            value = ratio["value"]
            shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
            lines.append(f"| `{report['benchmark']}` | {label} | {shown} | {target} | {verdict} |")
    lines += ["", "| result | file in `benchmarks/results` | device | cores, threads | torch | commit |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, report in results.items():
        processors = f"{report['cores']}, {report['threads']}"
        place = report["device"], processors, report["versions"]["torch"], report["commit"]
        lines.append(f"| `{report['benchmark']}` | `{name}` | " + " | ".join(place) + " |")
    return lines


def main() -> None:
    """Replace what lies between the marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    results = newest()
    body = "\n".join(rows(results)) if results else "No results are kept yet."
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")
    print(f"{PAGE.name}: {len(results)} results")


if __name__ == "__main__":
    main()
