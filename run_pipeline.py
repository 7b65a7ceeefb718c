"""The command line: parses options and calls a stage. Nothing else happens here.

Exit codes: 0 done (rejected drafts are a normal outcome), 1 finished but some volumes or items
failed, 2 bad input, 3 stopped early and resumable. stdout is data, stderr is talk and progress.
"""

import argparse
import select
import sys

from knee.errors import KneeError
from stages.cli import (
    benching,
    caring,
    cohorts,
    drafting,
    exporting,
    looking,
    making,
    prompting,
    reading,
    reads,
    reviewing,
    serving,
)
from stages.cli.options import Command
from stages.damage import database_errors, told_damage

STOPPED_EARLY = 3
EPILOG = """\
Start here:
  run_pipeline.py demo --out demo                        the whole pipeline on phantoms
  run_pipeline.py prepare COHORT --store knees.duckdb    boxes and findings of your volumes
  run_pipeline.py look COHORT VOLUME                     one knee on a sheet
  run_pipeline.py generate --store knees.duckdb --config configs/gpu.toml
  run_pipeline.py sql --store knees.duckdb "SELECT * FROM v_quintuples LIMIT 5"
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py",
        description="Grounded reasoning data for knee MRI.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    families = (making, cohorts, reads, serving, drafting, prompting, reading, reviewing, exporting)
    for family in (*families, looking, benching, caring):
        family.add_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = build_parser().parse_args(arguments)
    command: Command = options.run_command
    try:
        return command(options)
    except KneeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except database_errors() as error:
        told = told_damage(error, getattr(options, "store", None))
        if told is None:
            raise  # not about the user's file: a fault of ours, to be seen in full
        print(f"error: {told}", file=sys.stderr)
        return told.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED_EARLY
    except BrokenPipeError:
        if not _reader_is_gone():
            raise  # another pipe than ours broke: nothing was done, and that is no success
        sys.stderr.close()
        return 0


def _reader_is_gone() -> bool:
    """Returns whether who reads our output went away (`| head`): then nothing is wrong."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
