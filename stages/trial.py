"""`prompts try`: a run of kind `trial` of one prompt on a stratified sample.

The same graph, checks, judge and store as `generate`; only the prompt and the items differ. A
template that is not saved is kept in the store with its hash, so that a trial can always be traced
to what was sent.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from knee.errors import InputError
from knee.keys import ItemKey
from knee.questions import parse_question_ids
from knee.records import Grounding
from knee.run_config import RunConfig
from prompts.registry import PromptTemplate
from stages.console import say
from stages.generate import GenerateOptions, GenerateResult, run_generation
from stages.prompt_names import drafting_prompt, full_name
from stages.run_identity import check_grounding
from stages.run_images import check_image_settings
from stages.run_plan import Trial
from stages.serve import running_servers, servers_of
from stages.settings import load_settings
from stages.trial_sample import SampleRequest, TrialSample, draw_sample, sample_of, show_sample
from store.writer import StoreWriter


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """What the command line says, the prompt aside."""

    store: Path
    """The DuckDB file."""
    config: Path
    """Settings file; its prompt is not used."""
    n: int = 60
    """Items at most."""
    seed: int = 0
    """Of the sample."""
    questions: str | None = None
    """Ids and ranges; None takes the settings file's."""
    visit: str | None = None
    """Only this visit."""
    control: str | None = None
    """Negative control on the same items, None for a real trial."""
    serve: bool = False
    """Bring the server up and down as well."""
    cohort_root: Path | None = None
    """Where the images lie now."""
    as_json: bool = False
    """Print the summary on stdout."""


def try_prompt(name: str, options: TrialOptions) -> int:
    """Tries a prompt; returns 0, 1 when items failed, 3 when it stopped early.

    Args:
        name: `PROMPT`, `PROMPT@2`, or the path of a template file.
        options: the command line.

    Raises:
        InputError: prompt, settings, sample or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    (result,) = try_prompts([drafting_prompt(name)], options)
    is_blind = load_settings(options.config).grounding is Grounding.BLIND
    if result.run_id is not None and is_blind:
        say(f"compare it: run_pipeline.py prompts compare {result.run_id} OTHER --store …")
    return result.code


def try_prompts(
    templates: list[PromptTemplate],
    options: TrialOptions,
    *,
    keys: list[ItemKey] | None = None,
    quiet: bool = False,
) -> list[GenerateResult]:
    """Tries prompts one after another on the same items, under one server.

    Stops behind the first that does not end by itself (exit code 3).

    Args:
        templates: the prompts.
        options: the command line.
        keys: these items; a sample is drawn when None.
        quiet: leave the tables of each run out.

    Raises:
        InputError: settings, a prompt, sample or server are not as asked.
        StoreError: no store, a foreign one, or another command is writing it.
    """
    config = load_settings(options.config)
    _check_prompts(config, templates)
    asked = config.questions if options.questions is None else options.questions
    sees_images = config.drafter.images is not None
    request = SampleRequest(
        options.n, options.seed, parse_question_ids(asked), options.visit, sees_images
    )
    with StoreWriter(options.store) as writer, writer.reading() as con:
        sample = (
            draw_sample(con, request)
            if keys is None
            else sample_of(con, keys, sees_images=sees_images)
        )
    show_sample(sample)
    results: list[GenerateResult] = []
    with ExitStack() as stack:
        if options.serve:
            servers = servers_of(config, options.config)
            stack.enter_context(running_servers(servers, config, options.config))
        for template in templates:
            say(f"\ntrying {full_name(template)} ({template.sha256[:19]}…)")
            result = run_generation(_options_of(template, sample, options, quiet=quiet))
            if result.run_id is None:
                raise InputError(
                    "nothing was drafted, although items were drawn",
                    "grades or findings changed meanwhile: try again",
                )
            results.append(result)
            if result.code > 1:
                break
    return results


def _check_prompts(config: RunConfig, templates: list[PromptTemplate]) -> None:
    """Refuses the last prompt too before the first is paid for."""
    for template in templates:
        check_grounding(config.grounding, template)
        check_image_settings(config, template, ())


def _options_of(
    template: PromptTemplate, sample: TrialSample, options: TrialOptions, *, quiet: bool
) -> GenerateOptions:
    drawn = {"trial.sample": sample.sha256, "trial.items": str(len(sample.items))}
    if sample.request is not None:
        drawn |= {"trial.n": str(sample.request.n), "trial.seed": str(sample.request.seed)}
    trial = Trial(
        template=template,
        keys=sample.keys,
        sample_sha256=sample.sha256,
        provenance=drawn,
    )
    plain = GenerateOptions(
        store=options.store,
        config=options.config,
        control=options.control,
        cohort_root=options.cohort_root,
        as_json=options.as_json,
        quiet=quiet,
    )
    return replace(plain, trial=trial)
