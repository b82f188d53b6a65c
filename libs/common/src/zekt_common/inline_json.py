"""JSON inside a struct, kept encoded: the type of a field that holds some or none.

msgspec cannot read `Raw | None`: it takes the field for null alone. Here the field's absence is None, which needs
`omit_defaults=True` on the struct; a JSON null is `Raw(b"null")`, a value like any other.
"""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    InlineJson = msgspec.Raw | None
else:
    InlineJson = msgspec.Raw | msgspec.UnsetType
