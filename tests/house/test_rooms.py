"""The architecture as tests: what stands in a room, who commits, what a column, a name and a command may be."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import LargeBinary, Table
from sqlalchemy.orm import Mapper

from audit.event import PURPOSES
from referrals import app as factory
from referrals.kernel import crypto
from referrals.kernel.command import COMMANDS
from referrals.kernel.errors import RefusedError
from referrals.kernel.job import KINDS
from referrals.kernel.look import LOOKS
from referrals.kernel.orm import CATEGORIES, Base, Identified
from tools import generate

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ROOT / "referrals"

FURNITURE: Final = frozenset({"__init__.py", "models.py", "policy.py", "queries.py", "commands.py", "web.py"})
#: What a room may have beside the furniture, and why.
BESIDE: Final = {
    "account/common_passwords.txt": "the offline blocklist of S-106",
    "exchange/csv.py": "a foreign format",
    "exchange/hsds.py": "a foreign format (Open Referral HSDS 3.0)",
    "issuer/oidc.py": "a foreign format (OpenID Connect), and the way to whoever speaks it",
    "passkey/webauthn.py": "a foreign format (W3C WebAuthn)",
    "exchange/facilities.py": "a foreign format: the columns of public facility lists",
}
#: Who may ask for a commit, and why. Everybody else acts by a command, a look or a job.
COMMITTERS: Final = {
    "referrals/kernel/record.py": "the place where it happens",
    "referrals/kernel/command.py": "execute() commits an act with its events",
    "referrals/kernel/look.py": "finish() commits looks before the first byte leaves",
    "referrals/kernel/job.py": "claims and results of jobs are no act",
    "referrals/kernel/session.py": "the guard itself",
    "referrals/kernel/orm.py": "settings of a new PostgreSQL connection, before any transaction of ours",
    "referrals/integration/commands.py": "a token's last use: bookkeeping, no act",
    "referrals/mail/commands.py": "the outbox of mail: bookkeeping, no act",
    "referrals/sign_in/commands.py": "a sign-in's last use: bookkeeping, no act",
    "referrals/view/commands.py": "what was typed into a search: bookkeeping, no act",
    "referrals/cli.py": "the first house keys, before anything else exists",
}
#: Tables outside the audit rule: bookkeeping about no record, or rows that go with another row's event.
UNAUDITED: Final = {
    "data_key": "wrapped keys: made with their person's event; commands on keys record themselves",
    "kept_key": "idempotency keys: the act they led to has its event",
    "disclosure": "goes with its look's event, in its transaction; the database keeps it unchanged",
    "seen": "that a row was seen: the look has its event",
    "job": "work to be done later: what it does leaves its own events",
    "sign_in_use": "when a sign-in was last used: no act, at most once a minute",
    "kept_search": "what somebody typed, for themselves and 8 hours: the search itself is a look",
    "api_token_use": "the day a token was last used: no act, at most once a day",
    "notice": "who is to be told of an act: the act has its event, and ids are all it holds",
    "mail": "a message on its way, the same for everybody: it says nothing that could be read",
    "failed_attempt": "what lockout counts: the refusal's own event is the record",
}
#: Records that say what happened: the last word of the name is a past participle, or reads as one.
LAST_WORDS: Final = frozenset(
    """
    accepted acknowledged added amended answered asked assigned audited cancelled changed closed completed confirmed
    connected disconnected
    corrected
    counted declined deleted disabled discarded disclosed disputed drafted enabled ended enrolled exported given granted
    held
    identified imported installed joined listed locked made moved named noted opened posted previewed proposed
    queried read recorded reencrypted refused released removed renewed reported requested reset resumed retired returned
    renamed rerouted reviewed revoked saved searched seen sent set settled shown signed started struck suggested
    superseded
    unlocked used verified viewed voided waited waitlisted widened withdrawn witnessed written
    """.split()  # noqa: SIM905  # a list of words reads as words
)
#: Words that several commands, or a door and a command, take alike.
SHARED_WORDS: Final = {
    "SignInWords": "checked ahead of the command too, where the costly hash is made",
    "CodeWords": "the first code of an authenticator",
    "Returned": "every command that takes an answer of an issuer",
    "FactorWords": "every command that asks for a second factor",
}
#: Columns of a participant's row that are about somebody else, who is staff.
ABOUT_STAFF: Final = frozenset(
    f"Referral.{who}_{what}" for who in ("contact", "backup") for what in ("name", "phone", "hours")
)
#: A name may go on after its participle: `account.signed_in`, `handoff.report_added_to`.
PARTICLES: Final = frozenset({"in", "out", "to", "off", "up"})


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the service, read once."""
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(HOUSE.rglob("*.py"))
    ]


def models() -> list[type[Base]]:
    """Every mapped class of the service (tests map classes of their own)."""
    found = [mapper.class_ for mapper in Base.registry.mappers if mapper.class_.__module__.startswith("referrals.")]
    return sorted(found, key=lambda model: model.__name__)


def table_of(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


# --- furniture --------------------------------------------------------------------------------------------------------


def test_a_room_holds_its_furniture_and_nothing_else() -> None:
    odd = [
        path.relative_to(HOUSE).as_posix()
        for room in factory.ROOMS
        if (HOUSE / room).is_dir()
        for path in (HOUSE / room).iterdir()
        if path.name not in FURNITURE | {"__pycache__"} and path.relative_to(HOUSE).as_posix() not in BESIDE
    ]
    assert odd == [], (
        f"{odd}: a room has {sorted(FURNITURE)} and nothing else. Put it where it belongs, split the room in two, or, "
        "for a foreign format, list it in BESIDE of this test with its reason."
    )


def test_every_folder_of_the_house_is_a_room_or_the_kernel() -> None:
    known = {*factory.ROOMS, "kernel", "static", "translations", "__pycache__"}
    odd = sorted(path.name for path in HOUSE.iterdir() if path.is_dir() and path.name not in known)
    assert odd == [], f"{odd}: a new room joins app.ROOMS, from the ground floor up."


def test_every_room_says_in_a_paragraph_what_it_is() -> None:
    silent = [
        room
        for room in factory.ROOMS
        if (HOUSE / room).is_dir()
        and len(ast.get_docstring(ast.parse((HOUSE / room / "__init__.py").read_text(encoding="utf-8"))) or "") < 60
    ]
    assert silent == [], f"{silent}: __init__.py says in a paragraph what the room is about and defines its words."


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "base", "manager", "misc", "data", "info"])
def test_no_module_has_a_name_that_says_nothing(word: str) -> None:
    found = [path.as_posix() for path in HOUSE.rglob(f"*{word}*.py") if path.stem in {word, f"{word}s"}]
    assert found == [], f"{found}: name it for the concept it holds."


# --- one place commits ------------------------------------------------------------------------------------------------


def _calls(tree: ast.Module, name: str) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id == name:
                return True
            if isinstance(function, ast.Attribute) and function.attr == name:
                return True
    return False


def test_one_place_commits_and_its_callers_are_listed() -> None:
    found = {path for path, tree in sources() if _calls(tree, "commit")}
    odd = sorted(found - set(COMMITTERS))
    assert odd == [], f"{odd} commits: make it a command (or a look, or a job), so that it is recorded."


def test_nobody_marks_a_session_as_committing_but_the_record() -> None:
    found = [
        path
        for path, tree in sources()
        if any(isinstance(n, ast.Constant) and n.value == "committing" for n in ast.walk(tree))
    ]
    assert found == ["referrals/kernel/record.py", "referrals/kernel/session.py"], (
        "Only record.commit() opens that gate."
    )


def test_a_day_is_always_somewheres_day() -> None:
    # `.date()` of an instant is its day in UTC: tomorrow already, while California's evening lasts.
    found = {path for path, tree in sources() if any(_takes_a_day(one) for one in ast.walk(tree))}
    assert found == {"referrals/kernel/record.py"}, "day_of() names the place."


def _takes_a_day(node: ast.AST) -> bool:
    names = {"date", "today"}
    return isinstance(node, ast.Call) and not node.args and getattr(node.func, "attr", None) in names


def test_nobody_below_the_door_asks_flask_who_is_asking() -> None:
    found = [
        path
        for path, tree in sources()
        if any(isinstance(node, ast.Name) and node.id == "current_user" for node in ast.walk(tree))
    ]
    allowed = {"referrals/kernel/web.py", "referrals/account/web.py", "referrals/sign_in/web.py"}
    odd = sorted(set(found) - allowed)
    assert odd == [], f"{odd} uses current_user: take current_actor(), or the actor as an argument."


def test_nothing_is_deleted_and_nothing_is_written_in_bulk() -> None:
    odd = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"}
    ]
    assert odd == [], f"{odd}: bulk methods pass by the record. Add rows through work.add()."


def test_raw_sql_stands_in_listed_places_only() -> None:
    """S-304: SQL by expression; bound `text()` in listed places."""
    allowed = {
        "referrals/account/models.py": "conditions of partial indexes",
        "referrals/code_sheet/models.py": "conditions of partial indexes",
        "referrals/issuer/models.py": "conditions of partial indexes",
        "referrals/kernel/keys.py": "conditions of partial indexes",
        "referrals/kernel/orm.py": "codes of our own, held to letters and a few signs, instead of parameters",
        "referrals/mail/models.py": "conditions of partial indexes",
        "referrals/program/models.py": "conditions of partial indexes",
        "referrals/referral/models.py": "conditions of partial indexes",
        "referrals/sign_in/models.py": "conditions of partial indexes",
    }
    odd = []
    for path, tree in sources():
        named = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
            for alias in node.names
            if alias.name in {"text", "literal_column"}
        }
        if named and path not in allowed:
            odd.append(path)
    assert odd == [], f"{odd}: write it as an expression, or list it here with its reason."


# --- commands and looks -----------------------------------------------------------------------------------------------


def _named_well(name: str) -> bool:
    room, _, rest = name.partition(".")
    parts = rest.split("_")
    if parts[-1] in PARTICLES and len(parts) > 1:
        parts.pop()
    return bool(re.fullmatch(r"[a-z_]+", room)) and parts[-1] in LAST_WORDS


@pytest.mark.parametrize("kind", ["records", "looks"])
def test_what_is_recorded_is_named_room_and_past_participle(kind: str) -> None:
    names = set(COMMANDS) if kind == "records" else set(LOOKS)
    odd = sorted(name for name in names if not _named_well(name))
    assert odd == [], f"{odd}: say `room.past_participle`; a new word joins LAST_WORDS of this test."


def test_the_room_of_a_record_exists() -> None:
    odd = sorted(name for name in {*COMMANDS, *LOOKS} if name.partition(".")[0] not in factory.ROOMS)
    assert odd == [], f"{odd}: a record is named for its room."


def test_commands_are_verbs_and_their_words_the_same_in_camel_case() -> None:
    odd = []
    for what in COMMANDS.values():
        camel = "".join(part.title() for part in what.name.split("_"))
        name = type(what.takes).__name__
        if what.takes.fields and name != camel and name not in SHARED_WORDS:
            odd.append(f"{what.name} takes {name}")
    assert odd == [], f"{odd}: the schema is named for its command, in CamelCase (or listed in SHARED_WORDS)."


def test_every_command_says_what_it_does_and_for_which_purpose() -> None:
    silent = sorted(what.name for what in COMMANDS.values() if not (what.act.__doc__ or "").strip())
    assert silent == [], f"{silent}: the docstring is what the log's inventory and the API say of it."
    odd = sorted(what.name for what in COMMANDS.values() if what.purpose not in PURPOSES)
    assert odd == [], f"{odd}: purpose is one of {sorted(PURPOSES)}."


def test_what_two_people_may_edit_has_a_version() -> None:
    kept = {"version", "edits"}
    odd = sorted(
        what.name for what in COMMANDS.values() if what.edits and not kept <= set(table_of(what.on).columns.keys())
    )
    assert odd == [], (
        f"{odd} edits a row without `version` and `edits`: nobody would notice that it overwrote somebody."
    )


def test_a_grant_is_made_of_pure_predicates_of_a_policy() -> None:
    odd = []
    for what in COMMANDS.values():
        for may in (may for clause in what.allow for may in clause):
            parameters = list(inspect.signature(may).parameters)
            if not may.__module__.endswith(".policy") or len(parameters) != 2:
                odd.append(f"{what.name}: {may.__module__}.{may.__name__}")
    assert odd == [], f"{odd}: who may stands in a room's policy.py, as a predicate (actor, thing) -> bool."


def test_sight_is_a_query_of_a_room() -> None:
    odd = [what.name for what in COMMANDS.values() if not str(what.within.__module__).endswith(".queries")]
    assert odd == [], f"{odd}: `within` names a function of a room's queries.py."


# --- columns ----------------------------------------------------------------------------------------------------------


def test_every_column_says_what_it_is() -> None:
    odd = [
        f"{model.__name__}.{column.key}"
        for model in models()
        for column in table_of(model).columns
        if column.info.get("class") not in {"public", "personal", "restricted"}
    ]
    assert odd == [], f"{odd}: declare it by public(), personal() or sealed()."


def test_what_is_about_a_participant_names_its_category() -> None:
    odd = []
    for model in models():
        if model.__participant__ is None:
            continue
        for column in table_of(model).columns:
            classed, category = column.info.get("class"), column.info.get("category")
            if category is not None and category not in CATEGORIES:
                odd.append(f"{model.__name__}.{column.key} ({category})")
            if classed == "personal" and category is None and f"{model.__name__}.{column.key}" not in ABOUT_STAFF:
                odd.append(f"{model.__name__}.{column.key}")
            if classed == "restricted" and category is None and model.__row_category__ is None:
                odd.append(f"{model.__name__}.{column.key}")
    assert odd == [], f"{odd}: say category=… (C8), or give the class __row_category__ when each row has its own."


def test_a_row_about_a_participant_says_who_recorded_it() -> None:
    odd = [
        model.__name__
        for model in models()
        if model.__participant__ is not None and model.__audited__ and model.__recorder__ is None
    ]
    assert odd == [], f"{odd}: name __recorder__, the attribute with the organization that recorded the row (C3)."


def test_declared_attributes_exist() -> None:
    odd = []
    for model in models():
        mapper: Mapper[Any] = model.__mapper__
        named = [model.__participant__, model.__recorder__, model.__row_category__, *model.__recorders__.values()]
        odd += [f"{model.__name__}.{name}" for name in named if name is not None and not hasattr(model, name)]
        odd += [f"{model.__name__}.{name}" for name in model.__recorders__ if not hasattr(model, name)]
        odd += [f"{model.__name__}.{name}" for name in model.__shows__ if not hasattr(model, name)]
        odd += [
            f"{model.__name__}: {c}"
            for c in model.__shows__.values()
            if c is not None and c not in (*CATEGORIES, "row")
        ]
        assert mapper is not None
    assert odd == [], f"{odd}: the name or category does not exist."


def test_restricted_means_sealed() -> None:
    names = {model.__name__ for model in models()}
    faults = [fault for fault in crypto.column_faults(Base) if any(name in fault.remedy for name in names)]
    assert faults == []
    odd = [
        f"{model.__name__}.{column.key}"
        for model in models()
        for column in table_of(model).columns
        if column.info.get("class") == "restricted" and not isinstance(column.type, LargeBinary)
    ]
    assert odd == [], f"{odd}: restricted columns are declared by sealed()."


def test_small_sets_of_sealed_values_are_padded() -> None:
    """encryption: padding is required where the set of values is small."""
    odd = [
        f"{card.table}.{card.column}"
        for card in crypto.classified(Base)
        if card.table in Base.metadata.tables
        and card.classed == "restricted"
        and not card.padded
        and (card.column.endswith(("_code", "_kind", "language", "sex", "race")) or card.kind == "boolean")
    ]
    assert odd == [], f"{odd}: add padded=True, or its length tells the value."


def test_tables_outside_the_audit_rule_are_listed_with_their_reason() -> None:
    found = {table_of(model).name for model in models() if not model.__audited__}
    odd = sorted(found ^ set(UNAUDITED))
    assert odd == [], f"{odd}: make it Identified and audited, or list it in UNAUDITED with its reason (and no other)."
    assert not [model.__name__ for model in models() if model.__audited__ and not issubclass(model, Identified)]


def test_tables_are_singular_and_in_snake_case() -> None:
    odd = [name for name in Base.metadata.tables if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)]
    odd += [name for name in Base.metadata.tables if name.endswith("s") and name != "seen"]
    assert odd == [], f"{odd}: tables are named in the singular, from the glossary."


def test_instants_actors_and_days_are_named_as_such() -> None:
    odd = []
    for model in models():
        for column in table_of(model).columns:
            kind = type(column.type).__name__
            name = column.key
            if kind == "Instant" and name != "at" and not name.endswith(("_at", "_until", "_after")):
                odd.append(f"{model.__name__}.{name}: an instant ends in _at")
            if kind == "Date" and not name.endswith(("_on", "as_of", "no_later_than")):
                odd.append(f"{model.__name__}.{name}: a day ends in _on")
            if kind == "DateTime":
                odd.append(f"{model.__name__}.{name}: use Mapped[datetime], which is an Instant")
    assert odd == []


def test_the_worker_knows_every_job_that_a_room_declares() -> None:
    generate.join_rooms()
    declared = {name for name, doing in KINDS.items() if doing.__module__.startswith("referrals.")}
    asked = "import referrals.cli; from referrals.kernel.job import KINDS; print(*KINDS)"
    said = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, check=True, capture_output=True, text=True)
    unknown = declared - set(said.stdout.split())
    assert unknown == set(), f"{unknown}: name it in JOBS of app.py, where no door joins its room."


# --- relations --------------------------------------------------------------------------------------------------------


def test_relationships_are_for_reading_only_and_never_load_by_accident() -> None:
    odd = [
        f"{model.__name__}.{one.key}"
        for model in models()
        for one in model.__mapper__.relationships
        if not one.viewonly or one.lazy != "raise"
    ]
    assert odd == [], f"{odd}: declare it by related(); load it with selectinload in visible_to."


def _floor_of(model: type[Base]) -> int:
    room = model.__module__.split(".")[1]
    return -1 if room == "kernel" else factory.ROOMS.index(room)


def test_foreign_keys_point_downstairs() -> None:
    floors = {table_of(model).name: _floor_of(model) for model in models()}
    odd = []
    for model in models():
        for key in table_of(model).foreign_keys:
            there = key.column.table.name
            if floors[there] > _floor_of(model):
                odd.append(f"{model.__name__} -> {there}")
            assert key.ondelete is None, f"{model.__name__} -> {there}: nothing is deleted, so nothing cascades."
    assert odd == [], f"{odd}: keep a plain id of what lives upstairs."


# --- errors -----------------------------------------------------------------------------------------------------------


def refusals(kind: type[RefusedError] = RefusedError) -> Iterator[type[RefusedError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("referrals."):
            yield one
        yield from refusals(one)


def test_refusals_are_named_errors_with_one_stable_code_each() -> None:
    odd = [one.__name__ for one in refusals() if not one.__name__.endswith("Error")]
    assert odd == [], f"{odd}: the class ends in Error."
    odd = [f"{one.__name__}: {one.code}" for one in refusals() if not re.fullmatch(r"[a-z][a-z0-9_]*", one.code)]
    assert odd == [], f"{odd}: a code is snake_case."
    by_code: dict[str, set[str]] = {}
    for one in refusals():
        if "code" in vars(one):
            by_code.setdefault(one.code, set()).add(one.__name__)
    by_code["not_permitted"].discard("NotAPartyError")  # the same refusal, where a model has to say it
    shared = {code: names for code, names in by_code.items() if len(names) > 1}
    assert shared == {}, f"{shared}: one code for one rule."
    odd = [one.__name__ for one in refusals() if not 400 <= one.status < 600]
    assert odd == []


# --- cryptography -----------------------------------------------------------------------------------------------------


def test_every_use_of_cryptography_is_declared() -> None:
    odd = sorted(set(generate.cryptography_used()) - set(generate.DECLARED))
    assert odd == [], f"{odd}: declare it in DECLARED of tools/generate.py (what for, which algorithm, which key)."
    gone = sorted(set(generate.DECLARED) - set(generate.cryptography_used()))
    assert gone == [], f"{gone}: no longer uses any; take it out of DECLARED."


def test_nothing_that_only_looks_random_or_is_outdated_is_used() -> None:
    wrong = re.compile(
        r"\b(Fernet|MD5|md5|sha1|DES|ECB|CBC|random\.(random|choice|randint)|pickle\.loads|yaml\.load)\b"
    )
    odd = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for package in ("audit", "referrals")
        for path in (ROOT / package).rglob("*.py")
        for found in wrong.finditer(path.read_text(encoding="utf-8"))
    ]
    assert odd == [], f"{odd}: see docs/crypto-inventory.md for what is used instead."
