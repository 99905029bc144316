"""Two doors to one room: a page for people and JSON for machines, the same command or reading behind both.

`Doors.act` stands for a command, `Doors.get` for a reading. Everything registered here is also what the OpenAPI
document, the route list and the parity test are made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any, Final, NoReturn, Protocol, cast
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from flask import Blueprint, Response, current_app, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from sqlalchemy.orm import Session
from typing_extensions import override
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from referrals.kernel.actor import Actor, TokenScope
from referrals.kernel.command import Command, execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    FieldFaults,
    InvalidInputError,
    RefusedError,
    RuleBrokenError,
    UnreadableRequestError,
)
from referrals.kernel.language import LANGUAGES
from referrals.kernel.look import NOT_SHARED, Sight
from referrals.kernel.orm import Identified, uuid7
from referrals.kernel.record import clock
from referrals.kernel.schema import Takes
from referrals.kernel.web import (
    API,
    TOKEN_SCOPES,
    UPLOADS,
    current_actor,
    db,
    keep_language,
    limiter,
    sentence,
    speak,
)

#: The largest body of a request that carries a file.
UPLOAD_LIMIT: Final = 11 * 1024 * 1024
PAGE_SIZES: Final = (25, 50, 100)


class Shape(Schema):
    """How a thing looks as JSON. A value whose category does not cross is `{"shared": false}` (C14)."""

    def told(self, thing: Any) -> dict[str, Any]:
        """Return the resource for a row, a `Sight` or any object with these attributes."""
        return {name: self._told(name, one, thing) for name, one in self.fields.items()}

    @override
    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Tell nested shapes the same way."""
        several = self.many if many is None else many
        return [self.told(one) for one in obj] if several else self.told(obj)

    def _told(self, name: str, one: fields.Field[Any], thing: Any) -> Any:
        read = one.attribute or name
        value = thing.get(read) if isinstance(thing, Mapping) else getattr(thing, read)
        if value is NOT_SHARED:
            return {"shared": False}
        if value is None or (type(value) is str and type(one) is fields.String):
            return value  # as marshmallow would, a step of its own for each
        if isinstance(value, frozenset):
            value = sorted(value)  # a set has no order of its own, and an answer is the same each time
        return one.serialize(name, thing, accessor=lambda *_: value)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What somebody else has set a field to since this form was opened, and in words who and when."""

    theirs: Any
    said: str
    #: "mine" or "theirs", once one was chosen.
    chosen: str | None = None

    @property
    def sent(self) -> list[str]:
        """Their value as a form sends it."""
        values = self.theirs if isinstance(self.theirs, list | tuple) else [self.theirs]
        return [_plain(one) for one in values if one is not None]


@dataclass(frozen=True, slots=True)
class ListAddress:
    """Where a list stands with its filters, order and size: all of it in the address, none of it about anybody."""

    path: str
    given: Mapping[str, Any]

    def but(self, **changed: Any) -> str:
        """Return the address with some of it changed; what is None is left out."""
        words = {name: str(value) for name, value in ({**self.given, **changed}).items() if value is not None}
        # A bare address opens with the reader's default view, so what shows everything says so.
        return f"{self.path}?{urlencode(words or {'size': PAGE_SIZES[0]})}"

    @property
    def cleared(self) -> str:
        """The address of the whole list."""
        return ListAddress(self.path, {}).but()

    @property
    def query(self) -> str:
        """What stands behind the question mark."""
        return self.but().partition("?")[2]

    @property
    def sorted(self) -> str:
        """The same in a fixed order, as views are saved."""
        return urlencode(sorted(parse_qsl(self.query)))

    def chips(self, told: Mapping[str, str | None]) -> list[dict[str, str]]:
        """Return the filters in force in words, each with the address without it."""
        return [
            {"label": words or "", "remove_url": self.but(**{name: None})}
            for name, words in told.items()
            if self.given.get(name)
        ]


@dataclass(slots=True)
class Form:
    """What a form page needs: kept values, faults in words, and its hidden fields."""

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    version: str | None = None
    multipart: bool = False
    key: str = field(default_factory=lambda: str(uuid7()))
    #: What somebody else set meanwhile, by field; `since` is the version this form began with.
    conflicts: Mapping[str, Conflict] = field(default_factory=dict)
    since: str | None = None
    #: Whether its page can be shown in another language with what is typed: its address takes `show_in`.
    may_switch: bool = False

    @property
    def csrf_token(self) -> str:
        """Return the token that proves the form came from here."""
        return str(generate_csrf())


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the JSON door, for the OpenAPI document and the parity test.

    What `creates` may be asked to `check` only: then nothing is made, and the answer is 200. `file` is the media type
    of an answer that is no JSON.
    """

    method: str
    rule: str
    endpoint: str
    summary: str
    shape: type[Shape] | None
    takes: type[Schema] | None
    command: Command[Any, Any] | None
    many: bool = False
    creates: bool = False
    checks: bool = False
    file: str | None = None

    @property
    def known_as(self) -> str:
        """The room that it goes by in the document: where it stands, or the one that this room was cut from."""
        room = self.endpoint.partition("_api.")[0]
        return KNOWN_AS.get(room, room)

    @property
    def operation_id(self) -> str:
        """What programs made from the document call it."""
        return f"{self.known_as}_{self.endpoint.partition('.')[2]}"


OPERATIONS: list[Operation] = []
#: Rooms whose operations go by another room's name in the OpenAPI document.
KNOWN_AS: dict[str, str] = {}
#: The header of a form that a page's script sends while it is being typed.
SAVES_ITSELF: Final = "X-Saves-Itself"

#: The field by which a form asks to be shown in another language, with all that is typed; nothing is done then.
SHOW_IN: Final = "show_in"

Context = Callable[..., Mapping[str, Any]]
#: How the room of accounts tells what people are called.
Naming = Callable[[Session, Iterable[UUID | None]], Mapping[UUID, str]]
_NAMING: list[Naming] = []


def people_are_called(by: Naming) -> None:
    """Say how people's names are found (called by the room of accounts, at import)."""
    _NAMING[:] = [by]


#: How the room of accounts keeps the language that somebody chose.
_CHOOSING: list[Callable[[str], None]] = []


def languages_are_kept(by: Callable[[str], None]) -> None:
    """Say how a chosen language is kept (called by the room of accounts, at import)."""
    _CHOOSING[:] = [by]


def in_language(wished: str, show: Callable[[], Response]) -> ResponseReturnValue:
    """Show a page in the language that its form asks for, from now on; in no other than ours."""
    if wished not in LANGUAGES:
        return show()
    for keep in _CHOOSING:
        keep(wished)
    speak(wished)
    return keep_language(show(), wished)


def _called(people: Iterable[UUID | None]) -> dict[UUID | None, str]:
    """Return what people are called; the service itself goes by its own name."""
    wanted = set(people)
    known = _NAMING[0](db.session(), wanted) if _NAMING else {}
    return {one: known.get(one, "Throughgate") if one is not None else "Throughgate" for one in wanted}


class Kept(Protocol):
    """Where what was typed into a search is kept for a while, for its owner alone."""

    def keep(self, typed: Mapping[str, Any]) -> UUID:
        """Keep the words; return the id that may stand in a URL."""
        ...

    def words(self, search: str) -> dict[str, Any] | None:
        """Return the words kept under an id; None where there are none for whoever is asking."""
        ...


class Doors:
    """The two blueprints of a room, and the ways to open both at once."""

    def __init__(
        self,
        room: str,
        *,
        reads: TokenScope | None = None,
        writes: TokenScope | None = None,
        known_as: str | None = None,
    ) -> None:
        """Make `pages` (named like the room) and `api` (`<room>_api`).

        `reads` and `writes` are what an API token needs for the room's readings and acts; None closes them to tokens.
        `known_as` is the room whose name its operations keep in the OpenAPI document, where it was cut from one:
        whoever generated a client from the document finds them where they were.
        """
        self.room = room
        if known_as is not None:
            KNOWN_AS[room] = known_as
        self.reads, self.writes = reads, writes
        self.pages = Blueprint(room, __name__)
        self.api = Blueprint(f"{room}_api", __name__, url_prefix=API)

    def asks_of_tokens(self, name: str, scope: TokenScope | None) -> None:
        """Say which scope the JSON door's endpoint of this name asks of an API token (S-808)."""
        if scope is not None:
            TOKEN_SCOPES[f"{self.room}_api.{name}"] = scope

    def get(
        self,
        rule: str,
        *,
        page: str | None,
        shape: type[Shape] | None,
        takes: type[Takes] | None = None,
        many: bool = False,
    ) -> Callable[[Context], Context]:
        """Open a reading to both doors. The function returns the page's context; JSON tells `it`, or `rows` and `next`.

        `takes` names the query parameters; others are refused. `page=None` or `shape=None` leaves that door shut (the
        parity test asks why). `around` in the context is a function that gives what the page alone shows: JSON does
        not read it, so it is not on record as read either.
        """

        def declare(read: Context) -> Context:
            name = read.__name__
            known = takes() if takes is not None else Takes()

            def as_page(**ids: UUID) -> ResponseReturnValue:
                context = dict(read(**ids, **known.understood(query(known))))
                around = context.pop("around", dict)
                return render_template(cast("str", page), **context, **around())

            def as_json(**ids: UUID) -> ResponseReturnValue:
                context = read(**ids, **known.understood(query(known)))
                return _resource(cast("type[Shape]", shape), context)

            if page is not None:
                self.pages.add_url_rule(rule, name, as_page)
            if shape is not None:
                self.api.add_url_rule(rule, name, as_json)
                self.asks_of_tokens(name, self.reads)
                OPERATIONS.append(
                    Operation(
                        "GET", f"{API}{rule}", f"{self.room}_api.{name}", _summary(read), shape, takes, None, many
                    )
                )
            return read

        return declare

    def search(
        self,
        rule: str,
        *,
        page: str,
        shape: type[Shape],
        takes: type[Takes],
        blank: Context | None = None,
        kept: Kept | None = None,
    ) -> Callable[[Context], Context]:
        """Open a reading whose words may not stand in a URL (S-309): names and numbers are posted, to both doors.

        The function returns the page's context with `rows`; `blank` gives what the page shows before anything is asked.
        Both get the URL's ids. The page also gets `form`, `asked` and `gone`. With `kept`, the page leads on to
        `?search=<id>`, so that Back and reloading ask the same again; an id that is nobody's, another's or too old is
        404, all alike (S-203).
        """

        def declare(read: Context) -> Context:
            one, name = Search(rule, page, shape, takes(), read, blank or dict, kept), read.__name__
            self.pages.add_url_rule(rule, f"{name}_form", one.ask, methods=["GET"])
            self.pages.add_url_rule(rule, name, one.take, methods=["POST"])
            self.api.add_url_rule(rule, name, one.take_json, methods=["POST"])
            self.asks_of_tokens(name, self.reads)
            endpoint = f"{self.room}_api.{name}"
            OPERATIONS.append(
                Operation("POST", f"{API}{rule}", endpoint, _summary(read), shape, takes, None, many=True)
            )
            return read

        return declare

    def act(
        self,
        rule: str,
        what: Command[Any, Any],
        *,
        page: str | None,
        then: Callable[[Any], str],
        shape: type[Shape] | None,
        show: Callable[[Any], Any] | None = None,
        context: Context | None = None,
        target: Callable[[Mapping[str, UUID]], UUID] | None = None,
        reads: Callable[[Takes], dict[str, Any]] | None = None,
        done: str | None = None,
        upload: bool = False,
        api_rule: str | None = None,
        saves_itself: str | None = None,
    ) -> None:
        """Open a command to both doors: GET and POST of a page, POST of the API.

        `then` says where the page goes afterwards, `show` reads the result again (on record) for the JSON answer,
        `context` gives the page what surrounds the form (it gets the URL's ids; `values` and `version` prefill).
        `target` finds the command's row when it is not the id named `target` in the URL. `done` is the notice's code;
        `upload` lets a file of 10 MB through. `saves_itself` is the code of the sentence that says when a form was kept
        while it was being typed.
        """
        one = Act(
            what,
            page,
            then,
            shape,
            show,
            context,
            target or _target_of,
            reads or form_words,
            done=done,
            upload=upload,
            saves_itself=saves_itself,
        )
        if upload:
            UPLOADS[f"{self.room}.{what.name}"] = UPLOAD_LIMIT
            UPLOADS[f"{self.room}_api.{what.name}"] = UPLOAD_LIMIT * 4 // 3  # base64
        if page is not None:
            self.pages.add_url_rule(rule, f"{what.name}_form", one.ask, methods=["GET"])
        self.pages.add_url_rule(rule, what.name, one.take, methods=["POST"])
        if shape is not None:
            at = f"{API}{api_rule or rule}"
            self.api.add_url_rule(api_rule or rule, what.name, one.take_json, methods=["POST"])
            self.asks_of_tokens(what.name, self.writes)
            endpoint = f"{self.room}_api.{what.name}"
            OPERATIONS.append(
                Operation("POST", at, endpoint, _summary(what.act), shape, type(what.takes), what, creates=one.creates)
            )


#: Coarse, per user and whatever they search for, at every door together (S-117). In a hurry one types a search in three
#: seconds, twenty a minute, and not for an hour; a program looks up whom a file names, one a second. Whoever tries
#: numbers one after another to learn who is here needs thousands. By user: an office behind one address shares none.
SEARCH_RATE: Final = "60 per minute;1000 per hour"


def _searcher() -> str:
    """Return whom a search is counted for: a person at all their devices, or an integration with all its tokens."""
    actor = current_actor()
    return str(actor.user_id or actor.source.net)


@limiter.shared_limit(SEARCH_RATE, scope="search", key_func=_searcher, error_message="too_many_searches")
def _count_search() -> None:
    """Count one search; the one too many is 429."""


@limiter.shared_limit(SEARCH_RATE, scope="search typed", key_func=_searcher, error_message="too_many_searches")
def _count_typed() -> None:
    """Count what is kept before it is searched for: the page that follows counts as the search."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search behind both doors; `Doors.search` says what each part is for."""

    rule: str
    page: str
    shape: type[Shape]
    takes: Takes
    read: Context
    blank: Context
    kept: Kept | None

    def ask(self, **ids: UUID) -> ResponseReturnValue:
        """Show the form; with the id of a kept search, what it finds now."""
        if self.kept is None or "search" not in request.args:
            return self._shown(Form(), {}, ids, 200)
        typed = self.kept.words(request.args["search"])
        if typed is None:
            return self._shown(Form(), {"gone": True}, ids, 404)
        return self._found(Form(typed), self.takes.understood(typed), ids)

    def take(self, **ids: UUID) -> ResponseReturnValue:
        """Take the form: keep what was typed and lead on to it, or else answer at once."""
        if SHOW_IN in request.form:
            form = _typed({}, self.takes)
            return in_language(request.form[SHOW_IN], lambda: self._again(form, ids))
        try:
            typed = form_words(self.takes)
            words = self.takes.understood(typed)
            if self.kept is not None:
                _count_typed()
                return redirect(f"{request.path}?search={self.kept.keep(typed)}", 303)
            return self._found(Form(request.form.to_dict()), words, ids)
        except InvalidInputError as fault:
            return self._shown(_typed(fault.fields, self.takes, facts=fault.facts), {}, ids, 422)

    def _again(self, form: Form, ids: Mapping[str, UUID]) -> Response:
        """Show the form with what is typed; where it stands beside what was found, with that, too."""
        asked = self.kept.words(request.args["search"]) if self.kept is not None and "search" in request.args else None
        if asked is None:
            return self._shown(form, {}, ids, 200)
        return self._found(form, self.takes.understood(asked), ids)

    def take_json(self, **ids: UUID) -> ResponseReturnValue:
        """Take a JSON object; answer with what is found."""
        words = self.takes.understood(json_words())
        _count_search()
        return _resource(self.shape, self.read(**ids, **words))

    def _found(self, form: Form, words: Mapping[str, Any], ids: Mapping[str, UUID]) -> Response:
        _count_search()
        return self._shown(form, {**self.read(**ids, **words), "asked": True}, ids, 200)

    def _shown(self, form: Form, found: Mapping[str, Any], ids: Mapping[str, UUID], status: int) -> Response:
        before = {} if "asked" in found else self.blank(**ids)
        around = {**before, "asked": False, "gone": False, "rows": []}
        form.may_switch = True
        return make_response(render_template(self.page, form=form, **{**around, **found}), status)


@dataclass(frozen=True, slots=True)
class Act:
    """One command behind both doors; `Doors.act` says what each part is for."""

    what: Command[Any, Any]
    page: str | None
    then: Callable[[Any], str]
    shape: type[Shape] | None
    show: Callable[[Any], Any] | None
    context: Context | None
    target: Callable[[Mapping[str, UUID]], UUID]
    reads: Callable[[Takes], dict[str, Any]]
    done: str | None
    upload: bool
    saves_itself: str | None

    @property
    def creates(self) -> bool:
        """Whether the command makes something new (201 and Location)."""
        return self.what.makes is not self.what.on

    def ask(self, **ids: UUID) -> ResponseReturnValue:
        """Show the form."""
        return self._form(Form(), ids, 200)

    def take(self, **ids: UUID) -> ResponseReturnValue:
        """Take the form; on a fault show it again with everything that was typed."""
        if self.saves_itself is not None and request.headers.get(SAVES_ITSELF) is not None:
            return self._keep(self.saves_itself, ids)
        if self.page is not None and SHOW_IN in request.form:
            typed = _typed({}, self.what.takes, upload=self.upload)
            return in_language(request.form[SHOW_IN], lambda: self._form(typed, ids, 200))
        given: Mapping[str, Any] = {}
        try:
            given = self.reads(self.what.takes)
            row = run(self.what, self.target(ids), given, expect=_form_version(), key=form_key())
        except InvalidInputError as fault:
            return self._again(fault, fault.fields, ids)
        except ChangedMeanwhileError as refusal:
            return self._compare(refusal, given, ids)
        except RuleBrokenError as refusal:
            return self._again(refusal, {"": [refusal.code]}, ids)
        return self._leave(row)

    def _keep(self, said: str, ids: Mapping[str, UUID]) -> ResponseReturnValue:
        """Keep what is typed so far, but for fields that cannot be taken yet; answer with the version from now on.

        The script on the page sends this; whatever else goes wrong it takes for "not saved".
        """
        given = self.reads(self.what.takes)
        try:
            row = run(self.what, self.target(ids), given, expect=_form_version())
        except InvalidInputError as fault:
            half_typed = {name.partition(".")[0] for name in fault.fields}
            rest = {name: value for name, value in given.items() if name not in half_typed}
            row = run(self.what, self.target(ids), rest, expect=_form_version())
        at = clock(db.session())
        return cast("Response", current_app.json.response({"version": row.version, "said": sentence(said, {"at": at})}))

    def take_json(self, **ids: UUID) -> ResponseReturnValue:
        """Take a JSON object; answer with the resource as it is now."""
        expect = _if_match()
        row = run(
            self.what,
            self.target(ids),
            json_words(),
            expect=expect,
            if_match=expect is not None,
            key=idempotency_key(),
        )
        shown = self.show(row) if self.show is not None else row
        answer = _resource(cast("type[Shape]", self.shape), {"it": shown})
        if self.creates:
            answer.status_code = 201
            answer.headers["Location"] = f"{API}{self.then(row)}"
        return answer

    def _again(self, fault: RefusedError, fields: FieldFaults, ids: Mapping[str, UUID]) -> ResponseReturnValue:
        if self.page is None:
            raise fault
        form = _typed(fields, self.what.takes, upload=self.upload, facts=fault.facts)
        return self._form(form, ids, fault.status)

    def _compare(
        self, refusal: ChangedMeanwhileError, given: Mapping[str, Any], ids: Mapping[str, UUID]
    ) -> ResponseReturnValue:
        """Show the form again with their values beside what was typed, to choose from field by field.

        What they set that this form does not ask, or asks and says the same, is no conflict: then it is saved, and
        theirs stays.
        """
        plain = {"": [refusal.code]}
        if self.page is None or refusal.version is None or self.context is None:
            return self._again(refusal, plain, ids)
        around = dict(self.context(**ids))
        theirs = around.get("values", {})
        asked = {name: change for name, change in refusal.changes.items() if name in theirs}
        if any(theirs[name] is NOT_SHARED for name in asked):
            return self._again(refusal, plain, ids)  # nothing is shown, nor named, that they may not read
        differ = {name: one for name, one in asked.items() if _plain(theirs[name]) != _plain(given.get(name))}
        if not differ:
            try:
                row = run(self.what, self.target(ids), given, expect=refusal.version, key=form_key())
            except InvalidInputError as fault:
                return self._again(fault, fault.fields, ids)
            except RuleBrokenError as again:
                return self._again(again, {"": [again.code]}, ids)
            return self._leave(row)
        people = _called(one.by for one in differ.values())
        form = _typed({"": ["compare_and_choose"]}, self.what.takes, upload=self.upload)
        form.since, form.version = _version_named(), str(refusal.version)
        form.conflicts = {
            name: Conflict(
                theirs[name],
                sentence("theirs_by", {"who": people[one.by], "at": one.at}),
                request.form.get(f"keep.{name}"),
            )
            for name, one in differ.items()
        }
        form.errors = {**form.errors, **{f"keep.{name}": [sentence("yours_or_theirs")] for name in differ}}
        return self._form(form, ids, refusal.status, around)

    def _leave(self, row: Any) -> ResponseReturnValue:
        if self.done is not None:
            flash(self.done, "success")
        return redirect(self.then(row), 303)

    def _form(self, form: Form, ids: Mapping[str, UUID], status: int, around: dict[str, Any] | None = None) -> Response:
        if around is None:
            around = dict(self.context(**ids)) if self.context is not None else {}
        values, version = around.pop("values", {}), around.pop("version", None)
        if not form.values:
            form.values = values
        if form.version is None and version is not None:
            form.version = str(version)
        form.multipart, form.may_switch = self.upload, True
        return make_response(render_template(cast("str", self.page), form=form, **around), status)


def _target_of(ids: Mapping[str, UUID]) -> UUID:
    return ids["target"]


def run(
    what: Command[Any, Any],
    target: UUID,
    given: Mapping[str, Any],
    *,
    expect: int | None = None,
    if_match: bool = False,
    key: str | None = None,
) -> Any:
    """Run a command for whoever is asking."""
    return execute(
        db.session(), what, actor=current_actor(), target=target, data=given, expect=expect, if_match=if_match, key=key
    )


def asking() -> tuple[Any, Actor]:
    """Return the request's session and actor, for readings."""
    return db.session(), current_actor()


def json_words() -> Mapping[str, Any]:
    """Read a JSON object from the request.

    Raises:
        UnreadableRequestError: broken JSON, a wrong encoding, NaN, nesting without end, or no object.
        UnsupportedMediaType: not JSON at all (415).
        RequestEntityTooLarge: more than the service takes (413).
    """
    body = request.get_data(cache=True)
    # A body that came in chunks is cut off at the limit without a word: what is left could be read as something else.
    if (
        request.content_length is None
        and len(body) == request.max_content_length
        and request.environ["wsgi.input"].read(1)
    ):
        raise RequestEntityTooLarge
    if request.mimetype != "application/json":
        if body or request.content_length:  # the look for the CSRF token has read a form's body already
            raise UnsupportedMediaType
        return {}
    if not body:
        return {}
    try:
        said = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise UnreadableRequestError from None
    if not isinstance(said, dict):
        raise InvalidInputError({"": ["wrong_type"]})
    return said


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def form_words(takes: Takes) -> dict[str, Any]:
    """Turn a submitted form into a command's words: hidden fields stripped, blanks left out, dates and lists joined."""
    return _words(_as_chosen(request.form), takes, hidden=("csrf_token", "idempotency_key", "version"))


def _as_chosen(form: MultiDict[str, str]) -> MultiDict[str, str]:
    """Return a form with each field that was compared as it was chosen: the writer's own value, or theirs."""
    compared = set(form.getlist("compared"))
    if not compared:
        return form
    taken = {name for name in compared if form.get(f"keep.{name}") == "theirs"}
    kept: list[tuple[str, str]] = []
    for name, value in form.items(multi=True):
        stem, _, part = name.rpartition("-")
        of = stem if part in {"month", "day", "year"} else name
        if of not in taken and name not in {"compared", "since"} and name.partition(".")[0] not in {"keep", "theirs"}:
            kept.append((name, value))
    kept += [(name, value) for name in sorted(taken) for value in form.getlist(f"theirs.{name}")]
    return MultiDict(kept)


def _plain(value: Any) -> str:
    """Return a value as a form would send it, so that what was typed compares with what is on record."""
    if isinstance(value, list | tuple):
        return "\n".join(_plain(one) for one in value)
    if value is None or value is False:
        return ""
    return "true" if value is True else str(value).replace("\r\n", "\n").strip()


def query(takes: Takes) -> dict[str, Any]:
    """Turn the query string into words; a blank filter is none."""
    return _words(request.args, takes, hidden=())


def _words(given: MultiDict[str, str], takes: Takes, hidden: Sequence[str]) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for name in given:
        if name in hidden:
            continue
        stem, _, part = name.rpartition("-")
        if part in {"month", "day", "year"} and isinstance(takes.fields.get(stem), fields.Date):
            if stem not in words and (joined := _joined_date(given, stem)) is not None:
                words[stem] = joined
            continue
        if isinstance(takes.fields.get(name), fields.List):
            values = [value for value in given.getlist(name) if value != ""]
            if values:
                words[name] = values
        elif (value := given[name]) != "":
            words[name] = value
    return words


def _joined_date(given: MultiDict[str, str], stem: str) -> str | None:
    year, month, day = (given.get(f"{stem}-{part}", "").strip() for part in ("year", "month", "day"))
    if not (year or month or day):
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return f"{year}-{month}-{day}"  # the schema says what is wrong with it


def _typed(faults: FieldFaults, takes: Takes, *, upload: bool = False, facts: Mapping[str, Any] | None = None) -> Form:
    """Return the form as it was typed, with its faults in words: nothing typed is lost."""
    kept: dict[str, Any] = {}
    form = _as_chosen(request.form)
    for name in form:
        values = form.getlist(name)
        kept[name] = values if len(values) > 1 else values[0]
    told = {name: [sentence(worded(code, name, takes), facts) for code in codes] for name, codes in faults.items()}
    version = _version_named()
    return Form(kept, told, version, upload, request.form.get("idempotency_key") or str(uuid7()))


def worded(code: str, name: str, takes: Takes) -> str:
    """Return the code of a fault's sentence: what is left out is entered, chosen or dated, and may say by name what."""
    one = takes.fields.get(name)
    if code != "required" or one is None:
        return code
    if isinstance(one, fields.Date):
        return f"required_day.{name}"
    of = one.inner if isinstance(one, fields.List) else one
    is_chosen = isinstance(of, fields.UUID | fields.Boolean) or any(isinstance(v, OneOf) for v in of.validators)
    return f"required_choice.{name}" if is_chosen else f"required_text.{name}"


def _version_named() -> str | None:
    """Return the version that a form stands on: while something is not chosen yet, still the one it began with."""
    form = request.form
    undecided = any(form.get(f"keep.{name}") not in {"mine", "theirs"} for name in form.getlist("compared"))
    return form.get("since" if undecided else "version")


def _form_version() -> int | None:
    return _number(_version_named() or "")


def _if_match() -> int | None:
    """Return the version that If-Match names (an ETag is `version-digest`), -1 when it names none of ours."""
    given = request.headers.get("If-Match", "").strip()
    if not given:
        return None
    version = _number(given.removeprefix("W/").strip('"').partition("-")[0])
    return -1 if version is None else version


def _number(given: str) -> int | None:
    # Python refuses to read numbers of more than 4,300 digits; ours have far fewer.
    return int(given) if len(given) <= 18 and given.isascii() and given.isdigit() else None  # noqa: PLR2004  # 63 bits


def idempotency_key() -> str | None:
    """Return the key under which a call is done once, however often it is repeated.

    Raises:
        InvalidInputError: not 1 to 100 printable ASCII characters.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _is_key(key):
        raise InvalidInputError({"Idempotency-Key": ["not_accepted"]})
    return key


def form_key() -> str | None:
    """Return the form's own key; nobody in particular has none, since keys are kept by user."""
    key = request.form.get("idempotency_key", "")
    return key if _is_key(key) and current_actor().user_id is not None else None


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= 100 and key.isascii() and key.isprintable()  # noqa: PLR2004  # an id, no text


def _resource(shape: type[Shape], context: Mapping[str, Any]) -> Response:
    teller = _teller(shape)
    if "rows" in context:
        body: dict[str, Any] = {"items": [teller.told(row) for row in context["rows"]], "next": context.get("next")}
        return cast("Response", current_app.json.response(body))
    it = context["it"]
    answer = cast("Response", current_app.json.response(teller.told(it)))
    version = _version_of(context.get("versioned", it))
    if version is not None:
        # The version for If-Match; the digest because what is shown can change without it (a status, a consent).
        tag = f"{version}-{hashlib.sha256(answer.get_data()).hexdigest()[:16]}"
        answer.set_etag(tag)
        if request.method == "GET" and request.if_none_match and request.if_none_match.contains_weak(tag):
            return Response(status=304, headers={"ETag": answer.headers["ETag"]})
    return answer


@cache
def _teller(shape: type[Shape]) -> Shape:
    return shape()


def _version_of(it: Any) -> int | None:
    if isinstance(it, Sight | Identified):
        try:
            return cast("int", it.version)  # type: ignore[union-attr]  # not every row has one
        except AttributeError:
            return None
    return None


def _summary(function: Callable[..., Any]) -> str:
    return str(function.__doc__ or function.__name__.replace("_", " ")).strip().partition("\n")[0]
