"""Letters, abbreviations, acronyms and Roman numerals as said. Tables first, a vowel rule for what they do not hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from most.data.dialogue.spoken.numbers import cardinal, ordinal

ABBREVIATIONS = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Prof.": "Professor", "Sgt.": "Sergeant", "Capt.": "Captain",
    "Lt.": "Lieutenant", "Col.": "Colonel", "Gen.": "General", "Gov.": "Governor", "Sen.": "Senator",
    "Rev.": "Reverend", "Hon.": "Honorable", "Jr.": "Junior", "Sr.": "Senior", "Inc.": "Incorporated",
    "Ltd.": "Limited", "Corp.": "Corporation", "Bros.": "Brothers", "Co.": "Company", "Dept.": "Department",
    "Univ.": "University", "Assn.": "Association", "Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road",
    "Hwy.": "Highway", "Mt.": "Mount", "Ft.": "Fort", "Apt.": "Apartment", "vs.": "versus", "vs": "versus",
    "approx.": "approximately", "e.g.": "for example", "i.e.": "that is", "eg.": "for example", "ie.": "that is",
    "etc.": "et cetera", "etc": "et cetera", "et al.": "and others", "cf.": "compare", "a.k.a.": "also known as",
    "aka": "also known as", "est.": "established", "dept.": "department", "govt.": "government", "min.": "minutes",
    "max.": "maximum", "incl.": "including", "misc.": "miscellaneous", "temp.": "temperature", "tel.": "telephone",
    "fig.": "figure", "Fig.": "Figure", "vol.": "volume", "Vol.": "Volume", "w/o": "without", "w/": "with ",
    "b/c": "because", "feat.": "featuring", "ft.": "featuring", "No.": "number", "no.": "number", "Nos.": "numbers",
    "pp.": "pages", "p.s.": "P S", "P.S.": "P S", "asap": "as soon as possible", "ASAP": "as soon as possible",
    "FYI": "F Y I", "btw": "by the way", "BTW": "by the way", "imo": "in my opinion", "IMO": "in my opinion",
    "tbh": "to be honest", "idk": "I don't know", "LOL": "ha ha", "lol": "ha ha", "omg": "oh my god",
    "OMG": "oh my god", "okay": "okay", "OK": "okay", "O.K.": "okay", "TV": "T V",
}  # fmt: skip
"""As written: as said. `No.`, `no.` only before a number; `Co.`, `Inc.` and their like keep a full stop that ends."""
_SAID_AS_WORD = """
    NASA NATO UNESCO UNICEF OPEC LASER RADAR SCUBA AIDS COVID FIFA UEFA NASCAR PIN SIM RAM ROM GIF JPEG SWAT
    FEMA NAFTA DARPA SARS BASIC COBOL LEGO IKEA JSON YAML BERT LAMP SNAP NIMBY YOLO FOMO ABBA MOMA NORAD POTUS
    SCOTUS FLOTUS ASCII DOS GUI WYSIWYG MIDI HIPAA OSHA CAPTCHA TED WASP ZIP MAGA DAESH ISIS ASEAN TASER SONAR
    MASH CATS ICE
"""
SAID_AS_WORD = frozenset(_SAID_AS_WORD.split())
_SPELLED = """
    USA UAE EU UK UN US IT AI IQ ID IP IRA AAA CIA FDA EPA IOU NBA NFL NHL MLB UFC UFO UFOS ESPN IMDB AMC ABC
    NBC CBS HBO MIA MVP NCAA ACL ACC AFC API URL USB EDM ATM IRS ADA ADHD EKG ER IV IPO ISO LA OS PA RIP SUV UV
    CEO CFO CTO AKA DIY ETA FAQ GPA HIV OCD OJ AC DC MC EP LP ELO ACDC REM INXS NWA DJ RNB TLC UCLA USC LSU
    ODB EPL AOL IBM BMW MIT NYU
"""
SPELLED = frozenset(_SPELLED.split())
_SHOUTED = """
    I A NO YES ALL THE AND NOT SO BUT YOU ARE HE SHE WE ME MY IS WAS ANY CAN DID DO FOR GET GO GOOD HAD HAS HAVE
    HOW IF IN JUST LIKE LOVE MAN MORE NEVER NEW NOW OF OFF OH ON ONE OR OUR OUT OVER SEE THAT THEM THEY THIS TO
    TOO TOP TWO UP VERY WAY WHAT WHEN WHO WHY WILL WITH WOW YOUR HER HIM HIS ITS LET BIG BAD BEST EVER REALLY
    OLD END BE BY AT AS AM AN ONLY ALSO EVEN SOME MUCH STOP WAIT YEAH HEY HI ENTIRE EVERY ALWAYS GREAT FUN USE
    WAR MAY SAY RUN SET TRY EAT
"""
SHOUTED = frozenset(_SHOUTED.split())
"""Common words in capitals: said as words, not spelled."""
_NUMERAL = r"(?:X{0,3}(?:IX|IV|V?I{0,3})|XL(?:IX|IV|V?I{0,3})|LX{0,3}(?:IX|IV|V?I{0,3}))"
_RULERS = (
    "Henry|John|Louis|Elizabeth|George|Edward|James|Charles|William|Richard|Philip|Francis|Frederick|Leopold|Nicholas|"
    "Peter|"
    "Catherine|Alexander|Pius|Benedict|Paul|Leo|Gregory|Innocent|Napoleon|Ramses|Ferdinand|Alfonso|Gustav|Haakon|"
    "Juan Carlos"
)
_NUMBERED = (
    "War|Chapter|Part|Episode|Volume|Act|Scene|Type|Phase|Book|Section|Article|Title|Season|Level|Class|Stage|Mark|Division|"
    "Bowl|Appendix|Figure|Table|Grade|Tier|Unit|Apollo|Fantasy|Schedule"
)
_STARTERS = (
    "The|It|We|He|She|They|You|I|That|This|But|And|So|If|In|There|My|What|When|Then|Do|Did|Is|Are|Yes|No|Now|How"
)
_CAPITALISED = r"[A-Z][a-z’']+"


_NAME_FOLLOWS = """
    Mr. Mrs. Ms. Prof. Sgt. Capt. Lt. Col. Gen. Gov. Sen. Rev. Hon. Mt. Ft. e.g. i.e. vs. No. feat. ft. cf. Ave.
"""
_BEFORE_NAMES = frozenset(_NAME_FOLLOWS.split())
"""Abbreviations behind which a capital does not mean that a sentence ended."""


def roman(text: str) -> int:
    """The value of a Roman numeral below 90."""
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[c] for c in text]
    return sum(-v if v < max([0, *values[k + 1 :]]) else v for k, v in enumerate(values))


def spelled(letters: str) -> str:
    """`"FBI"` -> "F B I"."""
    return " ".join(letters.upper())


def acronym(letters: str) -> str:
    """Capital letters as said: a word of the tables, else spelled if it has no vowel pattern that English can say."""
    if letters in SPELLED:
        return spelled(letters)
    if letters in SAID_AS_WORD:
        return letters
    if letters in SHOUTED:
        return letters.lower() if letters != "I" else letters
    sayable = len(letters) >= 4 and re.fullmatch(r"(?:[^AEIOUY]{0,2}[AEIOUY]{1,2})+[^AEIOUY]{0,2}", letters)
    return letters if sayable else spelled(letters)


def _acronym(m: re.Match[str]) -> str:
    said, tail = acronym(m[1]), m[2].replace("’", "'")
    if not tail:
        return said
    return said + ("'s" if " " in said else tail)


def _dotted(m: re.Match[str]) -> str:
    said = " ".join(c.upper() for c in m[0] if c.isalpha())
    after = m.string[m.end() :]
    ends = not after.strip() or re.match(rf"\s+(?:{_STARTERS})\b", after) or after[0] == "\n"
    return said + ("." if m[0].endswith(".") and ends else "")


def _abbreviation(m: re.Match[str]) -> str:
    said = ABBREVIATIONS[m[0]]
    after = m.string[m.end() :]
    ends = m[0].endswith(".") and m[0] not in _BEFORE_NAMES and (not after.strip() or re.match(r"\s+[A-Z]", after))
    return said + ("." if ends else "")


def _ruler(m: re.Match[str]) -> str:
    return f"{m[1]} the {ordinal(str(roman(m[2]))).title()}"


def _numbered(m: re.Match[str]) -> str:
    return f"{m[1]} {cardinal(str(roman(m[2]))).title()}"


_SORTED = sorted(ABBREVIATIONS, key=len, reverse=True)
_PLAIN = "|".join(re.escape(a) for a in _SORTED if a not in ("No.", "no.", "Nos.", "min.", "ft.", "Co.", "est."))
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"\b(?:No|no|Nos)\.\s?(?=\d)", lambda m: "number "),
    (r"#\s?(?=\d)", lambda m: "number "),
    (r"\bDr\.(?=\s+[A-Z])|(?<![a-z] )\bDr\.", lambda m: "Doctor"), (rf"(?<={'[a-z]'} )Dr\.", lambda m: "Drive"),
    (r"\bSt\.(?=\s+[A-Z])(?<![a-z] St\.)|(?:^|(?<=[.,!?;:]\s)|(?<=\b(?:in|at|of|to|on) )|(?<=\bthe ))St\.(?=\s+[A-Z])",
     lambda m: "Saint"),
    (r"(?<=[a-z] )St\.(?=\s+[a-z]|[,;]|\s*$)", lambda m: "Street"), (r"\bSt\.(?=\s+[A-Z])", lambda m: "Saint"),
    (r"\bSt\.", lambda m: "Street"),
    (rf"\b({_RULERS})\s+({_NUMERAL})(?<=[IVXL]{{2}})(?!\w|['’](?!s))", _ruler),
    (rf"\b({_RULERS})\s+([IVX])(?=\s*[.,;:!?)]|\s*$|\s+(?:of|was|is|and|reigned|had)\b)", _ruler),
    (rf"\b((?:{_NUMBERED}))\s+(?=[IVXL])({_NUMERAL})(?=\s*[.,;:!?)]|\s*$|\s+(?!am|have|like|love|think|was|saw|did|can|want)\w)",
     _numbered),
    (rf"\b({_CAPITALISED})\s+(II|III|IV|VI|VII|VIII|IX|X[IV]|XI[IVX]|X?XIII|XVII?I?|XX[IVX]+)(?!\w|['’](?!s))",
     _numbered),
    (rf"(?<![\w.@/])(?:{_PLAIN})(?<=\.)(?!\w)|(?<![\w.@/'’-])(?:{_PLAIN})(?![\w'’.-])|(?<!\w)w/(?=\s?\w)",
    _abbreviation),
    (r"\b(?:Co)\.(?=\s|,|$)(?<=[a-z&] Co\.)", lambda m: "Company"),
    (r"\b(?:Jan|Feb|Aug|Sept|Oct|Nov|Dec)\.(?=\s|,|$)", lambda m: {
        "Jan": "January", "Feb": "February", "Aug": "August", "Sep": "September", "Oct": "October", "Nov": "November",
        "Dec": "December"}[m[0][:3]]),
    (r"\bPh\.?D\.?(?!\w)", lambda m: "P H D"),
    (r"(?<![\w.])(?:[A-Za-z]\.){2,}(?!\w)", _dotted), (r"(?<![\w.])(?:[A-Z]\.){1,}(?=[A-Z]\b)", _dotted),
    (rf"(?<=[A-Za-z] )([A-Z])\.(?=\s(?!(?:{_STARTERS})\b)[A-Z][a-z.])(?<=[A-Z]\.)(?<!\bI\.)", lambda m: m[1]),
    (rf"(?:^|(?<=[.!?]\s))([A-HJ-Z])\.(?=\s(?!(?:{_STARTERS})\b)[A-Z][a-z.])", lambda m: m[1]),
    (r"\bAT&T\b", lambda m: "A T and T"), (r"\b([A-Z])&([A-Z])\b", lambda m: f"{m[1]} and {m[2]}"),
    (r"\bC\+\+", lambda m: "C plus plus"), (r"\b([CF])#(?!\w)", lambda m: f"{m[1]} sharp"),
    (r"\bN/A\b", lambda m: "N A"),
    (r"\b([A-Z])/([A-Z])\b", lambda m: f"{m[1]} {m[2]}"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), say) for pattern, say in _RULES)
_SHOUTING = re.compile(r"\b[A-Z]{2,}(?:['’][A-Z]+)?(?:[\s,]+(?:[A-Z]{2,}(?:['’][A-Z]+)?|I|A)\b){2,}")
_ACRONYM = re.compile(r"(?<![\w'’])([A-Z]{2,})((?:['’]?s)?)(?![\w])")
_SHOUTED_NOT = re.compile(r"\b([A-Z]+)['’](T|S|M|RE|VE|LL|D)\b")


def _lowered(m: re.Match[str]) -> str:
    words = re.findall(r"[A-Z]+", m[0])
    if not any(w in SHOUTED for w in words) or not any(len(w) >= 4 for w in words):
        return m[0]
    kept = lambda w: w[0] in SAID_AS_WORD or w[0] in SPELLED - {"US", "IT"} or w[0] == "I"  # noqa: E731
    return re.sub(r"[A-Z]+", lambda w: w[0] if kept(w) else w[0].lower(), m[0])


def say_words(text: str) -> str:
    """Expand abbreviations and Roman numerals. Runs before numbers are read: `No. 5` needs its digit."""
    for pattern, say in _COMPILED:
        text = pattern.sub(say, text)
    return text


def say_acronyms(text: str) -> str:
    """Spell or keep runs of capital letters; shouted sentences are lowered."""
    text = _SHOUTING.sub(_lowered, text)
    text = _SHOUTED_NOT.sub(lambda m: m[0].lower() if m[1] != "I" else "I" + m[0][1:].lower(), text)
    return _ACRONYM.sub(_acronym, text)
