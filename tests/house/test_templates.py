"""What every template keeps to: it parses, macros exist and get what they take, nothing is inline, it holds no rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes
from jinja2.ext import babel_extract

from referrals.kernel.actor import Role

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
PAGES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))
NOT_SHARED = object()

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_POST_FORM = re.compile(r"<form\b[^>]*\bmethod=[\"']post[\"'].*?</form>", re.DOTALL | re.IGNORECASE)
_INLINE = {
    "style attribute": re.compile(r"<[^>]*\sstyle\s*=", re.IGNORECASE),
    "on… attribute": re.compile(r"<[^>]*\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "style element": re.compile(r"<style\b", re.IGNORECASE),
    "inline script": re.compile(r"<script\b(?![^>]*\ssrc=)", re.IGNORECASE),
    "javascript: address": re.compile(r"javascript:", re.IGNORECASE),
}


def source(page: str) -> str:
    """A template without its comments."""
    return _COMMENT.sub("", (TEMPLATES / page).read_text(encoding="utf-8"))


def markup(page: str) -> str:
    """A template's own HTML: what Jinja puts in is replaced by one letter, so that tags keep their shape."""
    return _JINJA.sub("x", source(page))


@pytest.fixture(scope="module")
def environment() -> Environment:
    """Jinja as the door sets it up, as far as templates may rely on it."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_callables(str, lambda one, many, number: one if number == 1 else many, newstyle=True)  # type: ignore[attr-defined]
    made.globals["url_for"] = lambda endpoint, **values: f"/{endpoint}/{values.get('filename', '')}"
    made.filters["in_zone"] = lambda instant, zone: f"{instant:%Y-%m-%d %H:%M} {zone}"
    made.filters["dateformat"] = lambda day, _format: f"{day:%B} {day.day}, {day.year}"
    made.tests["not_shared"] = lambda value: value is NOT_SHARED
    return made


@pytest.fixture
def render(environment: Environment) -> Callable[..., str]:
    def rendered(text: str, **context: object) -> str:
        return environment.from_string(text).render(**context)

    return rendered


@dataclass
class Form:
    """What the door gives a template, no more."""

    values: dict[str, object] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    csrf_token: str = "the-token"
    key: str | None = None
    version: str | None = None
    multipart: bool = False


# --- the rules, on every template -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signature:
    """What a macro takes."""

    names: tuple[str, ...]
    required: int


def macros(environment: Environment, page: str) -> dict[str, Signature]:
    tree = environment.parse((TEMPLATES / page).read_text(encoding="utf-8"))
    return {
        macro.name: Signature(tuple(a.name for a in macro.args), len(macro.args) - len(macro.defaults))
        for macro in tree.find_all(nodes.Macro)
    }


def imported(environment: Environment, tree: nodes.Template) -> Iterator[tuple[str, str, str, Signature | None]]:
    """Each macro a template imports: the name it uses, the file, the macro, its signature."""
    for statement in tree.find_all(nodes.FromImport):
        assert isinstance(statement.template, nodes.Const)
        page = statement.template.value
        known = macros(environment, page) if (TEMPLATES / page).is_file() else {}
        for name in statement.names:
            macro, alias = name if isinstance(name, tuple) else (name, name)
            yield alias, page, macro, known.get(macro)


def misfits(call: nodes.Call, taken: Signature) -> str | None:
    """What is wrong with a call of a macro, if anything."""
    if call.dyn_args is not None or call.dyn_kwargs is not None:
        return None
    given = [keyword.key for keyword in call.kwargs]
    unknown = sorted(set(given) - set(taken.names) - {"caller"})
    if unknown:
        return f"takes no {', '.join(unknown)}"
    if len(call.args) > len(taken.names):
        return f"takes {len(taken.names)} arguments"
    lacking = [name for name in taken.names[len(call.args) : taken.required] if name not in given]
    return f"needs {', '.join(lacking)}" if lacking else None


@pytest.mark.parametrize("page", PAGES)
def test_every_template_parses(environment: Environment, page: str) -> None:
    environment.parse((TEMPLATES / page).read_text(encoding="utf-8"), filename=page)


@pytest.mark.parametrize("page", PAGES)
def test_every_template_names_only_templates_that_exist(environment: Environment, page: str) -> None:
    tree = environment.parse((TEMPLATES / page).read_text(encoding="utf-8"))
    named = [
        node.template.value
        for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport))
        if isinstance(node.template, nodes.Const)
    ]
    assert [name for name in named if not (TEMPLATES / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_imported_macro_exists_and_gets_what_it_takes(environment: Environment, page: str) -> None:
    tree = environment.parse((TEMPLATES / page).read_text(encoding="utf-8"))
    known = {alias: (file, macro, signature) for alias, file, macro, signature in imported(environment, tree)}
    said = [f"{file} has no macro {macro}" for file, macro, signature in known.values() if signature is None]
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in known:
            file, macro, signature = known[call.node.name]
            wrong = misfits(call, signature) if signature else None
            if wrong:
                said.append(f"line {call.lineno}: {macro} ({file}) {wrong}")
    assert said == []


@pytest.mark.parametrize("page", PAGES)
def test_s401_nothing_is_inline(page: str) -> None:
    found = [what for what, pattern in _INLINE.items() if pattern.search(markup(page))]
    assert found == [], "classes for looks, data- attributes for scripts, files for both"


@pytest.mark.parametrize("page", PAGES)
def test_s303_nothing_leaves_autoescape(environment: Environment, page: str) -> None:
    tree = environment.parse((TEMPLATES / page).read_text(encoding="utf-8"))
    assert [node.lineno for node in tree.find_all(nodes.Filter) if node.name == "safe"] == []
    assert not list(tree.find_all((nodes.MarkSafe, nodes.ScopedEvalContextModifier)))


@pytest.mark.parametrize("page", PAGES)
def test_no_template_asks_for_a_role(environment: Environment, page: str) -> None:
    tree = environment.parse((TEMPLATES / page).read_text(encoding="utf-8"))
    roles = {role.value for role in Role}
    literal = [node.value for node in tree.find_all(nodes.Const) if node.value in roles]
    asked = [node.attr for node in tree.find_all(nodes.Getattr) if node.attr in {"roles", "works_as"}]
    assert literal + asked == [], "let the door pass what may be done (a policy's answer), not who somebody is"
    assert not re.search(r"case_manager|supervising_officer", source(page))


@pytest.mark.parametrize("page", PAGES)
def test_s302_every_post_form_carries_the_token(page: str) -> None:
    for form in _POST_FORM.findall(source(page)):
        token = "hidden_inputs(" in form or (page == "base.html" and 'name="csrf_token"' in form)
        assert token, "use form_tag, post_button or hidden_inputs of components/form.html"


@pytest.mark.parametrize("page", PAGES)
def test_no_form_posts_by_script_or_elsewhere(page: str) -> None:
    assert not re.search(r"<form\b[^>]*\baction=[\"'](?:https?:)?//", markup(page), re.IGNORECASE)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "kernel/components.html"])
def test_every_text_goes_through_gettext(page: str) -> None:
    """Letters left between tags once Jinja is taken out are words nobody can translate; the product's name is none."""
    left = re.sub(r"<(script|svg)\b.*?</\1>", " ", _JINJA.sub(" ", source(page)), flags=re.DOTALL)
    left = re.sub(r"<!--.*?-->|<[^>]*>", " ", left, flags=re.DOTALL)
    left = re.sub(r"&[a-z]+;", " ", left)
    words = [word for word in re.findall(r"[A-Za-z]{2,}", left) if word != "Throughgate"]
    assert words == []


@pytest.mark.parametrize("page", PAGES)
def test_every_message_can_be_extracted(page: str) -> None:
    """A message made of pieces ("_(a ~ b)") never reaches a translator."""
    with (TEMPLATES / page).open("rb") as file:
        found = list(babel_extract(file, ["_", "gettext", "ngettext"], [], {"silent": "false"}))
    calls = len(re.findall(r"(?<![\w.])(?:_|n?gettext)\(\s*[\"']", source(page)))
    assert len(found) >= calls
    assert not re.search(r"(?<![\w.])(?:_|gettext)\(\s*[^\"'\s)]", source(page)), "give gettext a literal sentence"


# --- the components, bad path first ---------------------------------------------------------------------------------

FIELD = '{% from "components/field.html" import field %}'


def test_what_was_typed_is_kept_and_escaped(render: Callable[..., str]) -> None:
    form = Form(values={"name": '"><script>alert(1)</script>'}, errors={"name": ["Use letters."]})
    html = render(FIELD + "{{ field(form, 'name', 'Name', hint='As on the ID.') }}", form=form)
    assert "<script>" not in html
    assert 'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in html
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="name-hint name-error"' in html


def test_a_password_is_never_sent_back(render: Callable[..., str]) -> None:
    html = render(
        FIELD + "{{ field(form, 'password', 'Password', kind='password') }}", form=Form({"password": "s3cret"})
    )
    assert "s3cret" not in html


def test_a_textarea_keeps_a_first_empty_line(render: Callable[..., str]) -> None:
    html = render(FIELD + "{{ field(form, 'note', 'Note', kind='textarea') }}", form=Form({"note": "\nsecond"}))
    assert ">\n\nsecond</textarea>" in html  # HTML drops the first line break after the tag


def test_every_kind_gives_its_first_control_the_id_that_the_summary_links_to(render: Callable[..., str]) -> None:
    choices = ["select", "radios", "checkboxes", "checkbox"]
    for kind in ["text", "email", "password", "number", "textarea", "date", "file", *choices]:
        form = Form(errors={"thing": ["Put this right."]})
        text = FIELD + "{{ field(form, 'thing', 'Thing', kind=kind, options=[('a', 'A'), ('b', 'B')]) }}"
        html = render(text, form=form, kind=kind)
        assert len(re.findall(r'<(?:input|select|textarea)\b[^>]*\sid="thing"', html)) == 1, kind
        ids = re.findall(r'\sid="([^"]+)"', html)
        assert len(ids) == len(set(ids)), kind
        assert 'id="thing-error"' in html, kind


def test_no_filter_has_to_be_set_and_none_is_called_optional(render: Callable[..., str]) -> None:
    for kind in ("text", "select"):
        html = render(FIELD + "{{ field(form, 'thing', 'Thing', kind=kind, required=None) }}", form=Form(), kind=kind)
        assert " required" not in html
        assert "optional" not in html
    text = '{% from "components/filters.html" import filters %}{% call filters("/list") %}{% endcall %}'
    assert re.search(r"<form id=\"filters\"[^>]* novalidate>", render(text, form=Form()))


def test_the_hint_of_a_box_stands_under_the_words_beside_it_and_is_read_with_it(render: Callable[..., str]) -> None:
    text = FIELD + "{{ field(form, 'thing', 'Thing', kind='checkbox', hint='What it does.') }}"
    html = render(text, form=Form(errors={"thing": ["Put this right."]}))
    order = [html.index(one) for one in ('id="thing-error"', "<input", "</label>", 'id="thing-hint"')]
    assert order == sorted(order)
    assert 'aria-describedby="thing-hint thing-error"' in html


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"born": "1990-02-03"}, ("2", "03", "1990")),
        ({"born-month": "2", "born-day": "31", "born-year": "90"}, ("2", "31", "90")),
        ({"born": "next week"}, (None, "", "")),
        ({}, (None, "", "")),
    ],
)
def test_a_date_shows_what_was_stored_or_typed(
    render: Callable[..., str], values: dict[str, object], expected: tuple[str | None, str, str]
) -> None:
    html = render(FIELD + "{{ field(form, 'born', 'Birth date', kind='date') }}", form=Form(values))
    month = re.search(r'<option value="(\d+)" selected>', html)
    day = re.search(r'name="born-day"[^>]*value="([^"]*)"', html)
    year = re.search(r'name="born-year"[^>]*value="([^"]*)"', html)
    assert day
    assert year
    assert (month and month[1], day[1], year[1]) == expected


def test_choices_are_kept_by_value_whatever_their_type(render: Callable[..., str]) -> None:
    text = FIELD + "{{ field(form, 'x', 'X', kind=kind, options=[(1, 'One'), (11, 'Eleven')]) }}"
    for kind, kept in [("radios", "1"), ("radios", 1), ("checkboxes", ["1"]), ("select", 1)]:
        html = render(text, form=Form({"x": kept}), kind=kind)
        assert len(re.findall(r"\s(?:checked|selected)[ >]", html)) == 1, (kind, kept)


def test_the_summary_links_each_fault_and_takes_the_focus(render: Callable[..., str]) -> None:
    text = '{% from "components/error_summary.html" import error_summary %}{{ error_summary(form) }}'
    assert render(text, form=Form()).strip() == ""
    html = render(text, form=Form(errors={"name": ["Too long."], "_schema": ["Someone was faster."]}))
    assert '<a href="#name">Too long.</a>' in html
    assert "<li>Someone was faster.</li>" in html
    assert 'role="alert" tabindex="-1" autofocus' in html


def test_hidden_fields_come_only_when_they_have_something_to_say(render: Callable[..., str]) -> None:
    text = '{% from "components/form.html" import form_tag %}{% call form_tag(form) %}x{% endcall %}'
    bare = render(text, form=Form())
    assert 'name="csrf_token" value="the-token"' in bare
    assert "idempotency_key" not in bare
    assert 'name="version"' not in bare
    assert "enctype" not in bare
    full = render(text, form=Form(key="0198", version="7", multipart=True))
    assert 'name="idempotency_key" value="0198"' in full
    assert 'name="version" value="7"' in full
    assert 'enctype="multipart/form-data"' in full


def test_shown_never_says_whether_there_is_something_behind_what_is_not_shared(render: Callable[..., str]) -> None:
    text = '{% from "components/shown.html" import shown %}{{ shown(value) }}'
    assert "Not shared" in render(text, value=NOT_SHARED)
    for nothing in (None, "", [], ()):
        assert "Not recorded" in render(text, value=nothing)
    assert render(text, value=0) == "0"
    assert render(text, value=False) == "No"
    assert render(text, value=["a", "<b>"]) == "a, &lt;b&gt;"


def test_an_act_page_says_error_first_and_keeps_its_blocks(render: Callable[..., str]) -> None:
    page = (
        '{% extends "act.html" %}{% set title = "Accept" %}{% set submit_label = "Accept referral" %}'
        "{% block fields %}the fields{% endblock %}"
    )
    html = render(page, form=Form(errors={"x": ["No."]}), cancel_url="/home")
    assert "<title>Error: Accept \N{EN DASH} Throughgate</title>" in html
    assert html.index('id="error-summary"') < html.index("<h1")
    assert html.index("<form") < html.index("the fields") < html.index("Accept referral") < html.index('href="/home"')
    assert "<title>Accept \N{EN DASH} Throughgate</title>" in render(page, form=Form())


def test_a_confirmation_asks_its_questions_between_what_will_happen_and_the_button(render: Callable[..., str]) -> None:
    text = '{% from "components/confirm.html" import confirm %}'
    bare = render(text + "{{ confirm(form, 'Withdraw consent', ['It ends now.']) }}", form=Form())
    assert bare.index("It ends now.") < bare.index("Withdraw consent")
    asked = render(
        text + "{% call confirm(form, 'Withdraw', ['It ends.'], cancel_url='/x') %}why{% endcall %}", form=Form()
    )
    assert asked.index("It ends.") < asked.index("the-token") < asked.index("why") < asked.index("<button")


def test_a_problem_page_needs_no_one_signed_in(environment: Environment) -> None:
    html = environment.get_template("errors/problem.html").render(
        title="We could not find that page", status=404, code="not_found", request_id="0198"
    )
    assert "Sign out" not in html
    assert "not_found" in html
    assert len(re.findall(r"<h1\b", html)) == 1


def test_the_frame_shows_who_is_signed_in_and_posts_the_sign_out(environment: Environment) -> None:
    html = environment.get_template("errors/problem.html").render(
        title="No",
        status=403,
        code="not_permitted",
        csrf_token=lambda: "a&b",
        viewer=SimpleNamespace(name="<Ana>", organization="Northside"),
        nav=[{"url": "/home", "label": "Home", "current": True}],
    )
    assert '<form method="post" action="/sign-out">' in html
    assert 'value="a&amp;b"' in html
    assert "&lt;Ana&gt;" in html
    assert '<a href="/home" aria-current="page">Home</a>' in html


def test_every_component_renders_in_every_state(environment: Environment) -> None:
    html = environment.get_template("kernel/components.html").render(
        sample_instant=datetime(2026, 11, 22, 23, 4, tzinfo=UTC),
        sample_day=date(2027, 1, 3),
        sample_not_shared=NOT_SHARED,
    )
    assert 'datetime="2026-11-22T23:04:00+00:00"' in html
    assert "January 3, 2027" in html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert sorted(one for one in set(ids) if ids.count(one) > 1) == []
