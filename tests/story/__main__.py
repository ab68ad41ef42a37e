"""`make run`: two stations and a cloud come up, real people ride through them, and stay up.

`--once` ends after the final table, with exit status 0 only if everybody fared as the script says.
"""

import argparse
import contextlib
import fcntl
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fare.city import shipped
from tests.story import board
from tests.story.play import Play, Row
from tests.story.setting import Setting

_MARK = ".gateline-story"
"""The file by which a story knows a folder that it may clear."""


def main() -> int:
    """Play the story once, then stay up unless told otherwise."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("var/story"),
        help="var/story unless told; cleared first",
    )
    parser.add_argument(
        "--first-port", type=int, default=8400, help="of eight in a row; 0 takes any"
    )
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"gateline: a story already runs in {folder}.\n"
                "End it first, or play this one elsewhere: make run ARGS='--folder var/second'",
                file=sys.stderr,
            )
            return 1
        if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
            print(f"gateline: {folder} is not a story's folder; it is left alone", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / _MARK).touch()
        return _tell(folder, once=arguments.once, first_port=arguments.first_port)


def _tell(folder: Path, *, once: bool, first_port: int) -> int:
    console = Console(highlight=False)
    started_s = time.monotonic()
    setting = Setting(folder, shipped(), first_port=first_port)

    def say(text: str) -> None:
        at = f"{time.monotonic() - started_s:6.1f} s"
        setting.board.tell(at, text)
        console.print(f"[dim]{at}[/dim]  {text}", soft_wrap=True)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    status = 130  # what a shell says of a process that Ctrl-C ended
    say("setting the stage: PostgreSQL, bank, cloud, rider app, fare worker, two stations")
    try:
        server = board.serve(setting.board, setting.board_port)
        say(f"watch it on {setting.board_url}")
        setting.start(say)
        rows = _perform(setting, say)
        console.print(_table(rows))
        for row in rows:
            if row.wrong:
                console.print(f"[red]{row.name}: {row.wrong}[/red]")
        wrong = sum(1 for row in rows if row.wrong)
        say("everybody fared as the script says" if not wrong else f"{wrong} did not fare as told")
        status = 1 if wrong else 0
        if not once:
            _invite(console, setting)
            threading.Event().wait()
        server.should_exit = True
    except KeyboardInterrupt:
        say("ending")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave processes behind
        setting.stop()
    return status


def _perform(setting: Setting, say: Callable[[str], None]) -> list[Row]:
    with contextlib.closing(Play(setting, say, patience_s=15.0, tries=4)) as play:
        play.enroll()
        play.wait_for_galleries(patience_s=60.0)
        play.ride()
        say("all are through; the money moves")
        return play.settle(patience_s=40.0)


def _table(rows: list[Row]) -> Table:
    table = Table(title="The rides")
    for heading in ("who", "way in", "way out"):
        table.add_column(heading)
    for heading in ("km", "fare"):
        table.add_column(heading, justify="right")
    table.add_column("how it was paid")
    for row in rows:
        km = "-" if row.metres is None else f"{row.metres / 1000:.3f}"
        table.add_row(row.name, row.way_in, row.way_out, km, row.fare, row.paid)
    return table


def _invite(console: Console, setting: Setting) -> None:
    console.print(
        "\nIt stays up. Your turn, in a browser on this machine:\n"
        f"  1. enroll your own face with your webcam   {setting.app_url}\n"
        f"  2. walk through a lane with your webcam    {setting.webcam_url}\n"
        f"  3. see the money                           {setting.office_url}\n"
        f"  all of it live                             {setting.board_url}\n"
        "Commands such as `.venv/bin/python -m cloud_sync status` find its database and keys by\n"
        f"  export GATELINE_DATABASE_URL={shlex.quote(setting.database_url)}\n"
        f"  export GATELINE_KEYS={shlex.quote(str(setting.keys))}\n"
        f"  export GATELINE_LEDGER={shlex.quote(str(setting.ledger))}\n"
        "Ctrl-C ends it.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
