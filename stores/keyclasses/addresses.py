"""Where a greylist key's sender ends and its recipient begins: a guess with its rivals (store-formats c.8).

Sender and recipient are glued without a separator. With one `@` the sender is the null sender. With two, the domain of the sender
must end in a top-level domain right before the recipient's local part.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stores.texts import say


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COMMON: Final = _set(
    "com org net edu gov mil int info biz name pro mobi coop aero museum jobs travel cat tel asia post app dev xyz online site store shop "
    "tech cloud email mail blog club live news today world agency digital email group network services solutions systems company space "
    "center media studio design wiki work zone host hosting bank school university church events foundation international software "
    "support ventures page web berlin hamburg koeln wien paris london nyc tokyo bayern swiss eus gal scot"
)
_SPECIAL: Final = _set("example test invalid localhost local localdomain lan internal intranet home corp private arpa onion")
_COUNTRY: Final = _set(
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf cg ch ci ck cl "
    "cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt "
    "gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv "
    "ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm "
    "pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to "
    "tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_FREQUENT: Final = _set("com org net de uk fr nl eu ch at it es pl io edu gov")
_LONGEST_TLD: Final = max(map(len, _COMMON | _SPECIAL))
_LABEL: Final = re.compile(r"[^\W_](?:[\w-]*[^\W_])?|xn--[a-z0-9-]+", re.ASCII | re.IGNORECASE)
_LOCAL: Final = re.compile(r"[^\s@.\"(),:;<>\[\\\]](?:[^\s@\"(),:;<>\[\\\]]*[^\s@.\"(),:;<>\[\\\]])?")
MOST: Final = 6
"""Rivals worth showing."""


class Split(NamedTuple):
    """A way to read the joined text. The null sender is empty."""

    sender: str
    recipient: str

    @property
    def words(self) -> str:
        return say("%(sender)s to %(recipient)s", sender=self.sender or "<>", recipient=self.recipient)


def splits(joined: str) -> list[Split]:
    """Ways to split, the likeliest first, at most six; empty when nothing fits."""
    signs = joined.count("@")
    if signs < 2:
        return [Split("", joined)] if joined else []
    if signs > 2:
        return []
    first, second = joined.index("@"), joined.rindex("@")
    middle = joined[first + 1 : second]
    if middle.startswith("["):
        end = middle.find("]") + 1
        cuts = [end] if 0 < end < len(middle) else []
    else:
        cuts = [cut for _, cut in sorted(_cuts(middle), reverse=True)[:MOST]]
    return [Split(joined[: first + 1 + cut], joined[first + 1 + cut :]) for cut in cuts]


def _cuts(middle: str) -> list[tuple[float, int]]:
    """(score, length of the domain) for every place where a known top-level domain ends and a local part can begin."""
    found: list[tuple[float, int]] = []
    start = middle.find(".")
    labels = 1
    while start >= 0:
        labels += 1
        stop = middle.find(".", start + 1)
        label = middle[start + 1 : stop if stop >= 0 else None]
        for length in range(2, min(len(label), _LONGEST_TLD) + 1):
            weight = _weight(label[:length].lower())
            local, domain = middle[start + 1 + length :], middle[: start + 1 + length]
            if weight and _LOCAL.fullmatch(local) and all(_LABEL.fullmatch(part) for part in domain.split(".")):
                found.append((weight + length * 0.2 - labels * 0.3 - local.count(".") - _odd(local), len(domain)))
        start = stop
    return found


def _weight(tld: str) -> float:
    return 3 if tld in _FREQUENT else 2 if tld in _COMMON or tld in _SPECIAL else 1 if tld in _COUNTRY else 0


def _odd(local: str) -> float:
    return 0.8 if len(local) == 1 or not local[0].isalnum() else 0
