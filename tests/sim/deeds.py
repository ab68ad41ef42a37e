"""What people do and what breaks, one function each; `do` draws whom it strikes."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cloud_sync.content import content_hash
from cloud_sync.gallery import (
    Change,
    Denial,
    DenialReason,
    DropDenial,
    DropTemplate,
    PutDenial,
    PutTemplate,
    Template,
)
from cloud_sync.stream.follow import Follower
from cloud_sync.stream.messages import NackCode
from cloud_sync.stream.serve_view import Serving
from tests.sim.options import HOUR_S
from tests.templates import SPACE, template

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.world import Person, World

_VECTORS = tuple(template(f"rider {number}").vector for number in range(64))
_CLOCKS_S = (0.0, 0.0, 5.0, -5.0, -30.0, 3_600.0, -3_600.0, -1_777_870_800.0)
"""What somebody or something does to a wall clock, seconds; the last is 1970."""


def do(world: "World", name: str) -> None:
    """Do something, to whom the dice choose."""
    world.say(None, name)
    world.books.count(name)
    _DEEDS[name](world)


def heard_now(state: Follower, now_s: float) -> Follower:
    """Return an edge's end that has heard its bookmarks all the while."""
    return replace(state, heard_s=now_s)


def due_now(state: Serving, now_s: float) -> Serving:
    """Return a cloud's end that has sent its bookmarks all the while, but for the one due now."""
    return replace(state, bookmark_due_s=now_s)


def _template_of(person: "Person") -> PutTemplate:
    vector = _VECTORS[(person.ref.int + person.version) % len(_VECTORS)]
    return PutTemplate(
        Template(person.ref, person.version, SPACE.model_id, SPACE.transform_id, vector)
    )


def _some_stations(world: "World") -> list[str]:
    stations = world.cloud.stations
    return world.rng.sample(stations, world.rng.randint(1, max(1, len(stations) // 2)))


def _node(world: "World") -> "Node":
    return world.rng.choice(world.nodes)


def _person(world: "World", *, enrolled: bool | None = None) -> "Person | None":
    chosen = [each for each in world.people if enrolled is None or each.is_enrolled is enrolled]
    return world.rng.choice(chosen) if chosen else None


# The people.


def enroll(world: "World") -> None:
    """Somebody gives a photo, for the first time or again."""
    person = _person(world)
    if person is None or not world.cloud.has_database:
        return
    person.version += 1
    person.is_enrolled = True
    world.books.withdrawn.pop(person.ref, None)
    world.cloud.enroll(_template_of(person), _some_stations(world))


def withdraw(world: "World") -> None:
    """Somebody takes all consent back; should they come again, they are somebody new."""
    person = _person(world, enrolled=True)
    if person is None or not world.cloud.has_database:
        return
    world.books.withdrawn[person.ref] = world.now
    world.cloud.forget(person.ref, person.version, is_final=True)
    person.ref, person.version, person.is_enrolled = world.new_ref(), 0, False


def erase(world: "World") -> None:
    """Somebody has the face deleted and keeps the account; they may enroll again."""
    person = _person(world, enrolled=True)
    if person is None or not world.cloud.has_database:
        return
    world.books.withdrawn[person.ref] = world.now
    world.cloud.forget(person.ref, person.version, is_final=False)
    person.is_enrolled = False


def move(world: "World") -> None:
    """The prefilter takes somebody from some stations and gives them to others."""
    person = _person(world, enrolled=True)
    if person is None or not world.cloud.has_database:
        return
    wanted = set(_some_stations(world))
    world.cloud.drop(person.ref, [s for s in world.cloud.holders(person.ref) if s not in wanted])
    world.cloud.give([_template_of(person)], sorted(wanted))


def push(world: "World") -> None:
    """Presence finds a few riders and pushes them to a station a moment later."""
    found = {each.ref: each for _ in range(4) if (each := _person(world, enrolled=True))}
    if found:
        puts = [_template_of(each) for each in found.values()]
        world.after(world.rng.random() * 3, _pushed, world, puts, [_some_stations(world)[0]])


def rush(world: "World") -> None:
    """Everybody goes where the match is: all riders are pushed to one station."""
    puts = [_template_of(each) for each in world.people if each.is_enrolled]
    _pushed(world, puts, [_some_stations(world)[0]])


def _pushed(world: "World", puts: list[PutTemplate], stations: list[str]) -> None:
    if world.cloud.has_database:
        world.cloud.give(puts, stations)


def tap_through(world: "World") -> None:
    """Some people go through the gates of a station."""
    node = _node(world)
    for _ in range(world.rng.randint(1, 3)):
        node.pass_through()


def deny(world: "World") -> None:
    """Somebody is put on the deny list of some stations, or taken off it."""
    person = _person(world)
    if person is None or not world.cloud.has_database:
        return
    change: Change = DropDenial(person.ref)
    if world.rng.random() < 0.6:
        change = PutDenial(Denial(person.ref, DenialReason.DEBT, world.cloud.wall()))
    world.cloud.publish(_some_stations(world), [change])


# The cloud's housekeeping.


def compact(world: "World") -> None:
    """Old lines are forgotten."""
    if world.cloud.has_database:
        world.cloud.compact(keep=world.rng.choice((0, 0, 1, 3)))


def replicate(world: "World") -> None:
    """The standby catches up."""
    if world.cloud.has_database:
        world.cloud.standby = world.cloud.copied()


def back_up(world: "World") -> None:
    """The database is backed up."""
    if world.cloud.has_database:
        world.cloud.backup = world.cloud.copied()


# What breaks.


def kill_node(world: "World") -> None:
    """A node's process dies, between two effects or now; it comes back within 5 s."""
    node = _node(world)
    if world.rng.random() < 0.7:
        node.cut_after = world.rng.randint(0, 6)
    elif node.is_up:
        node.die(world.rng.uniform(0.5, 5.0), dark=False)


def cut_power(world: "World") -> None:
    """A node loses power; it may wake hours later, and not know what time it is."""
    node = _node(world)
    if not node.is_up:
        return
    node.die(world.rng.choice((5.0, 60.0, 4 * HOUR_S)), dark=True)
    node.skew_s = world.rng.choice((0.0, 0.0, 3_600.0, -1_777_870_800.0))


def turn_clock(world: "World") -> None:
    """A node's wall clock jumps."""
    _node(world).skew_s = world.rng.choice(_CLOCKS_S)


def break_line(world: "World") -> None:
    """A connection is reset; both ends hear of it."""
    link = _node(world).link
    if link is not None:
        world.cloud.lose_now(link)


def darken_line(world: "World") -> None:
    """A connection swallows everything, and nobody is told."""
    link = _node(world).link
    if link is not None and not link.is_dark:
        world.cloud.lose(link, dark=True)


def part_network(world: "World") -> None:
    """Some stations are cut off, for seconds or for hours."""
    for node in world.rng.sample(world.nodes, world.rng.randint(1, 12)):
        node.is_apart = True
        if node.link is not None:
            world.cloud.lose(node.link, dark=world.rng.random() < 0.5)
        world.after(world.rng.choice((5.0, 40.0, 8 * HOUR_S)), _join, node)


def _join(node: "Node") -> None:
    node.is_apart = False


def kill_cloud(world: "World") -> None:
    """The cloud's process dies, between two effects or now."""
    if world.rng.random() < 0.7:
        world.cloud.cut_after = world.rng.randint(0, 6)
    elif world.cloud.is_up:
        world.cloud.die(world.rng.uniform(1.0, 10.0))


def lose_database(world: "World") -> None:
    """The database does not answer for a while: restarting, full, or out of connections."""
    world.cloud.has_database = False
    world.after(world.rng.uniform(1.0, 20.0), _found, world)


def _found(world: "World") -> None:
    world.cloud.has_database = True


def fail_over(world: "World") -> None:
    """The standby takes over; what it lacks never happened."""
    world.cloud.lose_history(world.cloud.standby)
    world.cloud.standby = world.cloud.copied()


def restore(world: "World") -> None:
    """The database is restored from its backup."""
    world.cloud.lose_history(world.cloud.backup)
    world.cloud.standby = world.cloud.copied()


def damage_item(world: "World") -> None:
    """A template that is no number gets into a view past all checks."""
    _damage(world, NackCode.BAD_ITEM)


def mix_space(world: "World") -> None:
    """A template of another model gets into a view past all checks."""
    _damage(world, NackCode.WRONG_SPACE)


def _damage(world: "World", code: NackCode) -> None:
    person = _person(world, enrolled=True)
    if person is None or not world.cloud.has_database:
        return
    good = _template_of(person).template
    if code is NackCode.BAD_ITEM:
        vector = np.full(good.vector.shape, np.nan, np.float32)
        bad = PutTemplate(replace(good, version=90_000 + len(world.books.damaged), vector=vector))
    else:
        bad = PutTemplate(replace(good, version=90_000 + len(world.books.damaged), model_id="b"))
    station = world.rng.choice(world.cloud.stations)
    if not world.cloud.views._views[station].head.model_id:
        return
    world.books.damaged[content_hash(bad)] = code
    world.cloud.views.damage(station, bad)
    world.cloud.announce(station)


def lose_gallery(world: "World") -> None:
    """A node's gallery file is found corrupt and dropped."""
    node = _node(world)
    if node.is_up:
        node.die(world.rng.uniform(0.5, 5.0), dark=False)
    node.disk = world.parts.replica()


def rot_gallery(world: "World") -> None:
    """Something on a node's disk changes by itself, or is gone; no check there notices."""
    node = _node(world)
    held = sorted(node.disk._content.templates)
    if not held:
        return
    put = node.disk._content.templates[world.rng.choice(held)]
    if world.rng.random() < 0.5:
        node.disk.damage(DropTemplate(put.template.rider_ref))
    else:
        node.disk.damage(PutTemplate(replace(put.template, version=80_000)))
    node.is_rotten = True


def fill_disk(world: "World") -> None:
    """A node's disk is full for a while: no tap, no barrier."""
    node = _node(world)
    node.outbox.full = True
    world.after(world.rng.uniform(1.0, 60.0), _emptied, node)


def _emptied(node: "Node") -> None:
    node.outbox.full = False


_DEEDS: dict[str, Callable[["World"], None]] = {
    "enroll": enroll,
    "withdraw": withdraw,
    "erase": erase,
    "move": move,
    "push": push,
    "rush": rush,
    "deny": deny,
    "tap": tap_through,
    "compact": compact,
    "replicate": replicate,
    "back_up": back_up,
    "kill_node": kill_node,
    "cut_power": cut_power,
    "turn_clock": turn_clock,
    "break_line": break_line,
    "darken_line": darken_line,
    "part_network": part_network,
    "kill_cloud": kill_cloud,
    "lose_database": lose_database,
    "fail_over": fail_over,
    "restore": restore,
    "damage_item": damage_item,
    "mix_space": mix_space,
    "lose_gallery": lose_gallery,
    "rot_gallery": rot_gallery,
    "fill_disk": fill_disk,
}
