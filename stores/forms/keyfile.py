"""A file of keys to import: the upload with its choices, and the confirmation of its dry run."""

from __future__ import annotations

import time

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm
from stores.services.bulk_change import Clash
from stores.services.keyfile_import import Options, WrongLines

CLASHES = (
    (Clash.SKIP.value, _("leave that one, import the others")),
    (Clash.OVERWRITE.value, _("overwrite it; the old row goes to the trash")),
    (Clash.FAIL.value, _("stop at the first such key")),
)
WRONG = (
    (WrongLines.STOP.value, _("import nothing before they are mended")),
    (WrongLines.SKIP.value, _("leave them out and name them in the receipt")),
)


class UploadForm(StyledForm):
    """The file and what happens where it meets what is there."""

    file = forms.FileField(label=_("File"), help_text=_("JSON Lines or CSV in UTF-8, as an export writes it, or written by hand."))
    clash = forms.ChoiceField(label=_("A key that is there with another content"), choices=CLASHES)
    wrong = forms.ChoiceField(label=_("Lines that cannot be read"), choices=WRONG)
    keep = forms.BooleanField(label=_("Note what is new and keep what is overwritten, so that it can be undone"), required=False)

    @property
    def options(self) -> Options:
        """What was chosen; durations in the file count from now."""
        wanted = self.cleaned_data
        return Options(Clash(wanted["clash"]), WrongLines(wanted["wrong"]), wanted["keep"], None, time.time())
