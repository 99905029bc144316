"""A small house for the kernel's own tests: one room of parcels behind both doors, on a real database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask, abort
from flask import redirect as lead_to
from jinja2 import ChoiceLoader, DictLoader
from marshmallow import fields
from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import Mapped, Session
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse
from whitenoise import WhiteNoise

from audit.models import AuditEvent
from referrals import settings as surroundings
from referrals.kernel import command as kernel
from referrals.kernel import crypto, web
from referrals.kernel.actor import Actor, Role, Side, Source
from referrals.kernel.command import COMMANDS, Work, command
from referrals.kernel.door import OPERATIONS, Doors, Operation, Shape, asking
from referrals.kernel.errors import NotFoundError, RuleBrokenError
from referrals.kernel.keys import KeyRing
from referrals.kernel.look import LOOKS, NOT_SHARED, declare_look, note
from referrals.kernel.orm import Base, Identified, edits, personal, public
from referrals.kernel.schema import Takes, codes, day, line, many, whole, yes_no
from referrals.kernel.schema import text as words
from referrals.kernel.web import SignedIn

CANARY = "canary-7f3e"
HOST = "https://localhost"


class Depot(Identified):
    """Where parcels are added."""

    __tablename__ = "test_depot"

    organization_id: Mapped[UUID] = public()


class Parcel(Identified):
    """A thing of an organization, about no participant."""

    __tablename__ = "test_parcel"
    __house_key__ = "staff"

    organization_id: Mapped[UUID] = public()
    name: Mapped[str] = personal()
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()
    content = crypto.sealed(crypto.text, nullable=True)


class Letter(Identified):
    """A row about a participant whose own category says what its text is."""

    __tablename__ = "test_letter"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "topic"

    participant_id: Mapped[UUID] = public()
    organization_id: Mapped[UUID] = public()
    topic: Mapped[str] = public()
    body = crypto.sealed(crypto.text)


class ForbiddenNameError(RuleBrokenError):
    """No parcel is called that."""

    code = "forbidden_name"


TABLES = [model.__table__ for model in (Depot, Parcel, Letter)]
COUNTED = declare_look("parcel.counted", "how many there are")


def ours(actor: Actor) -> Select[Parcel]:
    return select(Parcel).where(Parcel.organization_id == actor.organization_id)


def our_depots(actor: Actor) -> Select[Depot]:
    return select(Depot).where(Depot.organization_id == actor.organization_id)


def is_a_navigator(actor: Actor, _thing: Any) -> bool:
    return actor.works_as(Role.NAVIGATOR)


class AddParcel(Takes):
    name = line(20)
    on = day(required=False)
    colors = codes(("red", "green", "blue"), required=False)
    lots = many(line(10), most=3)
    count = whole(0, 9, required=False)
    fragile = yes_no()
    content = words(50, required=False)


class RenameParcel(Takes):
    name = line(20)


class StampParcel(Takes):
    evidence = words(12_000_000)


class Search(Takes):
    q = line(20, required=False)
    size = whole(1, 100, required=False)


class ParcelShape(Shape):
    """A parcel."""

    id = fields.UUID()
    version = fields.Integer()
    name = fields.String()


@command(records="parcel.added", on=Depot, takes=AddParcel, within=our_depots, allow=[[is_a_navigator]], makes=Parcel)
def add_parcel(  # one keyword for each field
    work: Work,
    depot: Depot,
    *,
    name: str,
    on: Any,
    colors: Any,
    lots: Any,
    count: Any,
    fragile: bool,
    content: str | None,
) -> Parcel:
    """Add a parcel to a depot."""
    made = Parcel(organization_id=depot.organization_id, name=name, version=1, content=content)
    work.add(made)
    SEEN.append({"on": on, "colors": colors, "lots": lots, "count": count, "fragile": fragile})
    return made


@command(records="parcel.renamed", on=Parcel, takes=RenameParcel, within=ours, allow=[[is_a_navigator]], edits=True)
def rename_parcel(work: Work, parcel: Parcel, *, name: str) -> Parcel:
    """Give a parcel another name."""
    if name == "forbidden":
        raise ForbiddenNameError(name=parcel.id)
    parcel.name = name
    parcel.version += 1
    work.record(parcel, ["name", "version"])
    return parcel


@command(records="parcel.stamped", on=Parcel, takes=StampParcel, within=ours, allow=[[is_a_navigator]])
def stamp_parcel(work: Work, parcel: Parcel, *, evidence: str) -> Parcel:
    """Put a stamp on a parcel."""
    parcel.name = f"{len(evidence)}"
    work.record(parcel, ["name"])
    return parcel


#: The words that `add_parcel` got.
SEEN: list[dict[str, Any]] = []
ROOM: dict[str, Any] = {}


def parcel_room() -> Doors:
    """The room, made once: blueprints serve any number of apps."""
    if "doors" in ROOM:
        return ROOM["doors"]  # type: ignore[no-any-return]
    doors = ROOM["doors"] = Doors("parcel")

    @doors.get("/parcels", page="parcel/list.html", shape=ParcelShape, takes=Search, many=True)
    def parcels(*, q: str | None, size: int | None) -> Mapping[str, Any]:
        """List parcels."""
        session, actor = asking()
        note(session, actor, records=COUNTED, purpose="administration", count=1)
        rows = list(session.scalars(ours(actor).where(Parcel.name == q) if q else ours(actor)))
        return {"rows": rows[:size], "next": None}

    @doors.get("/parcels/<uuid:target>", page="parcel/show.html", shape=ParcelShape)
    def show(target: UUID) -> Mapping[str, Any]:
        """Show a parcel."""
        session, actor = asking()
        found = session.scalars(ours(actor).where(Parcel.id == target)).one_or_none()
        if found is None:
            raise NotFoundError
        return {"it": found}

    def then(row: Parcel) -> str:
        return f"/parcels/{row.id}"

    doors.act(
        "/depots/<uuid:target>/parcels",
        add_parcel,
        page="parcel/form.html",
        then=then,
        shape=ParcelShape,
        context=lambda target: {"depot": target, "values": {"name": "suggested"}},
        done="required",
    )

    def renaming(target: UUID) -> Mapping[str, Any]:
        session, actor = asking()
        found = session.scalars(ours(actor).where(Parcel.id == target)).one()
        shown = NOT_SHARED if found.name == "withheld" else found.name
        return {"values": {"name": shown}, "version": found.version}

    doors.act(
        "/parcels/<uuid:target>/name",
        rename_parcel,
        page="parcel/form.html",
        context=renaming,
        then=then,
        shape=ParcelShape,
    )
    doors.act(
        "/parcels/<uuid:target>/stamp", stamp_parcel, page="parcel/form.html", then=then, shape=ParcelShape, upload=True
    )

    @doors.pages.get("/break")
    @doors.api.get("/break", endpoint="break_json")
    def break_() -> str:
        raise ZeroDivisionError(CANARY)

    @doors.pages.get("/refuse/<int:status>")
    @doors.api.get("/refuse/<int:status>", endpoint="refuse_json")
    def refuse(status: int) -> str:
        abort(status, CANARY)

    @doors.pages.get("/away")
    def away() -> Any:
        return lead_to("/parcels", 303)

    return doors


PAGES = {
    "parcel/list.html": """{% set title = 'Parcels' %}{% extends 'base.html' %}
        {% block content %}{% for one in rows %}<p>{{ one.name }}</p>{% endfor %}{% endblock %}""",
    "parcel/show.html": """{% set title = 'Parcel' %}{% extends 'base.html' %}
        {% block content %}<p>{{ it.name }}</p>{% endblock %}""",
    "parcel/form.html": """{% set title = 'Form' %}{% set typed_form = true %}{% extends 'base.html' %}
        {% from 'components/form.html' import form_tag %}
        {% from 'components/compare.html' import compare %}
        {% block content %}{% call form_tag(form, '', 'typed') %}
        {% call compare(form, 'name', 'Name') %}
        <input id='name' name='name' value='{{ form.values.name }}'>
        {% endcall %}
        <output>{{ form.errors | tojson }}</output>{% endcall %}{% endblock %}""",
}

_declared = {name: COMMANDS.pop(name) for name in list(COMMANDS) if name.startswith("parcel.")}
_operations: list[Operation] = []
LOOKS.pop(COUNTED)
for _table in TABLES:
    Base.metadata.remove(_table)  # type: ignore[arg-type]
_before = len(OPERATIONS)
parcel_room()
_operations = OPERATIONS[_before:]
del OPERATIONS[_before:]
UPLOADS = {name: web.UPLOADS.pop(name) for name in list(web.UPLOADS) if name.startswith("parcel")}


@dataclass
class SmallHouse:
    """The app, who may come in by which token, and what they find."""

    app: Flask
    engine: Engine
    ring: KeyRing
    people: dict[str, tuple[Actor, str]] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=lambda: list(_operations))

    def load(self, token: str, source: Source) -> SignedIn | None:
        """What the account room does."""
        if token not in self.people:
            return None
        actor, step = self.people[token]
        known = Actor(
            actor.kind, actor.user_id, actor.organization_id, actor.side, actor.roles, actor.sign_in_id, None, source
        )
        return SignedIn(token, known, step, name="Sam Rivers", organization="Open Door")

    def let_in(self, token: str, actor: Actor, step: str = "full") -> Visitor:
        """Sign somebody in."""
        self.people[token] = (actor, step)
        visitor = Visitor(self)
        with visitor.client.session_transaction(base_url=HOST) as kept:
            kept["_user_id"] = token
            kept["_fresh"] = True
        return visitor

    def session(self) -> Session:
        """A session of our own on the same database."""
        return kernel_session(self.engine, self.ring)

    def events(self) -> list[dict[str, Any]]:
        """The log."""
        with self.session() as session:
            return [json.loads(body) for body in session.scalars(select(AuditEvent.body).order_by(AuditEvent.id))]

    def save(self, *rows: Identified) -> None:
        """Save rows as a command would."""
        with self.session() as session:
            save(session, *rows)


class Visitor:
    """A browser."""

    def __init__(self, house: SmallHouse) -> None:
        self.house = house
        self.client = house.app.test_client()

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        """One request, as HTTPS."""
        return self.client.open(path, method=method, base_url=more.pop("base_url", HOST), **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def token(self) -> str:
        """The CSRF token of the forms this visitor gets."""
        page = self.get("/parcels").get_data(as_text=True)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found is not None, page
        return found.group(1)

    def post(self, path: str, form: Any = None, **more: Any) -> TestResponse:
        """Send a form as the browser does."""
        return self.ask("POST", path, data={"csrf_token": self.token()} | (form or {}), **more)

    def call(self, path: str, body: Any = None, **more: Any) -> TestResponse:
        """Call the API as a script does."""
        headers = {"X-CSRFToken": self.token()} | more.pop("headers", {})
        if body is not None:
            more["json"] = body
        return self.ask("POST", f"/api/v1{path}", headers=headers, **more)


def kernel_session(engine: Engine, ring: KeyRing) -> Session:
    """A session as the service opens it."""
    from referrals.kernel.session import HouseSession  # noqa: PLC0415

    return HouseSession(engine, info={"ring": ring})


def save(session: Session, *rows: Identified) -> None:
    """Save rows as a command would."""
    nobody = Actor("service", roles=frozenset({Role.OPERATOR}))
    kernel.start_writing(session)
    work = Work(session, nobody, "parcel.added", kernel.clock(session))
    session.info["work"] = work
    for row in rows:
        work.add(row)
    kernel._finish(session, work)
    session.info.pop("work")


@pytest.fixture
def worker() -> Actor:
    """A navigator of one organization."""
    return Actor("user", uuid4(), uuid4(), Side.COMMUNITY, frozenset({Role.NAVIGATOR}), uuid4())


@pytest.fixture
def small_house(sqlite_url: str, sqlite_engine: Engine, ring: KeyRing) -> Iterator[SmallHouse]:
    """The small house, served."""
    for table in TABLES:
        table.create(sqlite_engine)  # type: ignore[attr-defined]
    settings = surroundings.load(
        {"THROUGHGATE_ENV": "development", "THROUGHGATE_DATABASE_URL": sqlite_url, "THROUGHGATE_KEYS": "env"}
    )
    app = web.House("referrals", template_folder=str(web.ROOT / "templates"))
    app.config["SECRET_KEY"] = "of these tests alone, and long enough for them"
    app.config["HOUSE_ENGINE_OPTIONS"] = {"poolclass": NullPool}
    app.jinja_loader = ChoiceLoader([DictLoader(PAGES), app.jinja_loader])  # type: ignore[list-item,assignment]
    house = SmallHouse(app, sqlite_engine, ring)
    web.install(app, web.Installed(settings, ring, []), house.load)
    doors = parcel_room()
    for blueprint in (doors.pages, doors.api):
        app.register_blueprint(blueprint)
    assert app.static_folder is not None
    app.wsgi_app = WhiteNoise(app.wsgi_app, allow_all_origins=False, add_headers_function=web.static_headers)  # type: ignore[method-assign]
    app.wsgi_app.add_files(app.static_folder, prefix="static/")
    LOOKS[COUNTED] = "how many there are"
    web.UPLOADS.update(UPLOADS)
    SEEN.clear()
    yield house
    LOOKS.pop(COUNTED)
    for name in UPLOADS:
        web.UPLOADS.pop(name)


@pytest.fixture
def visitor(small_house: SmallHouse, worker: Actor) -> Visitor:
    """The navigator's browser."""
    return small_house.let_in("t" * 43, worker)


@pytest.fixture
def depot(small_house: SmallHouse, worker: Actor) -> UUID:
    """A depot of the navigator's organization."""
    made = Depot(organization_id=worker.organization_id)
    small_house.save(made)
    return made.id


@pytest.fixture
def parcel(small_house: SmallHouse, worker: Actor) -> UUID:
    """A parcel of the navigator's organization."""
    made = Parcel(organization_id=worker.organization_id, name="first", version=1, content=CANARY)
    small_house.save(made)
    return made.id
