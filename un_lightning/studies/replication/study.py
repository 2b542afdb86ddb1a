"""All studies of a family, one after the other on one text, and what they found beside what is published."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from un_lightning.config import Config, DataSource, PropertiesConfig
from un_lightning.config.replication import READS_TABLE, STUDIES
from un_lightning.data.prepare import prepare_store
from un_lightning.errors import UserError
from un_lightning.files import atomic_write
from un_lightning.models.family import shared_tokenizer
from un_lightning.results.results import Results, read_summary
from un_lightning.studies.replication.ours import Ours
from un_lightning.studies.replication.page import comparison_table, html_page, markdown_page, verdict_counts
from un_lightning.studies.replication.published import Published, published_values
from un_lightning.studies.study import Part, RunPass, carry_out, make_part, refuse_folder, together


PAGE = "replication"
"""Name of the page in the run folder, without its ending."""


def run_replicate(config: Config, plain: dict[str, Any], run: RunPass) -> None:
    """Carry out the studies that no finished run answers, and write the page.

    Args:
        config: The checked config.
        plain: The same as plain values.
        run: Carries out one study, as `launch.run` does.

    Raises:
        UserError: As `run` does; or `resume` names a folder, or nothing is published of such a model.
    """
    refuse_folder(config)
    if config.models is None:
        raise UserError("no models were chosen: add models=<family>")
    published = published_values(config.analysis.published)
    found: dict[str, Path] = {}
    for study in (name for name in STUDIES if name in config.analysis.studies):
        part = study_config(config, plain, study, found.get("neuron_table"))
        found[study] = carry_out(config, part, study, run)
    with together(config, plain) as current:
        if current.folder is not None:
            results = replication_results(config, found, published)
            write_pages(current.folder, config.name, results, found)
            current.conclude(results, int(read_summary(found["neuron_table"])["tokens"]))


def study_config(config: Config, plain: dict[str, Any], study: str, table: Path | None) -> Part:
    """The run of one study.

    Args:
        config: The config of the replication.
        plain: The same as plain values.
        study: Which study.
        table: Run folder of the neuron table, once it is there.
    """
    data = _data(config, study, made=table is not None)
    if study == "properties":
        threshold = config.analysis.neuron_table.correlation.threshold
        analysis: Any = PropertiesConfig(tables=str(table), threshold=threshold)
        own_plain = dataclasses.asdict(analysis)
    else:
        analysis, own_plain = getattr(config.analysis, study), dict(plain["analysis"][study])
        own: dict[str, Any] = {}
        if study == "neuron_table" and not config.analysis.reuse:
            own["reuse"] = False
        if study in READS_TABLE and analysis.tables is None:
            own["tables"] = str(table)
        analysis = dataclasses.replace(analysis, **own)
        own_plain |= own
    changes = {"data": dataclasses.replace(config.data, **data), "analysis": analysis}
    plain_changes = {"data": {**plain["data"], **_plain(data)}, "analysis": own_plain}
    return make_part(config, plain, study, changes, plain_changes)


def _data(config: Config, study: str, made: bool) -> dict[str, Any]:
    """What a study reads otherwise; fewer tokens of the same text come from the store that is there."""
    own = dict(config.analysis.data.get(study, {}))
    if "tokens" in own:
        own["tokens"] = min(own["tokens"], config.data.tokens)
    fewer = own.get("tokens", config.data.tokens) < config.data.tokens
    if made and fewer and "context" not in own and config.data.source is not DataSource.store:
        tokenizer = shared_tokenizer(config.models, config.data.tokenizer)
        if tokenizer is not None:
            own |= {"source": DataSource.store, "path": str(prepare_store(config.data, tokenizer))}
    return own


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, DataSource) else value for key, value in data.items()}


def replication_results(config: Config, found: Mapping[str, Path], published: list[Published]) -> Results:
    """Our values, and how many of the published ones they agree with.

    Args:
        config: The config of the replication.
        found: Run folder of each study.
        published: The published values; none for a family that nobody has published about.
    """
    ours = Ours(found, config.models.reference)
    table = comparison_table(ours, published)
    counts = verdict_counts(table)
    results = Results(tables={"replication": table})
    results.scalars = {
        "analysis": "replicate",
        "family": config.models.family,
        "model": config.models.reference,
        "published": config.analysis.published or "",
        "values/count": len(table),
        **{f"values/{name.replace(' ', '_')}": count for name, count in counts.items()},
        **{f"studies/{study}": str(folder) for study, folder in found.items()},
    }
    if published:
        compared = counts["pass"] + counts["fail"]
        results.headline = [("Published values that ours agree with", f"{counts['pass']} of {compared}")]
        failed = table[table["verdict"] == "fail"]
        for study, rows in failed.groupby("study", sort=False):
            results.headline.append((f"  differ in {study}", f"{len(rows)}"))
        results.headline.append(
            ("Not computed, not comparable", f"{counts['not computed']}, {counts['not comparable']}")
        )
    else:
        results.headline = [("Values (nobody has published any of this family)", f"{len(table)}")]
    results.headline.append(("Page", f"{PAGE}.html, {PAGE}.md"))
    return results


def write_pages(folder: Path, title: str, results: Results, found: Mapping[str, Path]) -> None:
    """Write the page into the run folder, for a browser and for a repository."""
    table, places = results.tables["replication"], {study: str(path) for study, path in found.items()}
    atomic_write(folder / f"{PAGE}.md", markdown_page(title, table, places))
    atomic_write(folder / f"{PAGE}.html", html_page(title, table, places))
