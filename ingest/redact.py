"""Only metadata is kept: data, credentials and code are taken out of an event before anything is stored.

- SQL keeps its shape and its names; each literal becomes ``?`` and comments go. sqlglot's tokenizer finds the
  literals (0.1 ms), not a parse (1 ms). What it cannot tokenize is cut by quotes, rather too much than too little.
- Credentials go wherever they stand: URLs, JDBC strings, key=value pairs, headers, well-known token shapes.
- Error texts and stack traces lose what they quote from rows; names of tables and columns stay readable.
- Code that is not SQL, query plans, environment variables and most properties go.

What stays as it was sent: names and namespaces (but for credentials in URLs), columns and their types, run ids,
times, counts. Pure and idempotent: redacting twice is redacting once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from ingest.naming import system_of
from ingest.sql import dialect_of

GONE = "?"
#: stands in a facet of source code for the code, so that the facet still says that there was some
CODE_GONE = "[not kept]"
#: deeper than any real event; what lies below is dropped
DEEPEST = 100

# ---------------------------------------------------------------- SQL

_LITERALS = {
    TokenType.STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.HEX_STRING,
    TokenType.BIT_STRING,
    TokenType.BYTE_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.UNICODE_STRING,
}
#: ``date '2026-01-01'`` becomes ``?`` whole: ``date ?`` does not parse
_TYPED = {TokenType.DATE, TokenType.TIMESTAMP, TokenType.TIMESTAMPTZ, TokenType.TIME, TokenType.DATETIME}
#: a double-quoted word after one of these compares or fills: where the dialect is unknown it may be a value
_BEFORE_VALUE = {
    TokenType.EQ,
    TokenType.NEQ,
    TokenType.LT,
    TokenType.GT,
    TokenType.LTE,
    TokenType.GTE,
    TokenType.LIKE,
    TokenType.ILIKE,
    TokenType.BETWEEN,
    TokenType.RLIKE,
}
_ORDINALS = {TokenType.GROUP_BY, TokenType.ORDER_BY}
_BETWEEN_ORDINALS = {TokenType.COMMA, TokenType.NUMBER, TokenType.ASC, TokenType.DESC, TokenType.PLACEHOLDER}
_GLUE = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.DOT, TokenType.DASH}
_MAYBE_DATA = {*_LITERALS, TokenType.NUMBER, TokenType.IDENTIFIER}
_SQL_HAS_DATA = re.compile(r"['\"$#]|--|/\*|\d|://")
_SCALE = re.compile(r"^\s*\(\s*\d+\s*(?:,\s*\d+\s*)?\)")
_TYPE_WORDS = re.compile(
    r"(?i)\b(?:n?var)?char(?:acter)?(?:\s+varying)?\s*$|\bvarchar2\s*$|\bstring\s*$|\b(?:decimal|numeric|number|float|"
    r"bit|binary|varbinary|timestamp(?:tz|_ntz|_ltz)?|datetime2?|time|fixedstring|decimal(?:32|64|128))\s*$"
)
_WORD = re.compile(r"^[A-Za-z_][\w$ .-]*$")


_COPIED = re.compile(r"(?is)(\bfrom\s+stdin\b[^;]*;[ \t]*\n).*?^\\\.[ \t]*$", re.M)


def redact_sql(query: str, dialect: str | None = None) -> str:
    """SQL with ``?`` for each literal and without comments. ``dialect``: sqlglot's, or a system's name."""
    if "\\." in query:
        query = _COPIED.sub(r"\1", query)  # rows in a dump
    if not _SQL_HAS_DATA.search(query):
        return query
    if len(query) > 20_000:
        return _still_sql(query, dialect)
    return _cached_sql(query, dialect)


@lru_cache(maxsize=2048)
def _cached_sql(query: str, dialect: str | None) -> str:
    return _still_sql(query, dialect)


def _still_sql(query: str, dialect: str | None) -> str:
    """What a credential leaves behind may read as SQL of another shape: then it is read again."""
    done = _redact_sql(query, dialect)
    return _stable(lambda text: _redact_sql(text, dialect), done) if "=?" in done else done


_DOLLAR_QUOTE = re.compile(r"\$\w*\$")
_LOOSE_NUMBER = re.compile(r"(?<![A-Za-z_\d])\d")
_AGAIN = ("'", "$", "#", "--", "/*", "://")


def _redact_sql(query: str, dialect: str | None) -> str:
    done = query
    for _ in range(4):  # until nothing changes: a tokenizer may read its own result differently
        before = done
        known = dialect_of(dialect) or ("postgres" if _DOLLAR_QUOTE.search(before) else None)
        tokens = _tokens(before, known)
        done = _credentials(
            _by_quotes(before, known) if tokens is None else _by_tokens(before, tokens, known)
        )
        sure = tokens is not None and not (known is None and '"' in done)
        if done == before or (sure and not _LOOSE_NUMBER.search(done) and not any(m in done for m in _AGAIN)):
            return done if known == dialect_of(dialect) or done == before else _redact_sql(done, dialect)
    return _credentials(_by_quotes(done, dialect_of(dialect)))


def _tokens(query: str, dialect: str | None) -> list[Token] | None:
    """The tokens in order; None where the text cannot be told apart with certainty."""
    if "\\'" in query or '\\"' in query:
        return None  # whether a backslash escapes depends on settings: both readings are taken out
    try:
        tokens: list[Token] = Dialect.get_or_raise(dialect).tokenize(query)
    except (SqlglotError, ValueError, IndexError, TypeError, RecursionError):
        return None
    return tokens


def _by_tokens(query: str, tokens: list[Token], dialect: str | None) -> str:
    has_comments = "--" in query or "/*" in query or "#" in query or "//" in query
    out: list[str] = []
    at = 0  # up to here the query is in ``out``
    last = 0  # end of the token before
    for i, token in enumerate(tokens):
        kind = token.token_type
        if has_comments:
            gap = query[last : token.start]
            if gap and not gap.isspace():
                out.append(query[at:last] + " ")
                at = token.start
            last = token.end + 1
        if kind not in _MAYBE_DATA or not _is_data(query, tokens, i, dialect):
            continue
        start = token.start
        if kind in _LITERALS and i and tokens[i - 1].token_type in _TYPED and tokens[i - 1].start >= at:
            start = tokens[i - 1].start
        out.append(query[at : max(at, start)])
        at = token.end + 1
        _put_mark(out, query[at : at + 1])
    if not has_comments or not tokens:
        return "".join(out) + (query[at:] if tokens else "")
    return "".join(out) + query[at:last] + ("" if query[last:].strip() else query[last:])


def _put_mark(out: list[str], follows: str) -> None:
    last = next((piece[-1] for piece in reversed(out[-4:]) if piece), "")
    if last and last not in " \t\n\r(,=<>[":
        out.append(" ")
    out.append(GONE)
    if follows and follows not in " \t\n\r),;]":
        out.append(" ")


def _is_data(query: str, tokens: list[Token], i: int, dialect: str | None) -> bool:
    token = tokens[i]
    if token.token_type in _LITERALS:
        return True
    if token.token_type == TokenType.NUMBER:
        return not _is_plain_number(query, tokens, i)
    if query[token.start] != '"':
        return False
    text = query[token.start + 1 : token.end]
    if "@" in text:
        return True
    if dialect is None:
        compared = i > 0 and tokens[i - 1].token_type in _BEFORE_VALUE
        dotted = query[token.end + 1 : token.end + 2] == "."
        return (compared and not dotted) or not _WORD.match(text)
    return False


def _is_plain_number(query: str, tokens: list[Token], i: int) -> bool:
    """Numbers that are no data: a type's length, a column's ordinal, a parameter's, a part of a name."""
    token = tokens[i]
    start, end = token.start, token.end + 1
    if end - start <= 2 and _is_ordinal(tokens, i):
        return True
    left = query[start - 1 : start]
    if left and left in "$:@":
        return True
    if i and i + 1 < len(tokens):
        before, after = tokens[i - 1], tokens[i + 1]
        if (
            before.end + 1 == start
            and before.token_type in _GLUE
            and after.start == end
            and after.token_type == TokenType.VAR
        ):
            return True
    opening = query.rfind("(", max(0, start - 16), start)
    return (
        opening >= 0
        and _SCALE.match(query[opening : opening + 24]) is not None
        and _TYPE_WORDS.search(query[max(0, opening - 24) : opening]) is not None
    )


def _is_ordinal(tokens: list[Token], i: int) -> bool:
    """In ``group by 1, 2`` or ``order by 1 desc``."""
    for token in reversed(tokens[max(0, i - 24) : i]):
        if token.token_type in _ORDINALS:
            return True
        if token.token_type not in _BETWEEN_ORDINALS:
            return False
    return False


# possessive, and open to the end of the text: each character is looked at once, whatever is sent
_QUOTED_BACKSLASH = re.compile(
    r"'(?:[^'\\]|\\.|'')*+(?:'|\Z)|\"(?:[^\"\\]|\\.|\"\")*+(?:\"|\Z)|'[^\n]*\Z", re.S
)
_QUOTED_PLAIN = re.compile(r"'(?:[^']|'')*+(?:'|\Z)", re.S)
_DOLLAR = re.compile(r"\$(\w*)\$.*?(?:\$\1\$|\Z)", re.S)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.S)
_NUMBER = re.compile(r"(?<![\w$:@.\"`?])(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w\"`])")


_DOUBLE_IS_TEXT = {"mysql", "bigquery", "spark", "databricks", "hive", "clickhouse", "sqlite"}


def _by_quotes(query: str, dialect: str | None = None) -> str:
    """Without a tokenizer: all that any reading of the quotes calls a string goes, and after an odd one the rest."""
    query = _COMMENT.sub(" ", _DOLLAR.sub(f" {GONE} ", query))
    all_double = dialect in _DOUBLE_IS_TEXT
    spans: list[tuple[int, int]] = []
    for pattern in (_QUOTED_BACKSLASH, _QUOTED_PLAIN):
        last = 0
        for m in pattern.finditer(query):
            text = m[0]
            if text[0] == "'" or all_double or not _WORD.match(text[1:-1]):
                spans.append(m.span())
            last = m.end()
        odd = _first(query, "'\"" if all_double else "'", last)
        if odd >= 0:
            spans.append((odd, len(query)))
    out: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if end <= at:
            continue
        if start > at or not out:
            out.append(query[at:start])
            out.append(f" {GONE} " if query[at:start].strip() or not out[:-1] else "")
        at = end
    done = "".join(out) + query[at:]
    return re.sub(r" +", " ", _NUMBER.sub(GONE, done))


def _first(text: str, characters: str, start: int) -> int:
    return min((at for c in characters if (at := text.find(c, start)) >= 0), default=-1)


# ---------------------------------------------------------------- credentials

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_.-]?key|access[_.-]?key(?:[_.-]?id)?|account[_.-]?key|"  # noqa: S105
    r"shared[_.-]?access[_.-]?(?:key|signature)|private[_.-]?key|client[_.-]?secret|encryption[_.-]?key|"
    r"credentials?|authorization|x-amz-signature|x-goog-signature|signature|sig|sas)"
)
_SECRET_KEY = re.compile(
    r"(?i)pass(?:word|wd|phrase)|(?:^|[_.-])(?:pwd|pass|sas|sig)$|secret|token|api[_.-]?key|access[_.-]?key|account[_.-]?key|"
    r"private[_.-]?key|encryption[_.-]?key|credential|authorization|cookie|signature|connection[_.-]?string|dsn$|"
    r"sqlalchemy[_.-]?conn"
)
_NOT_USERS = r"(?!(?:abfss?|wasbs?)://)"
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|\Z)", re.S), GONE),
    # user:password@ with whatever the password holds, then any user@ (tokens are sent as users)
    (
        re.compile(
            r"(?<![\w+.-])([A-Za-z][\w+.-]{0,40}://)[^\s/:@'\"<>]{0,200}:(?!\d+(?:[/\s]|$))[^\s'\"<>@]{0,300}(?:@[^\s/'\"<>@]{0,100}){0,5}@(?=[\w\[?])"
        ),
        r"\1",
    ),
    (
        re.compile(_NOT_USERS + r"(?<![\w+.-])([A-Za-z][\w+.-]{0,40}://)[^\s/'\"<>@?]{0,300}@(?=[\w\[])"),
        r"\1",
    ),
    (re.compile(r"(?i)(jdbc:oracle:\w+:)[^\s@/]+/[^\s@]+@"), r"\1@"),
    (
        re.compile(r"(?i)\b(bearer|basic|digest|negotiate)\s+(?=\S*[\d=._~+/-])[A-Za-z0-9._~+/=-]{8,}"),
        rf"\1 {GONE}",
    ),
    (
        re.compile(
            rf"(?i)((?:^|(?<=[^A-Za-z]))[\w.-]{{0,40}}{_SECRET_WORD}[\w.-]{{0,80}}[\"'`]?\s{{0,9}}(?:=>|->|=|:(?!//))\s{{0,9}})"
            r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\{[^{}]*\}|(?:bearer|basic)\s+\S+|[^\s&;,)}\]\"']+)"
        ),
        rf"\1{GONE}",
    ),
    (
        re.compile(rf"(?i)((?<![\w-])--?[\w-]{{0,40}}{_SECRET_WORD}[\w-]{{0,40}}\s{{1,9}})(?!-)[^\s]+"),
        rf"\1{GONE}",
    ),
    (
        re.compile(r"(?i)\b((?:password|passwd|pwd|secret|token|passphrase|api key)\s+(?:is|was|of)\s+)\S+"),
        rf"\1{GONE}",
    ),
    (re.compile(r"(?i)(\b(?:mysql|mariadb)\w*\b[^\n]{0,200}?\s-p)(?=\S)[^\s?]\S*"), rf"\1{GONE}"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), GONE),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?"), GONE),
    (
        re.compile(
            r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|xox[abeoprs]-[\w-]{8,}|sk-[\w-]{16,}|[srp]k_(?:live|test)_\w{8,}|"
            r"glpat-[\w-]{12,}|dapi[0-9a-f]{16,}(?:-\d+)?|AIza[\w-]{20,}|ya29\.[\w-]{10,}|hf_\w{16,}|npm_\w{20,}|"
            r"pypi-[\w-]{20,}|SG\.[\w-]{10,}\.[\w-]{10,})"
        ),
        GONE,
    ),
    (re.compile(r"(?i)(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)(/webhooks?/)\d+/[\w-]{20,}"), rf"\1{GONE}"),
)


_SECRET_HINTS = ("pass", "pwd", "secret", "token", "key", "credential", "authoriz", "signature", "sig", "sas")
#: Cheap, beside each pattern: where none of these stands in the lower-cased text, the pattern cannot match.
_HINTS: tuple[tuple[str, ...], ...] = (
    ("-----begin",),
    ("@",),
    ("@",),
    ("jdbc:oracle",),
    ("bearer", "basic", "digest", "negotiate"),
    _SECRET_HINTS,
    _SECRET_HINTS,
    ("password", "passwd", "pwd", "secret", "token", "passphrase", "api key"),
    ("mysql", "mariadb"),
    ("akia", "asia", "aroa", "aida"),
    ("eyj",),
    ("gh", "xox", "sk-", "k_live", "k_test", "glpat", "dapi", "aiza", "ya29", "hf_", "npm_", "pypi-", "sg."),
    ("hooks.slack",),
    ("/webhook",),
)


def _credentials(text: str) -> str:
    if len(text) < 6:
        return text
    lower = text.lower()
    for (pattern, replacement), hints in zip(_CREDENTIALS, _HINTS, strict=True):
        for hint in hints:
            if hint in lower:
                text = pattern.sub(replacement, text)
                break
    return text


#: A longer text in a facet is a dump of something, not metadata: it is cut.
LONGEST_PLAIN = 32_000


@lru_cache(maxsize=16_384)
def _credentials_of_short(text: str) -> str:
    return _stable(_credentials, text)


def _plain(text: str) -> str:
    """Any text that is neither SQL nor a message: only credentials go."""
    return _credentials_of_short(text) if len(text) <= 400 else _stable(_credentials, text[:LONGEST_PLAIN])


def _stable(change: Callable[[str], str], text: str) -> str:
    for _ in range(6):
        changed = change(text)
        if changed == text:
            break
        text = changed
    return text


_URL_USER = _CREDENTIALS[1:3]


def _name(text: str) -> str:
    """A name or namespace: stays as it is but for credentials in a URL."""
    if "@" in text and "://" in text:
        for pattern, replacement in _URL_USER:
            text = pattern.sub(replacement, text)
    if "=" in text and ("://" in text or "jdbc:" in text):
        text = re.sub(
            rf"(?i)([?&;](?:[\w.-]{{0,40}}){_SECRET_WORD}[\w.-]{{0,40}}=)[^&;\s]+", rf"\1{GONE}", text
        )
    return text


# ---------------------------------------------------------------- messages and stack traces

_NOUN = re.compile(
    r"(?i)\b(?:columns?|tables?|relations?|schemas?|databases?|views?|catalogs?|functions?|procedures?|constraints?|"
    r"index(?:es)?|for key|foreign key|primary key|sequences?|types?|fields?|attributes?|modules?|named|packages?|class|"
    r"method|triggers?|partitions?|topics?|extension|file|directory|keyword|identifiers?|alias|models?|macro|"
    r"snapshot|dag|task|datasets?|cte|arguments?|parameters?|options?|property|setting|codec|driver|operator|"
    r"attribute|references|not-null constraint|enum|encoding)\s+\(?$"
)
_NAMES_FOLLOW = re.compile(
    r"(?i)^\s*(?:is not defined|violates|of relation|specified more than once|must appear|is ambiguous|"
    r"cannot be resolved|object has no attribute|missing from)"
)
_IDENTIFIER = re.compile(r"^[A-Za-z_][\w$.#<>-]{0,200}$")
_PATH = re.compile(r"^[\w./\\:$<>-]{1,400}$")
_TYPE = re.compile(
    r"^(?:STRING|INT|INTEGER|BIGINT|SMALLINT|TINYINT|DOUBLE|FLOAT|BOOLEAN|DATE|TIMESTAMP\w*|BINARY|"
    r"(?:DECIMAL|VARCHAR|CHAR|NUMERIC)(?:\(\d+(?:,\s*\d+)?\))?)$"
)
#: A quote without its pair on the line: the value runs on, so the lines up to the next quote's end go whole.
_SINGLE = re.compile(
    r"(?<!\w)(?:[bBrRuUnNeEfFxX]{1,2})?'(?:((?:[^'\\\n]|\\.|'(?=\w))*)'(?!\w)|[^'\n]*\n[^']{0,4000}'[^\n]*|[^\n]*)"
)
_DOUBLE = re.compile(r"\"(?:((?:[^\"\\\n]|\\.)*)\"|[^\"\n]*\n[^\"]{0,4000}\"[^\n]*|[^\n]*)")
_BACKTICK = re.compile(r"`([^`\n]*)`")
_LINE = re.compile(r"(?m)^([ \t]*LINE \d+:[ \t]?)(.*)$")
_SQLALCHEMY_SQL = re.compile(
    r"(\[SQL:\s*)((?:(?!\[SQL:).){0,8000}?)(\](?=\s*(?:\n|$|\[parameters|\(Background)))", re.S
)
_SQLALCHEMY_PARAMETERS = re.compile(
    r"(\[parameters:\s*)(?:(?!\[parameters:).){0,8000}?(\](?=\s*(?:\n|$|\(Background)))", re.S
)
_SQL_IN_TEXT = re.compile(
    r"(?i)\b(?:select\b.{1,400}?\bfrom\b|insert\s+(?:into|overwrite)\b|update\b.{1,200}?\bset\b|delete\s+from\b|"
    r"merge\s+into\b|values\s*\(|where\b).*$",
    re.M,
)
_ROWS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?is)(failing row contains )\((?:(?!failing row contains).){0,8000}?\)(?=\.?\s*(?:\n\s*[A-Z]+:|\n\n|$))"), rf"\1({GONE})"),
    (re.compile(r"(?i)(\bkey \([^()\n]{0,300}(?:\([^()\n]{0,100}\)[^()\n]{0,100}){0,9}\)\s*=\s*)\((?:(?!key \().){0,2000}?\)(?=\s+(?:already|is|was|conflicts|in)\b|\.?\s*$)", re.M | re.S), rf"\1({GONE})"),
    (re.compile(r"(?i)(\b(?:key )?values? (?:is|was|are|of) )(?:\([^\n]*?\)(?=\.?\s*(?:$|\n))|\S+)", re.M), rf"\1{GONE}"),
    (re.compile(r"\bRow\([^\n]{0,2000}?\)(?=[\s,.;\]]|$)", re.M), f"Row({GONE})"),
    (re.compile(r"(?i)(\b(?:original line|bad (?:record|row|line)|offending (?:row|value|line)|malformed (?:record|line|row)s?"
                r"|corrupt(?:ed)? record|record parsing|row data|input row|raw data|payload|parameters?|params|bind(?:s| values)?"
                r"|body|query parameters)\s*[:=]\s*)(?!\?\s*$)\S[^\n]*"), rf"\1{GONE}"),
    (re.compile(r"(?i)(\b(?:values?|input|string|entry|literal|record|rows?|text|number|datum|got|received|found|actual|token|tuple|row \d+|line|saw \d+|not found)"
                r"\s*[:=]\s*)(?!\?\s*$)(?=\S)[^\n]*"), rf"\1{GONE}"),
    (re.compile(r"(?i)(\b(?:could not parse|cannot parse|can't parse|failed to parse|unparseable date:?|invalid (?:date|number|value|"
                r"timestamp|int64|integer|datetime|json)|bad (?:int64|double|value|number|date))\s+)(?=[^\s?'\"])(?!(?:syntax|format|type|value|input|string|date|in|at|for|the|as|of|while|because)\b)\S+"), rf"\1{GONE}"),
    (re.compile(r"(?i)(\b(?:value|number|integer|id|amount|literal)\s+)-?\d[\d.,]*\b"), rf"\1{GONE}"),
    (re.compile(r"(?i)(dup key:\s*)\{[^}\n]*\}"), r"\1{?}"),
    (re.compile(r"\{(?=[^{}\n]{0,300}:)(?=[^{}\n]{0,300}[\"'\d])[^{}\n]*\}"), "{?}"),
    (re.compile(r"(?<![\w$])\((?=[^()\n]*,)(?=[^()\n]*(?:(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])|['\"]|\b(?i:null|none|true|false)\b))[^()\n]*\)"), f"({GONE})"),
    (re.compile(r"(?<![\w$])\[(?=[^\[\]\n]*,)(?=[^\[\]\n]*(?:(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])|['\"]|\b(?i:null|none|true|false)\b))[^\[\]\n]*\]"), f"[{GONE}]"),
)  # fmt: skip
_PEOPLE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<![\w.+%-])[\w.+%-]{1,200}@(?![0-9a-f]{5,8}\b)[\w-]+(?:\.[\w-]+)*"), GONE),
    (re.compile(r"\b0x[0-9a-fA-F]{2,}\b"), GONE),
    (re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"), GONE),
    (re.compile(r"(?<![\w.-])\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}(?![\w-])"), GONE),
    (re.compile(r"(?<![\w.-])\+\d[\d ()-]{7,20}\d"), GONE),
    (re.compile(r"(?<![\w.-])\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?![\w-])"), GONE),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), GONE),
    (re.compile(r"(?<![\w.-])\d{9,}(?![\w-])"), GONE),
)
#: Messages longer than this are cut: nobody reads further, and patterns cost time.
LONGEST_MESSAGE = 16_000


def redact_text(text: str) -> str:
    """One message or stack trace without credentials and row values; names of tables and columns stay."""
    if len(text) > LONGEST_MESSAGE:
        text = text[:LONGEST_MESSAGE]
    return _stable(_redact_text, text)


def _redact_text(text: str) -> str:
    text = _credentials(text)
    text = _SQLALCHEMY_PARAMETERS.sub(rf"\1{GONE}\2", text)
    text = _SQLALCHEMY_SQL.sub(lambda m: m[1] + redact_sql(m[2]) + m[3], text)
    text = _LINE.sub(lambda m: m[1] + _by_quotes_kept(m[2]), text)
    text = _SQL_IN_TEXT.sub(lambda m: _NUMBER.sub(GONE, m[0]), text)
    for pattern, replacement in _ROWS:
        text = pattern.sub(replacement, text)
    text = _DOUBLE.sub(lambda m: _quoted(text, m, '"'), text)
    now = text
    now = _SINGLE.sub(lambda m: _quoted(text, m, "'"), now)
    text = _BACKTICK.sub(lambda m: m[0] if m[1] == GONE or _PATH.match(m[1]) else f"`{GONE}`", now)
    for pattern, replacement in _PEOPLE:
        text = pattern.sub(replacement, text)
    return text


def _quoted(text: str, match: re.Match[str], quote: str) -> str:
    inner = match[1]
    if inner is None:
        return f"{quote}{GONE}{quote}"
    if inner == GONE or not inner.strip():
        return match[0]
    before = text[max(0, match.start() - 40) : match.start()]
    if _TYPE.match(inner):
        return match[0]
    if _NOUN.search(before):
        is_file = re.search(r"(?i)\b(?:file|directory)\s+$", before)
        if (_PATH if is_file else _IDENTIFIER).match(inner):
            return match[0]
    if _IDENTIFIER.match(inner) and _NAMES_FOLLOW.match(text[match.end() : match.end() + 40]):
        return match[0]
    return f"{quote}{GONE}{quote}"


def _by_quotes_kept(fragment: str) -> str:
    """A piece of a statement, perhaps cut in the middle of a string."""
    done = redact_sql(fragment)
    return _NUMBER.sub(GONE, done)


# ---------------------------------------------------------------- whole events

_NAME_KEYS = {
    "name", "namespace", "runid", "eventtime", "eventtype", "producer", "schemaurl", "_producer", "_schemaurl", "type",
    "field", "column", "nominalstarttime", "nominalendtime", "uri", "unique_id", "database", "schema", "alias",
    "transformationtype", "subtype",
}  # fmt: skip
_SQL_KEYS = {
    "query", "sql", "statement", "statements", "sqltext", "querytext", "compiled_code", "compiled_sql", "raw_code",
    "raw_sql", "rawcode", "rawsql", "compiledcode", "compiledsql", "viewdefinition", "view_definition", "definition",
    "viewtext", "view_text", "vieworiginaltext", "viewexpandedtext", "condition", "predicate", "expression", "filter",
    "where", "transformationdescription", "transformation_description", "ddl", "original_sql", "content",
}  # fmt: skip
_MESSAGE_KEYS = {
    "message", "stacktrace", "stack_trace", "errormessage", "error", "errors", "error_message", "exception", "failurereason",
    "reason", "traceback", "detail", "details", "log", "stderr", "stdout", "note", "failure", "cause", "errordescription",
}  # fmt: skip
_OPAQUE_KEYS = {
    "params", "parameters", "conf", "op_args", "op_kwargs", "env", "executor_config", "bash_command", "templates_dict",
    "extra", "args", "kwargs", "arguments", "env_vars", "environmentvariables", "samplevalues", "sample", "samples",
    "examples", "examplevalues", "samplerows", "row", "values", "quantiles", "partition_values", "dimensions", "literal",
    "expected", "actual", "lowerbound", "upperbound", "lower_bound", "upper_bound", "notebook_params", "bind", "binds",
}  # fmt: skip
_CODE_KEYS = {"sourcecode", "source_code", "code", "script", "plan", "logicalplan", "physicalplan"}
_DROPPED_FACETS = {"spark.logicalPlan", "spark_unknown", "spark.physicalPlan", "spark_logicalPlan"}
_FACET_HOLDERS = {"facets", "inputFacets", "outputFacets"}

_SQL_START = re.compile(
    r"(?is)^\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*(?:select\b.*\bfrom\b|select\s+['\d]|insert\s+(?:into|overwrite)\b|update\s+[\w.\"`]+\s+(?:as\s+)?(?:\w+\s+)?set\b|"
    r"delete\s+from\b|merge\s+into\b|with\s+\w+\s+as\s*\(|create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:table|view|"
    r"materialized|user|role)\b|copy\s+(?:into\s|[\w.\"]+\s*(?:\([^)]*\)\s*)?(?:from|to)\s+(?:['@$?]|stdin\b|stdout\b|program\b))|alter\s+(?:user|role)\b)"
)

_HARMLESS_ENV = {
    "TZ", "LANG", "LC_ALL", "ENV", "ENVIRONMENT", "DEPLOYMENT", "AWS_REGION", "AWS_DEFAULT_REGION", "PYTHON_VERSION",
    "JAVA_VERSION", "SPARK_VERSION", "AIRFLOW_VERSION", "DBT_VERSION", "OPENLINEAGE_NAMESPACE", "DBT_TARGET",
}  # fmt: skip
_HARMLESS_PROPERTY = re.compile(
    r"^(?:spark\.(?:app\.(?:name|id)|master|version|submit\.deployMode|(?:driver|executor)\.(?:memory|cores|instances|"
    r"memoryOverhead)|executor\.instances|default\.parallelism|sql\.shuffle\.partitions|sql\.adaptive\.[\w.]+|"
    r"dynamicAllocation\.\w+|databricks\.(?:job\.(?:id|runId|type)|clusterUsageTags\.cluster(?:Id|Name)|workspaceUrl)|"
    r"openlineage\.(?:namespace|version))|"
    r"(?:task|dag|run|trigger)_(?:id|rule)|operator_class(?:_path)?|operator_provider_version|owner|queue|pool|retries|"
    r"priority_weight|depends_on_past|mapped|multiple_outputs|weight_rule|wait_for_downstream|(?:up|down)stream_task_ids|"
    r"start_date|end_date|_producer|_schemaURL)$"
)


@lru_cache(maxsize=8192)
def _class_of(key: str) -> str:
    lower = key.lower()
    for keys, name in (
        (_NAME_KEYS, "name"), (_SQL_KEYS, "sql"), (_MESSAGE_KEYS, "message"), (_OPAQUE_KEYS, "opaque"), (_CODE_KEYS, "code"),
    ):  # fmt: skip
        if lower in keys:
            return name
    return "secret" if _SECRET_KEY.search(key) else "plain"


def redact_event(obj: dict[str, Any]) -> dict[str, Any]:
    """An OpenLineage event (any parsed JSON object, good or bad) with metadata only. Returns a new object."""
    redacted: dict[str, Any] = _object(obj, _dialect_of(obj), 0)
    return redacted


def _dialect_of(obj: dict[str, Any]) -> str | None:
    """The dialect of an event's SQL where its facet does not say: by the systems it names."""
    for side in ("outputs", "inputs"):
        sets = obj.get(side)
        for one in sets if isinstance(sets, list) else ():
            namespace = one.get("namespace") if isinstance(one, dict) else None
            dialect = _dialect_of_namespace(namespace) if isinstance(namespace, str) else None
            if dialect:
                return dialect
    job = obj.get("job")
    facets = job.get("facets") if isinstance(job, dict) else None
    job_type = facets.get("jobType") if isinstance(facets, dict) else None
    said = job_type.get("integration") if isinstance(job_type, dict) else None
    return dialect_of(said) if isinstance(said, str) else None


@lru_cache(maxsize=1024)
def _dialect_of_namespace(namespace: str) -> str | None:
    return dialect_of(system_of(namespace))


def _object(obj: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        return {}
    own = obj.get("dialect")
    if isinstance(own, str):
        dialect = own if dialect_of(own) else dialect
    out: dict[str, Any] = {}
    for key, value in obj.items():
        if key in _FACET_HOLDERS and isinstance(value, dict):
            out[key] = _facets(value, dialect, depth + 1)
        else:
            out[_key(key)] = _value(key, value, dialect, depth + 1)
    said = obj.get("name", obj.get("key"))
    if "value" in obj and isinstance(said, str) and _SECRET_KEY.search(said):
        out["value"] = GONE
    return out


def _key(key: str) -> str:
    return key if len(key) < 12 else _name(key) if "://" in key else _tokens_gone(key)


def _tokens_gone(key: str) -> str:
    for pattern, replacement in _CREDENTIALS[9:12]:
        key = pattern.sub(replacement, key)
    return key


def _value(key: str, value: Any, dialect: str | None, depth: int) -> Any:
    kind = _class_of(key)
    if isinstance(value, str):
        return _string(kind, value, dialect)
    if isinstance(value, dict):
        if kind == "opaque":
            return _opaque(value, depth)
        return _object(value, dialect, depth)
    if isinstance(value, list):
        if depth > DEEPEST:
            return []
        if kind == "opaque":
            return _opaque(value, depth)
        return [_value(key, v, dialect, depth + 1) for v in value]
    if kind == "secret" and not isinstance(value, bool) and value is not None and not _is_count(key):
        return GONE
    if kind == "opaque" and not isinstance(value, bool) and value is not None:
        return value if _is_small(value, 12) else GONE
    return value


def _is_count(key: str) -> bool:
    """``tokenCount``, ``max_tokens``: numbers about tokens, not tokens."""
    return bool(re.search(r"(?i)count|tokens$|_at$|expires|length", key))


def _string(kind: str, value: str, dialect: str | None) -> str:
    if kind == "plain":
        if len(value) > 12 and _SQL_START.match(value):
            return redact_sql(value, dialect)
        return _plain(value)
    if kind == "name":
        return _name(value)
    if kind == "sql":
        return redact_sql(value, dialect)
    if kind == "message":
        return redact_text(value)
    if kind == "opaque":
        return value if _is_small(value, 12) else GONE
    return value if value == "" else GONE if kind == "secret" else CODE_GONE


def _is_small(value: Any, digits: int) -> bool:
    """A count: a whole number of few digits, as number or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**digits
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= digits


def _opaque(value: Any, depth: int) -> Any:
    """Values that people or rows filled: the keys stay, the values go, but small counts."""
    if depth > DEEPEST:
        return None
    if isinstance(value, dict):
        return {_key(k): _opaque(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_opaque(v, depth + 1) for v in value]
    if value is None or isinstance(value, bool) or value == "" or _is_small(value, 6):
        return value
    return GONE


# -- facets with rules of their own


def _facets(facets: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, facet in facets.items():
        if name in _DROPPED_FACETS:
            continue
        rule = _RULES.get(name) if isinstance(facet, dict) else None
        out[_key(name)] = rule(facet, dialect, depth) if rule else _value(name, facet, dialect, depth)
    return out


def _source_code(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out = _object({k: v for k, v in facet.items() if k != "sourceCode"}, dialect, depth)
    if "sourceCode" in facet:
        language = facet.get("language")
        is_sql = isinstance(language, str) and "sql" in language.lower()
        code = facet["sourceCode"]
        out["sourceCode"] = redact_sql(code, dialect) if is_sql and isinstance(code, str) else CODE_GONE
    return out


def _environment(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Variables as [{name, value}] or {name: value}: only harmless ones keep their value."""
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if isinstance(value, list):
            out[key] = [_variable(v, dialect, depth) for v in value]
        elif isinstance(value, dict):
            out[key] = {k: _harmless(k, v, k in _HARMLESS_ENV) for k, v in value.items()}
        else:
            out[key] = _value(key, value, dialect, depth)
    return out


def _variable(variable: Any, dialect: str | None, depth: int) -> Any:
    if not isinstance(variable, dict):
        return GONE
    out = _object(variable, dialect, depth)
    if "value" in out and variable.get("name") not in _HARMLESS_ENV:
        out["value"] = GONE
    return out


def _harmless(key: str, value: Any, is_harmless: bool) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if is_harmless and isinstance(value, str | int | float):
        return _plain(value) if isinstance(value, str) else value
    return GONE


def _properties(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """{properties: {key: value}} or the like, to any depth: only harmless keys keep their value."""
    if depth > DEEPEST:
        return {}
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if isinstance(value, dict):
            out[_key(key)] = _properties(value, dialect, depth + 1)
        elif isinstance(value, list):
            out[_key(key)] = [
                _properties(v, dialect, depth + 1) if isinstance(v, dict) else _harmless(key, v, False)
                for v in value
            ]
        else:
            kept = bool(_HARMLESS_PROPERTY.match(key)) or (key == "name" and isinstance(value, str))
            out[_key(key)] = _harmless(key, value, kept)
    return out


_METRICS = {
    "rowCount", "bytes", "fileCount", "nullCount", "distinctCount", "count", "lastUpdated", "columnMetrics", "_producer",
    "_schemaURL", "_deleted", "size",
}  # fmt: skip


def _metrics(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Counts stay; smallest, largest, sum and quantiles are values from rows."""
    out: dict[str, Any] = {}
    for key, value in facet.items():
        if key == "columnMetrics" and isinstance(value, dict):
            out[key] = {
                c: {k: v for k, v in m.items() if k in _METRICS and (isinstance(v, int | float) or v is None)}
                for c, m in value.items()
                if isinstance(m, dict)
            }
        elif key in _METRICS and not isinstance(value, dict | list):
            out[key] = _plain(value) if isinstance(value, str) else value
    return out


def _assertions(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    out = _object(facet, dialect, depth)
    for key in ("assertions", "tests"):
        checks = out.get(key)
        for check in checks if isinstance(checks, list) else ():
            if isinstance(check, dict) and isinstance(check.get("description"), str):
                check["description"] = redact_text(check["description"])
    return out


def _column_lineage(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Names stay, however a column is called; descriptions of transformations are SQL."""
    return {
        k: _columns(v, dialect, depth) if k in ("fields", "dataset") else _value(k, v, dialect, depth)
        for k, v in facet.items()
    }


def _columns(said: Any, dialect: str | None, depth: int) -> Any:
    if depth > DEEPEST:
        return None
    if isinstance(said, dict):
        return {
            k: redact_sql(v, dialect)
            if k in ("description", "transformationDescription") and isinstance(v, str)
            else _columns(v, dialect, depth + 1)
            for k, v in said.items()
        }
    if isinstance(said, list):
        return [_columns(v, dialect, depth + 1) for v in said]
    return _name(said) if isinstance(said, str) else said


def _schema(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    return {
        k: _schema_fields(v, depth) if k == "fields" else _value(k, v, dialect, depth)
        for k, v in facet.items()
    }


_PLAIN_FIELD = {"name", "type"}


def _schema_fields(said: Any, depth: int) -> Any:
    if isinstance(said, str):
        return _name(said)
    if depth > DEEPEST or not isinstance(said, dict | list):
        return said if not isinstance(said, dict | list) else None
    if isinstance(said, list):
        return [
            f
            if type(f) is dict and f.keys() <= _PLAIN_FIELD and "@" not in str(f.get("type"))
            else _schema_fields(f, depth + 1)
            for f in said
        ]
    return {
        k: _plain(v) if k == "description" and isinstance(v, str) else _schema_fields(v, depth + 1)
        for k, v in said.items()
    }


def _subset(facet: dict[str, Any], dialect: str | None, depth: int) -> dict[str, Any]:
    """Which part of a dataset was touched: the columns stay, the values of partitions and literals go."""
    return {k: v if k.startswith("_") else _subset_part(k, v, depth) for k, v in facet.items()}


def _subset_part(key: str, said: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return None
    if isinstance(said, dict):
        return {k: _subset_part(k, v, depth + 1) for k, v in said.items()}
    if isinstance(said, list):
        return [_subset_part(key, v, depth + 1) for v in said]
    kept = key in ("type", "field", "comparison", "operator", "_producer", "_schemaURL") or said is None
    return said if kept or isinstance(said, bool) else GONE


_RULES: dict[str, Callable[[dict[str, Any], str | None, int], dict[str, Any]]] = {
    "sourceCode": _source_code,
    "environmentVariables": _environment,
    "spark_properties": _properties,
    "environment-properties": _properties,
    "unknownSourceAttribute": _properties,
    "dataQualityMetrics": _metrics,
    "dataQualityAssertions": _assertions,
    "test": _assertions,
    "columnLineage": _column_lineage,
    "schema": _schema,
    "subset": _subset,
    "inputSubset": _subset,
    "outputSubset": _subset,
}
