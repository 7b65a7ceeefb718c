"""The data card of an export: where its rows come from, what was lost on the way, and the limits.

Its front matter names the files of each split, as data set loaders read it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stages.console import percent
from stages.export_release import STAMP
from stages.export_writers import SHARD_ROWS
from stages.pseudonyms import Pseudonyms
from stages.selection_bias import N_RESAMPLES, Estimate, selection_bias
from store.export import ExportRows
from store.export_facts import ExportFacts
from store.export_flow import SMOOTHING, STAGES, Stage, stages_by

_Text = Callable[[str], str]
_KINDS = {
    "parquet": f"zstd Parquet, at most {SHARD_ROWS} rows a shard: "
    '`datasets.load_dataset("<this folder>")`, or any reader of Parquet.',
    "jsonl": f"one JSON object a line, at most {SHARD_ROWS} a file: "
    '`datasets.load_dataset("<this folder>")`.',
    "sft-chat": "chats (`messages`, `images`) as ms-swift reads them, and LLaMA-Factory as "
    "`sharegpt` by `dataset_info.json`. `slices` says plane, stored axis and index of each "
    "picture, `slices_seen_by_drafter` whether the text was written by a model that saw them: "
    "where it is false the text was written from measurements alone, and may say things that no "
    "picture shows.",
    "release": "the layout of the released 3DReasonKnee data set; the order of box numbers is "
    f"**inferred** (`{STAMP}`). Texts are per item, not templates.",
}
_CAUTION = (
    "**Model text checked against one clinician read.** Every text is written by a model "
    "(`author = model`); it was kept because its grades equal one clinician's read of that knee, "
    "and passed the gates below. No clinician wrote it.",
    "**Not a population sample.** Knees were chosen for the studies that read them, by outcome in "
    "some (READPRJ); acceptance then chose among them by grade, see below. `selection_weight` "
    "undoes the second, not the first.",
    "DESS input, multi-sequence reference: readers graded on more sequences than the text "
    "describes; bone-marrow lesions and synovitis are the worst off.",
    "Readers disagree: between-reader kappas published for MOAKS go down to 0.36 (tibial cartilage "
    "area) and 0.49 (tibial osteophytes). One read is not the truth.",
)


def card(
    rows: ExportRows,
    facts: ExportFacts,
    manifest: dict[str, Any],
    names: Pseudonyms | None,
) -> str:
    """Returns the data card as Markdown.

    Args:
        rows: the open selection.
        facts: what there is to say beside the rows.
        manifest: the manifest, its condition and run ids as they may be shown.
        names: pseudonyms; free text is shown through them.
    """
    text: _Text = str if names is None else names.text
    parts = [
        _front_matter(manifest),
        "# Grounded reasoning about knee MRI",
        _summary(rows, facts, manifest),
        "## Read this first",
        *_CAUTION,
        *_protection(rows, facts, manifest),
        "## From all components to these rows",
        _flow(rows, text),
        "## Negative controls",
        _controls(facts, text),
        "## Licences and sources",
        _licences(facts, text),
        "## What made the rows",
        _made_by(facts, manifest, text),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(manifest: dict[str, Any]) -> str:
    """Split to files, for loaders that read YAML; the release's layout is no such data set."""
    lines = ["---", "pretty_name: Grounded reasoning about knee MRI", "language: [en]"]
    if manifest["format"] != "release":
        lines += ["configs:", "- config_name: default", "  data_files:"]
        suffix = "parquet" if manifest["format"] == "parquet" else "jsonl"
        for split in manifest["splits"]:
            lines += [f"  - split: {split}", f"    path: data/{split}/*.{suffix}"]
    return "\n".join((*lines, "---"))


def _summary(rows: ExportRows, facts: ExportFacts, manifest: dict[str, Any]) -> str:
    splits = ", ".join(f"{name} {entry['rows']}" for name, entry in manifest["splits"].items())
    kind = "synthetic (phantoms or painted images)" if rows.request.synthetic else "of patients"
    lines = [
        f"{rows.total} quintuples (volume, question, 3D box, reasoning steps, MOAKS grades) of "
        f"{facts.n_volumes} volumes and {facts.n_patients} patients, all {kind}. Splits: {splits}; "
        "a patient is in one split.",
        f"Format: {_KINDS[manifest['format']]}",
        *_picture_lines(manifest),
        f"Condition: `{manifest['where']}`" if manifest["where"] else "Condition: none.",
        f"{facts.n_stale} stale quintuple(s) of the same runs are left out (findings, clinician's "
        f"grade or verdict changed since), and {facts.n_rejected} that a person rejected.",
        f"{facts.n_checked} of {rows.total} texts were read and accepted by a person; nobody read "
        "the others.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _picture_lines(manifest: dict[str, Any]) -> Iterable[str]:
    if manifest["format"] != "sft-chat":
        return
    if manifest["pictures"]:
        yield (
            "Pictures: in `images/`. Those that a drafter saw are byte for byte what it was shown; "
            "where `box_outlined` is true the region is outlined in them, so they are not for "
            "training a model to find it. The others are drawn without an outline."
        )
    else:
        yield (
            "**The pictures are not in this export**: `images` says where they belong, and "
            "`export --with-images` draws them."
        )


def _protection(rows: ExportRows, facts: ExportFacts, manifest: dict[str, Any]) -> Iterable[str]:
    if facts.n_label_given:
        yield f"**{facts.n_label_given} rows are `label_given`**: their drafter saw the grade."
    if facts.n_restricted:
        yield (
            f"**{facts.n_restricted} rows are of restricted volumes** (such as OAI's): images, "
            "texts and grades made from them fall under the terms of their source."
        )
    if not rows.request.reference_grades:
        yield (
            "**Without reference grades**: clinicians' grades are left out, and with them what "
            "they follow from: the grades and steps of the drafts, which equal them by selection, "
            "and the weights. `run_pipeline.py attach-grades` puts them back from the reader's own "
            "tables or store."
        )
    if manifest["pseudonym_key"] is not None:
        yield (
            f"**Pseudonymised** by HMAC-SHA256 (key `{manifest['pseudonym_key']}`, a name of the "
            "key, not the key): patients, runs, files and hashes of files have other names; dates, "
            "paths and long numbers are taken out of texts."
        )
    if rows.request.synthetic:
        yield "**Synthetic**: figures on phantoms say that the code is consistent, nothing more."


def _flow(rows: ExportRows, text: _Text) -> str:
    head = (
        "Counts are of components. `read`: by a clinician; `boxed`: and the region has a box; "
        "`evidence`: and there is something to reason from; `drafted`, `accepted`: by a model, and "
        "kept; `exported`: and selected here."
    )
    tables = [head, _stage_table(("of all knees of these runs",), _all(rows))]
    if not rows.request.reference_grades:
        return "\n\n".join(
            (*tables, _stage_table(("feature",), stages_by(rows.con, "feature")), _NO_GRADES)
        )
    by_grade = stages_by(rows.con, "feature", "component", "grade")
    by_project = [
        Stage(tuple(text(value) for value in stage.group), stage.counts)
        for stage in stages_by(rows.con, "readprj")
    ]
    mask = [
        Stage(tuple(text(value) for value in stage.group), stage.counts)
        for stage in stages_by(rows.con, "mask_source")
    ]
    return "\n\n".join(
        (
            *tables,
            "### By clinician grade (– : not read)",
            _stage_table(("feature", "component", "grade"), by_grade),
            "### How selective acceptance was",
            _bias(rows),
            "### By reading project (READPRJ)",
            _stage_table(("READPRJ",), by_project),
            "### By visit, mask source and number of attempts (– : not drafted)",
            _stage_table(("visit",), stages_by(rows.con, "visit")),
            _stage_table(("mask source",), mask),
            _stage_table(("attempts",), stages_by(rows.con, "attempts")),
        )
    )


_NO_GRADES = "Counts by clinician grade are left out with the grades."


def _all(rows: ExportRows) -> list[Stage]:
    return [Stage(("all",), stage.counts) for stage in stages_by(rows.con)]


def _stage_table(columns: Sequence[str], stages: Sequence[Stage]) -> str:
    body = [[*stage.group, *stage.counts] for stage in stages]
    return _table([*columns, *STAGES], body)


def _bias(rows: ExportRows) -> str:
    body = [
        [
            f"{one.feature} {one.component}",
            percent(one.n_accepted, one.n_read),
            _shown(one.distance),
            _shown(one.odds_ratio),
        ]
        for one in selection_bias(rows)
    ]
    note = (
        "Distance: half the summed difference between the grades of what was accepted and of what "
        "was read (0: the same). Odds: of acceptance with grade >= 2 against grade 0 (1: the "
        f"same). 95 % intervals by {N_RESAMPLES} resamples of patients. `selection_weight` of a "
        "row is the mean over its components of read / accepted in the stratum of its grade, "
        f"{SMOOTHING} components of average acceptance added to each; its mean is 1 before the "
        "condition."
    )
    columns = ["component", "accepted of read", "distance", "odds grade >= 2 : 0"]
    return f"{_table(columns, body)}\n\n{note}"


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "NA (a cell is empty)"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _controls(facts: ExportFacts, text: _Text) -> str:
    if not facts.controls:
        return (
            "No negative control was run in this store: how many texts would pass with another "
            "knee's findings, or with none, is **not known**."
        )
    body = [
        [one.control, text(one.model), percent(one.accepted, one.drafted)] for one in facts.controls
    ]
    return _table(["control", "model", "accepted of drafted"], body)


def _licences(facts: ExportFacts, text: _Text) -> str:
    shown = [[*map(text, row[:3]), row[3]] for row in facts.licences]
    masks = [[*map(text, row[:3]), row[3]] for row in facts.mask_sources]
    trained = [list(row) for row in facts.segmenter_trained_on]
    return "\n\n".join(
        (
            _table(["masks", "images", "drafting model", "rows"], shown),
            _table(["mask source", "segmenter", "image source", "rows"], masks),
            _table(["segmenter was trained on this patient", "rows"], trained),
        )
    )


def _made_by(facts: ExportFacts, manifest: dict[str, Any], text: _Text) -> str:
    entries = {
        "runs": manifest["run_ids"],
        "drafting models": [text(model) for model in facts.models],
        "judge models": [text(model) for model in facts.judges],
        "prompts": facts.prompts,
        "checks of the runs": facts.checks,
        "gates passed": [text(gate) for gate in facts.gates],
        "tools versions": facts.tools_versions,
        "region definitions": facts.definitions,
    }
    return "\n".join(
        f"- {name}: {', '.join(f'`{value}`' for value in values) or 'none'}"
        for name, values in entries.items()
    )


def _table(columns: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *body]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
