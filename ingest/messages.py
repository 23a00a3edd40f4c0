"""Messages and other text of other systems, without credentials and row values. Pure, standard library only.

What :mod:`ingest.redact` does to whole events rests on it; checks, connections and alerts use it for what a server
answered them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

#: stands where something was taken out
GONE = "?"
WORD = re.compile(r"^[A-Za-z_][\w$ .-]*$")

# ---------------------------------------------------------------- SQL, by its quotes

# possessive, and open to the end of the text: each character is looked at once, whatever is sent
_QUOTED_BACKSLASH = re.compile(
    r"'(?:[^'\\]|\\.|'')*+(?:'|\Z)|\"(?:[^\"\\]|\\.|\"\")*+(?:\"|\Z)|'[^\n]*\Z", re.S
)
_QUOTED_PLAIN = re.compile(r"'(?:[^']|'')*+(?:'|\Z)", re.S)
_DOLLAR = re.compile(r"\$(\w*)\$.*?(?:\$\1\$|\Z)", re.S)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.S)
NUMBER = re.compile(r"(?<![\w$:@.\"`?])(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w\"`])")


_DOUBLE_IS_TEXT = {"mysql", "bigquery", "spark", "databricks", "hive", "clickhouse", "sqlite"}


def by_quotes(query: str, dialect: str | None = None) -> str:
    """Without a tokenizer: all that any reading of the quotes calls a string goes, and after an odd one the rest."""
    query = _COMMENT.sub(" ", _DOLLAR.sub(f" {GONE} ", query))
    all_double = dialect in _DOUBLE_IS_TEXT
    spans: list[tuple[int, int]] = []
    for pattern in (_QUOTED_BACKSLASH, _QUOTED_PLAIN):
        last = 0
        for m in pattern.finditer(query):
            text = m[0]
            if text[0] == "'" or all_double or not WORD.match(text[1:-1]):
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
    return re.sub(r" +", " ", NUMBER.sub(GONE, done))


def _first(text: str, characters: str, start: int) -> int:
    return min((at for c in characters if (at := text.find(c, start)) >= 0), default=-1)


# ---------------------------------------------------------------- credentials

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_.-]?key|access[_.-]?key(?:[_.-]?id)?|account[_.-]?key|"  # noqa: S105
    r"shared[_.-]?access[_.-]?(?:key|signature)|private[_.-]?key|client[_.-]?secret|encryption[_.-]?key|"
    r"credentials?|authorization|x-amz-signature|x-goog-signature|signature|sig|sas)"
)
SECRET_KEY = re.compile(
    r"(?i)pass(?:word|wd|phrase)|(?:^|[_.-])(?:pwd|pass|sas|sig)$|secret|token|api[_.-]?key|access[_.-]?key|account[_.-]?key|"
    r"private[_.-]?key|encryption[_.-]?key|credential|authorization|cookie|signature|connection[_.-]?string|dsn$|"
    r"sqlalchemy[_.-]?conn"
)
_NOT_USERS = r"(?!(?:abfss?|wasbs?)://)"
CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
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


def credentials(text: str) -> str:
    if len(text) < 6:
        return text
    lower = text.lower()
    for (pattern, replacement), hints in zip(CREDENTIALS, _HINTS, strict=True):
        for hint in hints:
            if hint in lower:
                text = pattern.sub(replacement, text)
                break
    return text


#: A longer text in a facet is a dump of something, not metadata: it is cut.
LONGEST_PLAIN = 32_000


@lru_cache(maxsize=16_384)
def _credentials_of_short(text: str) -> str:
    return stable(credentials, text)


def plain(text: str) -> str:
    """Any text that is neither SQL nor a message: only credentials go."""
    return _credentials_of_short(text) if len(text) <= 400 else stable(credentials, text[:LONGEST_PLAIN])


def stable(change: Callable[[str], str], text: str) -> str:
    for _ in range(6):
        changed = change(text)
        if changed == text:
            break
        text = changed
    return text


_URL_USER = CREDENTIALS[1:3]


def plain_name(text: str) -> str:
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


def redact_text(text: str, sql: Callable[[str], str] | None = None) -> str:
    """One message or stack trace without credentials and row values; names of tables and columns stay.

    ``sql`` takes the literals out of a statement that the message quotes; without it they are found by quotes alone,
    rather too much than too little.
    """
    if len(text) > LONGEST_MESSAGE:
        text = text[:LONGEST_MESSAGE]
    return stable(lambda t: _redact_text(t, sql or by_quotes), text)


def first_line(text: str, longest: int = 300) -> str:
    """The first line that says something, redacted and cut: what stands beside a failure."""
    lines = (line.strip() for line in redact_text(text).splitlines())
    line = next((line for line in lines if line), "")
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


_TRACEBACK = "Traceback (most recent call last)"
_RAISED = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Failure|Failed)\b"
)


def error_line(text: str, longest: int = 300) -> str:
    """The line of a message or stack trace that says what went wrong: the last that raises in Python's tracebacks,
    which begin with where it happened, else the first. Redacted and cut."""
    if _TRACEBACK in text:
        raised = [line.strip() for line in text.splitlines() if _RAISED.match(line.strip())]
        if raised:
            return first_line(raised[-1], longest)
    return first_line(text, longest)


def _redact_text(text: str, sql: Callable[[str], str]) -> str:
    text = credentials(text)
    text = _SQLALCHEMY_PARAMETERS.sub(rf"\1{GONE}\2", text)
    text = _SQLALCHEMY_SQL.sub(lambda m: m[1] + sql(m[2]) + m[3], text)
    text = _LINE.sub(lambda m: m[1] + NUMBER.sub(GONE, sql(m[2])), text)
    text = _SQL_IN_TEXT.sub(lambda m: NUMBER.sub(GONE, m[0]), text)
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
