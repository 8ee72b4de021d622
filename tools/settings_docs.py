#!/usr/bin/env python3
"""Write `docs/store-settings.md` from what the backends declare, which is also what the forms and the command line show.

python3 tools/settings_docs.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import django

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "docs" / "store-settings.md"
HEAD: Final = """# Settings of stores

By type, named as Stalwart's own options. The pages and `store-add` show the same texts: this file is made of them by
`python3 tools/settings_docs.py`. Passwords are kept encrypted. What is marked "for Stalwart" is kept and exported; kvadmin itself does
not act on it.
"""


def render() -> str:
    """The whole file."""
    from stores.registry import BACKENDS, backend_class

    parts = [HEAD]
    for name in BACKENDS:
        backend = backend_class(name)
        if not backend.SETTINGS:
            continue
        parts.append(f"\n## {backend.LABEL} (`{name}`)\n\n| setting | default | what it is |\n|---|---|---|\n")
        for field in backend.SETTINGS:
            default = f"`{field.default}`" if field.default else "needed" if field.required else ""
            use = "" if field.used else " For Stalwart."
            choices = f" One of {', '.join(f'`{choice}`' for choice in field.choices)}." if field.choices else ""
            parts.append(f"| `{field.name}` | {default} | {field.label or field.name}. {field.help}{choices}{use} |\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings_test")
    django.setup()
    TARGET.write_text(render(), "utf-8")
