"""The console's pages beside the fleet: riders in views, erasures, views, orders, the audit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from cloud_sync import order
from cloud_sync.prefilter.explain import ABSENCES, rule
from cloud_sync.setting import Mode
from cloud_sync.web.sources import Sources

MODE_WORDS = {
    Mode.ORDER_EXEMPT: "A missing way in or way out is no fault.",
    Mode.TIME_EXEMPT: "There is no limit to the time of a ride.",
    Mode.FARE_EXEMPT: "Rides from and to here cost nothing.",
    Mode.EMERGENCY_RELEASE: "All barriers open and stay open; nobody is looked at.",
}
"""What the operator reads before confirming a mode."""
_DAYS = 7
"""Passages of so many days make the hit rates shown."""
_RECENT = 50
"""Erasures and lines of the deny list on a page."""
_AUDIT = 200
"""Lines of the audit on its page."""

Page = Callable[..., Response]
"""Renders a template: request, name, status, content."""


def join(app: FastAPI, sources: Sources, page: Page) -> None:
    """Add the pages to the console.

    Args:
        app: The console.
        sources: What is read.
        page: Renders a template.
    """
    desk = _CityDesk(sources, page)
    app.add_api_route("/why", desk.why)
    app.add_api_route("/erasures", desk.erasures)
    app.add_api_route("/erasures/{rider_ref}", desk.erasure)
    app.add_api_route("/views", desk.views)
    app.add_api_route("/orders", desk.orders)
    app.add_api_route("/orders/mode", desk.set_mode, methods=["POST"])
    app.add_api_route("/audit", desk.audit)


@dataclass(frozen=True, slots=True)
class _CityDesk:
    """The handlers."""

    sources: Sources
    page: Page

    def why(self, request: Request, rider: str = "", station: str = "") -> Response:
        """Explain why a rider is in a station's view, or is not."""
        explained, problem = None, ""
        if rider or station:
            ref = _ref(rider)
            if ref is None:
                problem = "A rider's reference has 32 hexadecimal digits."
            else:
                explained = self.sources.city.why(ref, station, self.sources.clock())
                problem = "" if explained else "No station with a view has this id."
        return self.page(
            request,
            "why.html",
            rider=rider,
            station=station,
            stations=self._stations(),
            told=explained,
            rule=rule(explained) if explained and explained.rank else "",
            absences=ABSENCES,
            problem=problem,
        )

    def erasures(self, request: Request, rider: str = "") -> Response:
        """Show the newest erasures, or lead to one rider's."""
        ref = _ref(rider)
        if ref is not None:
            return RedirectResponse(f"/erasures/{ref}", status_code=303)
        proofs = self.sources.erasures.recent(_RECENT)
        now = self.sources.clock()
        problem = "A rider's reference has 32 hexadecimal digits." if rider else ""
        return self.page(request, "erasures.html", proofs=proofs, now=now, problem=problem)

    def erasure(self, request: Request, rider_ref: UUID) -> Response:
        """Show the proofs of one rider."""
        proofs = self.sources.erasures.proofs(rider_ref)
        if not proofs:
            raise HTTPException(404, "Nothing of this rider was ever erased.")
        now = self.sources.clock()
        return self.page(request, "erasure.html", rider_ref=rider_ref, proofs=proofs, now=now)

    def views(self, request: Request) -> Response:
        """Show views against their budgets, and how well each source guesses."""
        since = (self.sources.clock() - timedelta(days=_DAYS)).date()
        rates = self.sources.city.rates(since)
        sizes = self.sources.city.sizes()
        return self.page(request, "views.html", rates=rates, sizes=sizes, days=_DAYS)

    def orders(self, request: Request, station: str = "") -> Response:
        """Show station modes and one station's deny list."""
        orders = self.sources.city.orders()
        known = [one.station_id for one in orders]
        chosen = station if station in known else next(iter(known), "")
        denials = self.sources.city.denials(chosen, _RECENT) if chosen else ()
        return self.page(
            request, "orders.html", orders=orders, chosen=chosen, denials=denials, modes=MODE_WORDS
        )

    def set_mode(
        self,
        request: Request,
        station: Annotated[str, Form()],
        mode: Annotated[list[str] | None, Form()] = None,
        confirmed: Annotated[str, Form()] = "",
    ) -> Response:
        """Change what a station leaves out, once it was asked whether that is meant."""
        try:
            change = order.mode(mode or [])
        except ValueError as problem:
            raise HTTPException(422, f"Nothing was ordered: {problem}.") from problem
        known = {one.station_id: one for one in self.sources.city.orders()}
        if station not in known:
            raise HTTPException(404, "No station with a view has this id.")
        if confirmed != "yes":
            wanted = [Mode(word) for word in sorted(set(mode or []))]
            before = known[station]
            return self.page(
                request,
                "confirm.html",
                station=station,
                wanted=wanted,
                before=before,
                modes=MODE_WORDS,
            )
        self.sources.city.order(station, change)
        return RedirectResponse(f"/orders?station={station}", status_code=303)

    def audit(self, request: Request) -> Response:
        """Show who came with what certificate, and what came of it."""
        return self.page(request, "audit.html", lines=self.sources.audited(_AUDIT))

    def _stations(self) -> list[str]:
        return [one.station_id for one in self.sources.city.orders()]


def _ref(text: str) -> UUID | None:
    """Return a rider's reference as typed; None when it is none."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
