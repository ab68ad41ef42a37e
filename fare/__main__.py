"""`python -m fare`: the worker, the back office, the simulated bank, and a clerk's commands."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa

from fare.adapters import database
from fare.adapters.postgres import VERSIONS, PostgresStore
from fare.city import CityUnreadable, shipped
from fare.log import say, start_logging

_LOG = logging.getLogger("fare")


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    start_logging()
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fare", description=__doc__)
    parser.add_argument("--city", default="xian", type=_city, help="a city shipped in fare/data")
    commands = parser.add_subparsers(required=True)

    work = commands.add_parser("work", help="take taps in, price, charge")
    work.add_argument("--bank", default="http://127.0.0.1:8090", help="the bank's base URL")
    work.add_argument("--timeout-s", type=float, default=5.0, help="longest wait for the bank")
    work.add_argument("--stale-s", type=float, default=30.0, help="age of an orphaned sending")
    work.add_argument("--query-after-s", type=float, default=5.0, help="wait before asking again")
    work.add_argument("--senders", type=int, default=4, help="charges on their way at once")
    work.set_defaults(command=_work)

    serve = commands.add_parser("serve", help="the back office's pages")
    serve.add_argument("--listen", default="127.0.0.1:8091", help="host:port")
    serve.add_argument(
        "--name", action="append", default=[], help="a host name it goes by, beside its address"
    )
    serve.set_defaults(command=_serve)

    bank = commands.add_parser("bank", help="the simulated bank")
    bank.add_argument("--listen", default="127.0.0.1:8090", help="host:port")
    bank.add_argument("--db", type=Path, default=Path("var/bank.sqlite"), help="the bank's book")
    bank.add_argument("--silence-s", type=float, default=60.0, help="how long a silent card keeps")
    bank.add_argument("--slow-s", type=float, default=1.5, help="how long a slow card takes")
    bank.set_defaults(command=_bank)

    migrate = commands.add_parser("migrate", help="bring the database to the newest version")
    migrate.set_defaults(command=_migrate)

    price = commands.add_parser("price", help="what a ride costs, and why")
    price.add_argument("start", help="station id")
    price.add_argument("end", help="station id")
    price.add_argument("--on", type=date.fromisoformat, default=None, help="YYYY-MM-DD")
    price.set_defaults(command=_price)

    topup = commands.add_parser("topup", help="put money into a rider's wallet")
    topup.add_argument("rider", type=UUID)
    topup.add_argument("minor_units", type=int, help="e.g. 5000 for 50.00")
    topup.add_argument("--id", type=UUID, default=None, help="give it to repeat a top-up safely")
    topup.set_defaults(command=_topup)

    explain = commands.add_parser("explain", help="why a trip cost what it cost, and its money")
    explain.add_argument("trip", type=UUID)
    explain.set_defaults(command=_explain)
    return parser


def _city(name: str) -> str:
    try:
        shipped(name)
    except CityUnreadable as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    return name


def _now() -> datetime:
    return datetime.now(UTC)


def _database() -> AbstractContextManager[sa.Engine]:
    return database.opened(os.environ.get("GATELINE_DATABASE_URL"), Path("var/postgres"))


def _work(arguments: argparse.Namespace) -> int:
    from fare.adapters.feed import PostgresTapFeed
    from fare.adapters.gateway import HttpGateway
    from fare.adapters.loop import Crew, Loop
    from fare.charge import ChargeRules
    from fare.work import WorkRules

    first = arguments.query_after_s
    waits = (first, 3 * first, 12 * first, 60 * first, 720 * first, 17_280 * first)
    rules = WorkRules(charge=ChargeRules(stale_s=arguments.stale_s, query_after_s=waits))
    with _database() as engine:
        database.migrate(engine, "fare", VERSIONS)
        feed = PostgresTapFeed(engine)
        gateway = HttpGateway(arguments.bank, timeout_s=arguments.timeout_s)
        crew = Crew(
            store=PostgresStore(engine),
            feed=feed,
            gateway=gateway,
            city=shipped(arguments.city),
            clock=_now,
            rules=rules,
            senders=arguments.senders,
        )
        loop = Loop(crew)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        say(_LOG, "ready", command="work", bank=arguments.bank)
        ended_well = loop.run()
        feed.close()
        gateway.close()
    say(_LOG, "stopped", command="work")
    return 0 if ended_well else 1


def _serve(arguments: argparse.Namespace) -> int:
    from fare.adapters.serving import serve
    from fare.adapters.statements import PostgresStatements
    from fare.web import create_app

    with _database() as engine:
        database.migrate(engine, "fare", VERSIONS)
        names = frozenset(name.lower() for name in arguments.name)
        app = create_app(PostgresStatements(engine), shipped(arguments.city), names=names)
        serve(app, arguments.listen)
    return 0


def _bank(arguments: argparse.Namespace) -> int:
    from fare.adapters.bank import BankBook, BankConfig, create_app
    from fare.adapters.serving import serve

    arguments.db.parent.mkdir(parents=True, exist_ok=True)
    book = BankBook(arguments.db)
    config = BankConfig(silence_s=arguments.silence_s, slow_s=arguments.slow_s)
    serve(create_app(book, config), arguments.listen)
    book.close()
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    del arguments
    with _database() as engine:
        database.migrate(engine, "fare", VERSIONS)
    return 0


def _price(arguments: argparse.Namespace) -> int:
    from fare.quote import describe

    city = shipped(arguments.city)
    on = arguments.on or _now().astimezone(city.tariff.timezone).date()
    print(describe(city.network, city.tariff, arguments.start, arguments.end, on))
    known = {arguments.start, arguments.end} <= set(city.network.stations)
    return 0 if known else 1


def _topup(arguments: argparse.Namespace) -> int:
    from fare.account import TopUp, top_up
    from fare.ledger import Posted, wallet
    from fare.money import Money

    top_up_id = arguments.id or uuid4()
    payment = TopUp(top_up_id, arguments.rider, Money(arguments.minor_units), _now())
    with _database() as engine:
        database.migrate(engine, "fare", VERSIONS)
        with PostgresStore(engine).transaction() as tx:
            outcome = top_up(tx.accounts, tx.ledger, payment)
            balance = -tx.ledger.balance(wallet(arguments.rider))
    done = "paid in" if isinstance(outcome, Posted) else "was paid in before"
    print(f"{payment.amount} {done} ({top_up_id}); the wallet holds {balance}")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from fare.adapters.statements import PostgresStatements
    from fare.explain import explain

    with _database() as engine:
        database.migrate(engine, "fare", VERSIONS)
        lines = PostgresStatements(engine).trip(arguments.trip)
    print(explain(lines, shipped(arguments.city).network))
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
