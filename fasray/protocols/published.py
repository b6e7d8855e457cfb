"""The published protocols of single corpora, as filters or, where no filter gives them, as the lists that do.

What is stated here was counted in the corpora's own split lists: those that its owners keep with CeFA, HiFiMask,
CASIA-SURF and UniAttackData (github.com/liuajian/CASIA-FAS-Dataset), and SiW-Mv2's (Guo et al., ECCV 2022,
github.com/CHELSEA234/Multi-domain-learning-FAS). ``split`` is what the corpus's adapter reads or, without official
splits, what ``crossing`` says.

SiW-Mv2. I: all 14 attacks on both sides, people divided. II: one attack is left out; the lists train on live videos of
their train list (531) and on the other attacks', and judge the live ones of their test list (265) and all videos of the
attack. Without those lists, ``fasray.protocols.crossing`` divides the people. The article reports mean and deviation
over the 14. III needs its lists: a face set knows neither which ethnicity, age and light they chose, nor why. They name
videos several times to balance the classes, and two videos in train and in test A, which must go from one of them.

CASIA-SURF CeFA. 1.k trains on one ethnicity and judges the two others and the masks (2,723 test videos). 2.1 trains on
cloth prints and judges screens and masks (2,323), 2.2 the other way round (2,923). 4.k is both, with screens (2,323).
The numbers are those of the lists: there is no 1.2, 1.4 or 1.6; 3 crosses modalities, of which an RGB face set has one.

HiFiMask. 1: all masks on both sides (45 people train, 6 choose, 24 judge); 2.k leaves a kind of mask out (2.1
transparent, 8,661 test videos). 3 keeps 3,715 and 536 videos of 1's for training: three scenes, five lights, four
sensors, and the transparent masks of 14 and 3 people only, for whom the lists give no rule.

UniAttackData. The lists of 1, 2.1 and 2.2 have the same people on both sides, and draw of each attack's videos those
that train.
"""

from __future__ import annotations

from fasray.errors import ProtocolError

SIW_MV2_ATTACKS = (
    "Makeup_Co", "Makeup_Im", "Makeup_Ob", "Mask_Half", "Mask_Mann", "Mask_Paper", "Mask_Silicone", "Mask_Trans",
    "Paper", "Partial_Eye", "Partial_Funnyeye", "Partial_Mouth", "Partial_Paperglass", "Replay",
)  # fmt: skip
"""SiW-Mv2's attacks by their official names, ``Paper`` for prints."""

_CEFA = {1: "AF", 3: "CA", 5: "EA"}


def _cefa(train: str, judged: str) -> str:
    return f"CeFA[{train},split=train|dev]->CeFA[{judged},split=test]"


def _filters() -> dict[str, str]:
    """Return the protocols that filters give, by name."""
    found = {"siw-mv2-1": "SiW-Mv2->SiW-Mv2"}
    for attack in SIW_MV2_ATTACKS:
        found[f"siw-mv2-2.{attack}"] = f"SiW-Mv2[instrument!={attack}]->SiW-Mv2[instrument={attack}]"
    for number, own in _CEFA.items():
        others = "|".join(name for name in _CEFA.values() if name != own)
        found[f"cefa-1.{number}"] = _cefa(f"ethnicity={own},ethnicity!=unknown", f"ethnicity={others}|unknown")
    found["cefa-2.1"] = _cefa("instrument=cloth", "instrument!=cloth")
    found["cefa-2.2"] = _cefa("instrument=screen", "instrument!=screen")
    for number, own in _CEFA.items():
        others = "|".join(name for name in _CEFA.values() if name != own)
        found[f"cefa-4.{number}"] = _cefa(
            f"ethnicity={own},ethnicity!=unknown,instrument=screen", f"ethnicity={others}|unknown,instrument!=screen"
        )
    found["hifimask-1"] = "HiFiMask[split=dev|train]->HiFiMask[split=test]"
    for number, mask in enumerate(("transparent", "plaster", "resin"), 1):
        found[f"hifimask-2.{number}"] = (
            f"HiFiMask[instrument!={mask},split=dev|train]->HiFiMask[instrument={mask},split=test]"
        )
    return found


FILTERED = _filters()
"""Name -> how the grammar says it."""


LISTED = {
    "siw-mv2-3": ("SiW-Mv2", "train_A_pretrain.txt test_{A_pretrain,B_spoof,C_race,D_age,E_ill}.txt"),
    "hifimask-3": ("HiFiMask", "CASIA_HiFiMask@p3_video_{train,dev,test}.txt"),
    "uniattack-1": ("UniAttackData", "UniAttackData@p1_video_{train,dev,test}.txt"),
    "uniattack-2.1": ("UniAttackData", "UniAttackData@p2.1_video_{train,dev,test}.txt"),
    "uniattack-2.2": ("UniAttackData", "UniAttackData@p2.2_video_{train,dev,test}.txt"),
}
"""Name -> dataset, and the published names of the lists that must be imported."""


def family(name: str) -> str:
    """Return the name under which a run and its siblings are averaged: ``cefa-1`` of ``cefa-1.3``; empty: alone."""
    stem, dot, _ = name.partition(".")
    return stem if dot else ""


def needs_lists(name: str) -> ProtocolError:
    """Return the error that says which lists a named protocol needs, and how they get into a sweep."""
    dataset, lists = LISTED[name]
    return ProtocolError(
        f"protocol {name} follows lists that only the owners of {dataset} give: {lists}",
        where="protocols",
        remedy=f"fasray protocol import {lists} --data SET --out {name}.json, and name that file in the sweep",
    )
