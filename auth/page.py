"""The pages around signing in: sign in, set a new password, sign out. Plain HTML forms: they work before and
without any script.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, make_response, redirect, render_template_string, request
from werkzeug.wrappers import Response as AnyResponse

from auth import signin, tokens
from auth.roles import PERSON, actor, check, principal
from errors import DlvError, Forbidden
from store.record import Record

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }} · DLV</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="/_favicon.ico"><link rel="stylesheet" href="/assets/sign-in.css"></head>
<body class="sign-in"><main>
<p class="mark" aria-hidden="true"><svg width="34" height="34" viewBox="0 0 34 34" fill="none"><path d="M8 9h7a4 4 0 0 1 4 4v8a4 4 0 0 0 4 4h3M8 25h7a4 4 0 0 0 4-4" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/><circle cx="7" cy="9" r="3.4" fill="currentColor"/><circle cx="7" cy="25" r="3.4" fill="currentColor"/><circle cx="27" cy="25" r="3.4" fill="currentColor"/></svg></p>
<h1>{{ title }}</h1>{% if lead %}<p class="quiet">{{ lead }}</p>{% endif %}
{% if error %}<p class="error" role="alert" id="error">{{ error }}{% if hint %} <span>{{ hint }}</span>{% endif %}</p>{% endif %}
<form method="post" action="{{ action }}">
{% if csrf %}<input type="hidden" name="csrf_token" value="{{ csrf }}">{% endif %}
<input type="hidden" name="next" value="{{ next }}">
{% if account %}<input type="text" name="username" value="{{ account }}" autocomplete="username" readonly hidden>{% endif %}
{% for f in fields %}<label for="{{ f.id }}">{{ f.label }}</label>
<input id="{{ f.id }}" name="{{ f.id }}" type="{{ f.type }}" autocomplete="{{ f.autocomplete }}" value="{{ f.value or '' }}" maxlength="200" required autocapitalize="none" spellcheck="false"{% if f.focus %} autofocus{% endif %}{% if error %} aria-describedby="error"{% endif %}>
{% endfor %}<button type="submit">{{ button }}</button></form>
{% if back %}<p><a href="{{ back }}">{{ back_text }}</a></p>{% endif %}
</main></body></html>"""


def install(server: Flask, record: Record) -> None:
    def sign_in() -> AnyResponse | tuple[str, int]:
        onward = safe_next(request.values.get("next", ""))
        if request.method != "POST":
            return _no_store(_sign_in_form(onward))
        same_origin()
        username = request.form.get("username", "")
        try:
            signed = signin.sign_in(
                record,
                username,
                request.form.get("password", ""),
                "page",
                g.remote_addr,
                request.headers.get("User-Agent", ""),
            )
        except DlvError as e:
            if e.status not in (401, 429, 503):
                raise
            response = _no_store(_sign_in_form(onward, username, e), e.status)
            if e.status != 401:
                response.headers["Retry-After"] = str(getattr(e, "retry_after", 5))
            return response
        response = make_response(
            redirect(f"/password?next={onward}" if signed.must_change else onward, code=303)
        )
        tokens.set_page_cookies(response, signed.user_id, signed.session_id, signed.expires_at)
        return _private(response)

    def password() -> AnyResponse | tuple[str, int]:
        who = check(PERSON, principal())
        onward = safe_next(request.values.get("next", ""))
        if request.method != "POST":
            return _no_store(_password_form(onward, who.name, who.must_change))
        try:
            if request.form.get("new_password", "") != request.form.get("again", ""):
                raise DlvError("the two new passwords differ", field="again")
            signin.change_password(
                record,
                actor(),
                who.id,
                who.name,
                request.form.get("current_password", ""),
                request.form.get("new_password", ""),
                who.session_id,
            )
        except DlvError as e:
            status = 422 if e.status == 500 else e.status
            return _no_store(_password_form(onward, who.name, who.must_change, e), status)
        return _private(make_response(redirect(onward, code=303)))

    def sign_out() -> AnyResponse:
        who = check(PERSON, principal())
        if request.method != "POST":
            return _no_store(
                _form(
                    "Sign out",
                    "/sign-out",
                    "/",
                    [],
                    "Sign out",
                    lead=f"Signed in as {who.name}.",
                    back="/",
                    back_text="Stay",
                )
            )
        if who.session_id:
            signin.sign_out(record, actor(), who.session_id)
        response = make_response(redirect("/sign-in", code=303))
        tokens.clear_page_cookies(response)
        return _private(response)

    server.add_url_rule("/sign-in", "sign_in", sign_in, methods=["GET", "POST"])
    server.add_url_rule("/password", "password", password, methods=["GET", "POST"])
    server.add_url_rule("/sign-out", "sign_out", sign_out, methods=["GET", "POST"])


def safe_next(where: str) -> str:
    """A path on this server, or ``/``: nobody is sent elsewhere after signing in."""
    if not where.startswith("/") or where[1:2] in ("/", "\\") or any(ord(c) < 33 or c == "\\" for c in where):
        return "/"
    parts = urlsplit(where)
    if parts.scheme or parts.netloc or parts.path in ("/sign-in", "/sign-out", "/password"):
        return "/"
    return where


def same_origin() -> None:
    """Refuse a form that another site sent (nobody is signed in yet, so there is no CSRF token to compare)."""
    origin = request.headers.get("Origin")
    other_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
    if other_site or (origin and origin != "null" and urlsplit(origin).netloc != request.host):
        raise Forbidden("this form came from another site", hint="open DLV's own sign-in page")


def _sign_in_form(onward: str, username: str = "", error: DlvError | None = None) -> str:
    fields: list[dict[str, object]] = [
        {
            "id": "username",
            "label": "Username",
            "type": "text",
            "autocomplete": "username",
            "value": username,
            "focus": not username,
        },
        {
            "id": "password",
            "label": "Password",
            "type": "password",
            "autocomplete": "current-password",
            "focus": bool(username),
        },
    ]
    return _form(
        "Sign in to DLV",
        "/sign-in",
        onward,
        fields,
        "Sign in",
        error=error,
        lead="Data lineage and pipeline health",
    )


def _password_form(onward: str, account: str, must: bool, error: DlvError | None = None) -> str:
    fields: list[dict[str, object]] = [
        {
            "id": "current_password",
            "label": "Current password",
            "type": "password",
            "autocomplete": "current-password",
            "focus": True,
        },
        {"id": "new_password", "label": "New password", "type": "password", "autocomplete": "new-password"},
        {"id": "again", "label": "New password again", "type": "password", "autocomplete": "new-password"},
    ]
    lead = "You signed in with a one-time password. Choose your own now." if must else ""
    back = "/sign-out" if must else onward
    return _form(
        "Set a new password",
        "/password",
        onward,
        fields,
        "Save password",
        error=error,
        lead=lead,
        back=back,
        back_text="Sign out" if must else "Back",
        account=account,  # or a password manager does not know whose new password it is
    )


def _form(
    title: str,
    action: str,
    onward: str,
    fields: list[dict[str, object]],
    button: str,
    *,
    error: DlvError | None = None,
    lead: str = "",
    back: str = "",
    back_text: str = "",
    account: str = "",
) -> str:
    csrf = request.cookies.get(tokens.CSRF_COOKIE, "") if action != "/sign-in" else ""
    return render_template_string(
        _FRAME,
        title=title,
        action=action,
        next=onward,
        fields=fields,
        button=button,
        lead=lead,
        csrf=csrf,
        back=back,
        back_text=back_text,
        account=account,
        error=error.message[:1].upper() + error.message[1:] if error else "",
        hint=(error.hint or "") if error else "",
    )


def _no_store(text: str, status: int = 200) -> Response:
    return _private(current_app.make_response((text, status)))


def _private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
