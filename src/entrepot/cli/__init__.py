"""The commands: what a person types. Each lives in a module that is imported when it is called, and not before."""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from collections.abc import Sequence

from cyclopts import App, Group

from entrepot.errors import EntrepotError

__all__ = ["app", "main"]

# Lines set in by four: an example. Fenced, it stays one wherever it stands in a docstring.
_EXAMPLE = re.compile(r"\n((?: {4}.*\n)+)")

_TOUR = """
**entrepot** is the open system for scarce and controlled AI compute: it knows every chip and rule with its
source, says what a chip delivers, who may transfer what to whom, what is surplus, and clears a market in which
buyers bid in *work* and get the best lawful mix of *chips* at prices that anyone can verify.

A first tour:

    entrepot catalogue show nvidia-h20-sxm-96gb
    entrepot check nvidia-h20-sxm-96gb --from US --to CN --on 2025-04-08
    entrepot size deepseek-r1 --requests-per-s 914 --chip h20-sxm-96gb
    entrepot compare deepseek-r1
    entrepot performance explain deepseek-r1 --chip h20-sxm-96gb
    entrepot surplus examples/spring-2025
    entrepot clear examples/spring-2025 --save result
    entrepot verify result
    entrepot statement result --party birch
    entrepot ledger provenance result
    entrepot report examples/spring-2025
    entrepot init my-scenario

Each answers with its reasons and its sources; `entrepot COMMAND --help` teaches
by example.
"""

_KNOW = Group("Know (capacity planner, compliance officer)", sort_key=1)
_TRADE = Group("Trade (holder, buyer, market operator)", sort_key=2)
_KEEP = Group("Keep and show (everyone)", sort_key=3)
_SETUP = Group("Set up", sort_key=4)

app = App(
    name="entrepot",
    help=_TOUR,
    help_format="markdown",
    help_epilogue="Exit codes: 0 yes, 1 no, 2 usage, 3 bad input, 4 not found, 5 conflict, 6 a fact is missing, 8 not "
    "proven, 70 our fault. Every command takes -o table|json|jsonl|csv|md|parquet.",
    version_flags=["--version"],
    group_commands=_SETUP,
)

_catalogue = App(
    name="catalogue",
    group_commands="Commands",
    help="Chips, models, prices and claims: every figure with its source.",
    group=_KNOW,
)
app.command(_catalogue)
_catalogue.command(
    "entrepot.cli.catalogue:list_things", name="list", help="List chips, models, prices, claims or mixes."
)
_catalogue.command("entrepot.cli.catalogue:show", name="show", help="Everything known of one chip or model.")
_catalogue.command(
    "entrepot.cli.catalogue:compare", name="compare", help="Set chips side by side, with bars."
)
_catalogue.command(
    "entrepot.cli.catalogue:add_model",
    name="add-model",
    help="Take in a model from its Hugging Face config.json.",
)
app.command(
    "entrepot.cli.check:check",
    name="check",
    group=_KNOW,
    help="May this chip go from here to there, on this day, as a sale or as a lease?",
)
_controls = App(
    name="controls",
    group_commands="Commands",
    help="The dated export rules as data: list them, test them, compare days.",
    group=_KNOW,
)
app.command(_controls)
_controls.command(
    "entrepot.cli.controls:rules", name="rules", help="The rules that are known, version by version."
)
_controls.command(
    "entrepot.cli.controls:timeline",
    name="timeline",
    help="The known law by date: what began, moved or ended.",
)
_controls.command(
    "entrepot.cli.controls:cases", name="cases", help="Answer every case of a file, beside what it expects."
)
_controls.command(
    "entrepot.cli.controls:diff", name="diff", help="What changed between two days, for whom, by which text?"
)
_controls.command(
    "entrepot.cli.controls:classify", name="classify", help="Where does a chip stand under ECCN 3A090?"
)
_controls.command(
    "entrepot.cli.controls_matrix:draw", name="matrix", help="Which chip may go where on a day, as a picture?"
)
_controls.command(
    "entrepot.cli.controls_screen:screen_party",
    name="screen-party",
    help="Does a party stand on a restricted-party list?",
)
_controls.command(
    "entrepot.cli.controls_screen:screen",
    name="screen",
    help="Judge a table of transfers, each distinct kind of act once.",
)
app.command(
    "entrepot.cli.work:size",
    name="size",
    group=_KNOW,
    help="What does this service need, in each kind of chip?",
)
app.command(
    "entrepot.cli.work:compare", name="compare", group=_KNOW, help="Which chip is worth what for this work?"
)
_performance = App(
    name="performance",
    group_commands="Commands",
    help="The performance model: where the time goes, how good it is.",
    group=_KNOW,
)
app.command(_performance)
_performance.command(
    "entrepot.cli.performance:explain",
    name="explain",
    help="Where does the time go, operation by operation?",
)
_performance.command(
    "entrepot.cli.performance:latency",
    name="latency",
    help="How long do requests wait at this load?",
)
_performance.command(
    "entrepot.cli.performance:train",
    name="train",
    help="How long does a training run take, with which MFU, and does it fit?",
)
_performance.command(
    "entrepot.cli.accuracy:accuracy",
    name="accuracy",
    help="How far are the model's answers from published measurements?",
)
_performance.command(
    "entrepot.cli.calibrate:calibrate",
    name="calibrate",
    help="Teach the model your own engine from a benchmark file.",
)
app.command(
    "entrepot.cli.market:surplus",
    name="surplus",
    group=_TRADE,
    help="What is left after own needs and reserve?",
)
app.command("entrepot.cli.market:clear", name="clear", group=_TRADE, help="Who gets what, at which prices.")
app.command(
    "entrepot.cli.market:what_if",
    name="what-if",
    group=_TRADE,
    help="The same market without this lot, or with that licence.",
)
app.command(
    "entrepot.cli.market:depth", name="depth", group=_TRADE, help="How deep each pool is, in how few hands."
)
app.command(
    "entrepot.cli.market:curves",
    name="curves",
    group=_TRADE,
    help="Supply and demand of each pool, and its price.",
)
app.command(
    "entrepot.cli.market:verify",
    name="verify",
    group=_TRADE,
    help="Prove a clearing from its order book, or one party's statement from itself.",
)
app.command(
    "entrepot.cli.market:statement",
    name="statement",
    group=_TRADE,
    help="One party's own part of a clearing, which it can check alone.",
)
_ledger = App(
    name="ledger",
    group_commands="Commands",
    help="Who holds what, where each unit came from, who owes what.",
    group=_KEEP,
)
app.command(_ledger)
_ledger.command("entrepot.cli.ledger:balance", name="balance", help="Balances of all accounts, or of some.")
_ledger.command("entrepot.cli.ledger:journal", name="journal", help="The entries, in order.")
_ledger.command(
    "entrepot.cli.ledger:provenance",
    name="provenance",
    help="The chain from vendor to holder of each lot of units.",
)
_ledger.command(
    "entrepot.cli.ledger:audit", name="audit", help="Recompute the whole chain and every balance."
)
for _module, _name, _says in (
    ("ledger", "availability", "What is free, reserved and leased, hour by hour."),
    ("ledger", "forecast", "What everybody will have: booked, and expected."),
    ("ledger", "reservations", "What is reserved, and until when."),
    ("ledger_acts", "gate", "Take the holdings that a market is to be cleared on."),
    ("ledger_acts", "settle", "Settle a clearing: all of it, or nothing."),
    ("ledger_acts", "pay", "Pay what is owed."),
    ("ledger_acts", "transfer", "Move units: of named lots, or first in, first out."),
    ("ledger_acts", "reserve", "Keep units for somebody until a time."),
    ("ledger_acts", "post", "Post a reservation."),
    ("ledger_acts", "void", "Let go of a reservation."),
    ("ledger_acts", "expire", "Void every reservation that has expired."),
    ("ledger_acts", "reverse", "Undo an entry by its opposite."),
    ("ledger_acts", "keygen", "Make a key pair to sign checkpoints with."),
    ("ledger_acts", "checkpoint", "Sign the head of the journal."),
):
    _ledger.command(f"entrepot.cli.{_module}:{_name}", name=_name, help=_says)
_ledger.command(
    "entrepot.cli.ledger_claims:open_",
    name="open",
    help="A scenario's books under one reading of contested facts.",
)
_ledger.command(
    "entrepot.cli.ledger_claims:claims",
    name="claims",
    help="What is claimed beside the books: who asserts, who denies.",
)
_ledger.command(
    "entrepot.cli.ledger_files:import_",
    name="import",
    help="Opening balances or movements from CSV or Parquet.",
)
_ledger.command(
    "entrepot.cli.ledger_files:export", name="export", help="As CSV, Parquet, beancount, or FOCUS charges."
)
_ledger.command(
    "entrepot.cli.ledger_files:template", name="template", help="A table to start an import from."
)
app.command(
    "entrepot.cli.story:report",
    name="report",
    group=_KEEP,
    help="The whole way through, as tables and as one HTML page.",
)
app.command(
    "entrepot.cli.story:init", name="init", group=_SETUP, help="Write a small scenario to start from."
)
app.register_install_completion_command(
    name="completion", help="Install shell completion (bash, zsh, fish).", group=_SETUP
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Every error of ours ends in one message on stderr and its own exit code; a traceback is shown only to those who set
    ``ENTREPOT_DEBUG``.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        if not {"-h", "--help"}.isdisjoint(tokens):
            _teach(tokens)
        result = app(tokens, result_action="return_value")
        sys.stdout.flush()
    except EntrepotError as error:
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader went away (``| head``): point stdout elsewhere so that the interpreter's own flush stays silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("stopped", 130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(
            f"{where}{error.strerror or error}\n  Check that the path exists and that you may read or write it.",
            3,
        )
    except Exception as error:  # the last door: a person gets a sentence, not a traceback
        if os.environ.get("ENTREPOT_DEBUG"):
            raise
        return _say(
            f"something of ours broke: {type(error).__name__}: {error}\n"
            "  This is a bug. Set ENTREPOT_DEBUG=1 to see where, and please report it.",
            EntrepotError.exit_code,
        )
    return result if isinstance(result, int) else 0


def _teach(tokens: Sequence[str]) -> None:
    """Give the command that is asked about its own docstring, with its examples, in place of its line in the listing.

    The line is stated at registration, so that a listing imports no command.
    """
    asked = app
    for word in tokens:
        if word.startswith("-") or word not in asked:
            break
        asked = asked[word]
    command = asked.default_command
    if asked is not app and command is not None and command.__doc__:
        told, section, parameters = inspect.cleandoc(command.__doc__).partition("\nParameters\n")
        fenced = _EXAMPLE.sub(lambda m: f"\n```text\n{textwrap.dedent(m[1])}```\n", told + "\n")
        asked.help = fenced + section + parameters


def _say(message: str, code: int) -> int:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    red, end = ("\033[31m", "\033[0m") if colour else ("", "")
    print(f"{red}error:{end} {message}", file=sys.stderr)
    return code
