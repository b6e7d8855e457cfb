"""Which corpora there are, by name."""

from __future__ import annotations

from fasray.errors import SpecError, did_you_mean
from fasray.faces.corpora.casia_fasd import CasiaFasd
from fasray.faces.corpora.casia_surf import CasiaSurf
from fasray.faces.corpora.cefa import Cefa
from fasray.faces.corpora.celeba_spoof import CelebaSpoof
from fasray.faces.corpora.corpus import Corpus
from fasray.faces.corpora.csv_corpus import CsvCorpus
from fasray.faces.corpora.folders import Folders
from fasray.faces.corpora.hifimask import HifiMask
from fasray.faces.corpora.hkbu_mars import HkbuMars
from fasray.faces.corpora.msu_mfsd import MsuMfsd
from fasray.faces.corpora.oulu_npu import OuluNpu
from fasray.faces.corpora.replay_attack import ReplayAttack
from fasray.faces.corpora.rose_youtu import RoseYoutu
from fasray.faces.corpora.siw import Siw
from fasray.faces.corpora.siw_mv2 import SiwMv2
from fasray.faces.corpora.suhifimask import SuHifiMask
from fasray.faces.corpora.three_dmad import ThreeDMad
from fasray.faces.corpora.uniattack import UniAttack
from fasray.faces.corpora.wmca import Wmca

_CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        OuluNpu(),
        CasiaFasd(),
        ReplayAttack(),
        MsuMfsd(),
        RoseYoutu(),
        Siw(),
        CelebaSpoof(),
        SiwMv2(),
        CasiaSurf(),
        Cefa(),
        Wmca(),
        HifiMask(),
        SuHifiMask(),
        HkbuMars(),
        ThreeDMad(),
        UniAttack(),
        CsvCorpus(),
        Folders(),
    )
}


def names() -> list[str]:
    """Return the names of all corpora, in the order of the literature's tables."""
    return list(_CORPORA)


def get(name: str) -> Corpus:
    """Return the adapter of this name.

    Raises:
        SpecError: there is no such corpus; the nearest name is suggested.
    """
    if name not in _CORPORA:
        raise SpecError(f"there is no corpus {name!r}", where="corpus", remedy=did_you_mean(name, _CORPORA))
    return _CORPORA[name]
