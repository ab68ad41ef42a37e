"""The whole play: set the stage, let everybody ride, wait for the money, and compare."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_gate.adapters.opencv import encode
from fare.city import City, shipped
from tests.people import portraits
from tests.story.app import Away, Phone
from tests.story.director import Answer, Director, Stranded
from tests.story.script import PASSENGERS, Expect, Passenger, Step
from tests.story.setting import Setting

_FRESH_S = 5.0
"""How long after the last gate a passenger's row waits for the money; the table waits longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """A passenger's line in the final table."""

    name: str
    way_in: str
    way_out: str
    metres: int | None
    fare: str
    paid: str
    wrong: str
    """What differs from the script; empty when all is as it should be."""


class Play:
    """One performance."""

    def __init__(
        self, setting: Setting, say: Callable[[str], None], *, patience_s: float, tries: int
    ) -> None:
        """Take a stage that is set.

        Args:
            setting: Running processes.
            say: Prints a line of the story.
            patience_s: How long a walk waits for the gate's answer.
            tries: How often a walk is walked at most.
        """
        self.city: City = shipped()
        self.faces = portraits()
        self.phones: dict[str, Phone] = {}
        self.answers: dict[str, list[tuple[Step, Answer]]] = {}
        self.rides = 0
        self._setting = setting
        self._say = say
        self.faults: dict[str, str] = {}
        self._closed = threading.Event()
        self._done = {person.name: threading.Event() for person in PASSENGERS}
        self._director = Director(
            setting.lanes, setting.photos, say, patience_s=patience_s, tries=tries
        )

    def close(self) -> None:
        """Put all phones away; whoever is still walking goes home."""
        self._closed.set()
        for phone in self.phones.values():
            phone.close()

    def enroll(self, *, rides: int = 1) -> None:
        """Sign everybody up in the rider app, as their script says.

        Args:
            rides: How often they will ride; wallets are filled for that.
        """
        for name, portrait in self.faces.items():
            (self._setting.photos / f"{name}.png").write_bytes(encode(portrait, suffix=".png"))
        for person in PASSENGERS:
            if not person.means:
                continue
            phone = Phone(self._setting.app_url, person.name)
            phone.sign_up(person.means, wallet_minor=5_000 * rides)
            words = f"{person.name} signs up, pays by {_means(person)}"
            if person.face:
                phone.enroll_face(self.faces[person.name])
                words += ", enrolls a face with one photo"
            if person.paused:
                phone.pause()
                words += ", and pauses it"
            self.phones[person.name] = phone
            self._setting.board.person(person.name)
            self._say(words)

    def wait_for_galleries(self, patience_s: float) -> None:
        """Wait until every station holds the template of every rider whose face is enrolled.

        Raises:
            RuntimeError: A station did not get them in time.
        """
        faces = sum(
            1 for person in PASSENGERS if person.means and person.face and not person.paused
        )
        deadline = time.monotonic() + patience_s
        for station, wanted in self._setting.wanted_templates(faces).items():
            while (held := self._setting.held_templates(station)) != wanted:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{station} holds {held} templates instead of {wanted}")
                time.sleep(0.2)
            self._say(f"{self.city.network.stations[station].name} holds {wanted:,} templates")

    def ride(self) -> None:
        """Let everybody walk once more, each in a thread of their own, until all are through."""
        self.rides += 1
        for done in self._done.values():
            done.clear()
        threads = [
            threading.Thread(target=self._come, args=(person,), name=person.name, daemon=True)
            for person in PASSENGERS
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.7)  # people do not all come out of one door
        for thread in threads:
            thread.join()

    def _come(self, person: Passenger) -> None:
        try:
            self._live(person)
        except RuntimeError:
            if not self._closed.is_set():  # else the phone was put away in the middle of it
                raise

    def _live(self, person: Passenger) -> None:
        if person.after:
            self._done[person.after].wait()
        self.answers[person.name] = []
        try:
            for step in person.steps:
                if self._closed.is_set():
                    return
                answer = self._director.walk(person, step, self.phones.get(person.name))
                self.answers[person.name].append((step, answer))
                self._report(person, step, answer)
        except (Stranded, RuntimeError) as error:
            if self._closed.is_set():
                return
            self.faults[person.name] = str(error)
            self._say(f"{person.name} is stranded: {error}")
        finally:
            self._done[person.name].set()
        with contextlib.suppress(Away):  # the page stays as it is; the table at the end asks again
            self._refresh(person)

    def _refresh(self, person: Passenger) -> None:
        """Show a passenger's fare on the page as soon as it is paid."""
        deadline = time.monotonic() + _FRESH_S
        while not self._closed.is_set() and self._row(person).wrong and time.monotonic() < deadline:
            time.sleep(0.5)

    def _report(self, person: Passenger, step: Step, answer: Answer) -> None:
        station = self.city.network.stations[step.station].name
        way = "in at" if step.direction == "entry" else "out at"
        lead = (
            f"{person.name} {step.remark}, {way} {station}"
            if step.remark
            else (f"{person.name} goes {way} {station} by {step.show.value}")
        )
        live = "" if answer.liveness is None else f", liveness {answer.liveness:.2f}"
        if answer.opened:
            score = f"score {answer.score:.2f}, " if answer.medium == "face" else ""
            times = f"{answer.deciding_ms:.0f} ms after the deciding frame"
            if answer.medium == "face":
                times += f", {answer.usable_ms:.0f} ms after the first usable face"
            self._say(f"{lead}: opens ({score}{times}{live})")
        else:
            self._say(f"{lead}: stays shut, {answer.reason.replace('_', ' ')}{live}")
        if step.whose:
            self._say(f"  {_verdict(answer)}")
        if answer.opened:
            cell = "way_in" if step.direction == "entry" else "way_out"
            self._setting.board.person(person.name, **{cell: f"{answer.medium}, {station}"})

    def settle(self, patience_s: float) -> list[Row]:
        """Wait until all money has moved, and return the table."""
        deadline = time.monotonic() + patience_s
        while True:
            rows = [self._row(person) for person in PASSENGERS]
            if not any(row.wrong for row in rows) or time.monotonic() > deadline:
                return rows
            time.sleep(0.5)

    def _row(self, person: Passenger) -> Row:
        wrong = self.faults.get(person.name, "")
        ways = {"entry": "-", "exit": "-"}
        for step, answer in self.answers.get(person.name, []):
            if answer.opened and step.expect is Expect.OPEN:
                ways[step.direction] = answer.medium
        phone = self.phones.get(person.name)
        if phone is None or person.fare_minor is None:
            return Row(person.name, ways["entry"], ways["exit"], None, "-", "not a rider", wrong)
        purse = phone.purse()
        trips = [trip for trip in purse["trips"] if trip["in"] and trip["out"]]
        total = sum(trip["fare"]["minor_units"] for trip in trips if trip["fare"])
        settled = bool(trips) and all(trip["settled"] for trip in trips)
        due = (self.rides, self.rides * person.fare_minor, True)
        if not wrong and (len(trips), total, settled) != due:
            wrong = f"{len(trips)} trips, {total} fen, settled: {settled}"
        metres = self._metres(trips)
        fare = f"CNY {total / 100:.2f}"
        paid = _paid(trips)
        self._setting.board.person(
            person.name, km=_km(metres), fare=fare if trips else "", paid=paid
        )
        return Row(person.name, ways["entry"], ways["exit"], metres, fare, paid, wrong)

    def _metres(self, trips: list[dict[str, Any]]) -> int | None:
        return sum(int(trip["metres"]) for trip in trips) if trips else None


def _verdict(answer: Answer) -> str:
    """Say honestly what the default liveness model made of a print."""
    if answer.opened:
        return "the liveness model took the picture for a person: it is weak evidence, no promise"
    if answer.reason == "presentation_attack":
        return "the liveness model saw through this one; it does not see through every one"
    return "the picture was not matched, so the liveness model was not what stopped it"


def _means(person: Passenger) -> str:
    return "wallet" if person.means == "wallet" else "bank card"


def _paid(trips: list[dict[str, Any]]) -> str:
    return "; ".join(words for trip in trips for words in trip["payments"]) or "not yet"


def _km(metres: int | None) -> str:
    return "" if metres is None else f"{metres / 1000:.1f}"
