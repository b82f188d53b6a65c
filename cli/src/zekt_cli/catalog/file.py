"""A catalog file on disk, and its problems as the lines that an editor can jump to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zekt_cli.catalog.located import InvalidFile, Located, Problem, read
from zekt_cli.catalog.shape import checked
from zekt_cli.exits import CommandFailed, Exit


@dataclass(frozen=True)
class CatalogFile:
    """A valid file: its content, and where each part of it stands."""

    path: Path
    document: Located
    content: dict[str, Any]


def load(path: Path) -> CatalogFile:
    """Return the file's catalog.

    Raises:
        CommandFailed: 2, with every problem as `FILE:LINE:COLUMN: what is wrong`.
    """
    try:
        document = read(path)
        return CatalogFile(path, document, checked(document))
    except InvalidFile as error:
        raise invalid(path, error.problems) from error
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"{path} cannot be read: {error.strerror}") from error


def invalid(path: Path, problems: list[Problem]) -> CommandFailed:
    """Return the failure that names these problems, in the order of the file."""
    lines = [f"{path}:{one.line}:{one.column}: {one.message}" for one in sorted(problems)]
    return CommandFailed(Exit.USAGE, "\n".join([f"{path} is not valid, nothing was changed", *lines]))
