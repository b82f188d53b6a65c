"""The words of a query, and a cursor over them."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
          | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
          | (?P<parameter>@\w+)
          | (?P<word>[A-Za-z_]\w*)
          | (?P<sign><=|>=|!=|<>|\|\||[=<>+\-*/%(),.\[\]{}:]))""",
    re.VERBOSE,
)


class SqlError(Exception):
    """The query is none of this subset, and why."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word and where it stands."""

    kind: str
    text: str
    start: int
    end: int


_END = Token("end", "", 0, 0)


class Cursor:
    """Reads a query's tokens from left to right."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = list(_tokens(query))
        self.position = 0

    @property
    def token(self) -> Token:
        """The next token; of kind `end` after the last."""
        return self._tokens[self.position] if self.position < len(self._tokens) else _END

    def take(self) -> Token:
        """The next token, used up."""
        token = self.token
        self.position += 1
        return token

    def take_word(self, *words: str) -> str | None:
        """The next token in upper case, used up if it is one of these keywords."""
        return self._take_if("word", self.token.text.upper(), words)

    def take_sign(self, *signs: str) -> str | None:
        """The next token, used up if it is one of these signs."""
        return self._take_if("sign", self.token.text, signs)

    def need_word(self, word: str) -> None:
        """Use up a keyword.

        Raises:
            SqlError: something else is next.
        """
        if self.take_word(word) is None:
            raise SqlError(f"Syntax error: expected {word}, got {self.token.text!r}")

    def need_sign(self, sign: str) -> None:
        """Use up a sign.

        Raises:
            SqlError: something else is next.
        """
        if self.take_sign(sign) is None:
            raise SqlError(f"Syntax error: expected {sign}, got {self.token.text!r}")

    def text_since(self, position: int) -> str:
        """The query's own text from a token to the last one used up."""
        return self._query[self._tokens[position].start : self._tokens[self.position - 1].end]

    def _take_if(self, kind: str, text: str, wanted: tuple[str, ...]) -> str | None:
        if self.token.kind != kind or text not in wanted:
            return None
        self.position += 1
        return text


def unquoted(text: str) -> str:
    """A string literal's content."""
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _tokens(query: str) -> list[Token]:
    tokens, position, end = [], 0, len(query.rstrip())
    while position < end:
        found = _TOKEN.match(query, position)
        if found is None or found.lastgroup is None:
            raise SqlError(f"Syntax error near {query[position : position + 20]!r}")
        kind = found.lastgroup
        tokens.append(Token(kind, found.group(kind), found.start(kind), found.end()))
        position = found.end()
    return tokens
