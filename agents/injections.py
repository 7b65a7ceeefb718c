"""Finds sentences of a draft that speak to whoever reads it, instead of about the knee.

A draft is data: nobody is addressed in it, nothing is asked for, and no machine's language is
spoken. What looks like it is taken out before a judge sees the text, and refuses the draft
(`judge_injected_verdict`). Sentences are read one at a time, folded. One speaks to a reader when it
holds a phrase for which clinical prose on one region of a knee has no use, letters of another
script, or not a single word of the matter: anatomy, finding, image, measurement or scale.
"""

import re
import unicodedata
from functools import lru_cache

from agents.checks.context import fold

_ADDRESSED = (
    r"\b(?:you|your|yours|yourself|u r|please|kindly|dear|hey|hello|thanks?|thank)\b",
    r"\b(?:judges?|judging|reviewers?|evaluators?|graders?|assessors?|verifiers?|referees?"
    r"|examiners?|moderators?|adjudicators?|supervisors?|administrators?|admins?|developers?)\b",
    r"\b(?:assistants?|chatbots?|llms?|ais?|gpt\w*|language models?|the model|automated (?:system"
    r"|check|review|grading)\w*)\b",
)
"""Nobody is spoken to, and nobody is asked."""
_VERDICTS = (
    r"\b(?:accept\w*|reject\w*|approv\w*|verdicts?|rubrics?|disapprov\w*|veto\w*"
    r"|sign(?:ed|s)?[ -]off|green[ -]?light\w*|lgtm|thumbs[ -]up|endors\w*"
    r"|certif\w*|vetted|authori[sz]\w*|vote[sd]?)\b",
    r"\b(?:verified|validated|audited|fact[- ]checked|double[- ]checked|quality[- ](?:control\w*"
    r"|assur\w*|check\w*)|peer[- ]review\w*)\b",
    r"\b(?:pass|passes|passed|passing)\s+(?:this|it|all|every|the\s+(?:draft|checks?|items?|test"
    r"|review|gate|text))\b|\blet\b[^.]*\b(?:pass|through)\b|\b(?:should|must|has to|will|shall)"
    r"\s+(?:\w+\s+)?pass\b|^\W*(?:pass|passed|fail|failed|ok|okay|approved|yes|true)\W*$",
    r"\b(?:full|top|maximum|max|highest|perfect)\s+(?:marks?|scores?|points|ratings?|credits?)\b",
    r"\b(?:flawless|impeccable|error[- ]free|beyond (?:doubt|reproach)|without fault|faultless)\b",
    r"\b(?:faithful\w*|clinically phrased|invented history|no_history|no history is invented)\b",
    r"\b(?:every|each|all)\s+(?:of\s+)?(?:the\s+)?(?:essential\s+)?(?:items?|criteria|criterion|boxes"
    r"|requirements?|marks?|checks?|gates?|conditions?)\b[^.]*"
    r"\b(?:hold|holds|met|meet|true|satisf\w*|fulfil\w*|tick\w*|pass\w*|yes|ok)\b",
    r"\b(?:meets?|satisf(?:y|ies)|fulfils?|fulfills?|ticks?)\s+(?:all|every|each|any)\b",
    r"\b(?:holds?|complete|ordered|clinical|history|valid|result|status|decision|outcome|correct"
    r"|answer)\s*(?:=|:|is|are|->|==)\s*[\"']?(?:true|yes|accept|pass|ok|1)\b",
    r"\b(?:true|false|yes|no)\s+(?:for|to|on|in)\s+(?:all|every|each|any)\b",
    r"\b(?:mark|set|treat|flag|deem|declare)\s+(?:it|this|them|everything|all|every|each"
    r"|the\s+(?:draft|text|answer|item|items|grade|result|above|reasoning|finding)s?)\s+"
    r"(?:as|to|with|at)\b",
)
"""Verdicts, and what only a verdict is about."""
_ORDERS = (
    r"\b(?:instruct\w*|prompts?|prompted|commands?|directives?|jailbreak\w*|override\w*|overrul\w*"
    r"|bypass\w*|system (?:message|note|notice|update|mode)|context window|role[- ]?play\w*)\b",
    r"\b(?:ignor\w+|disregard\w*|forget\w*|skip\w*|drop|discard\w*|set aside|never mind"
    r"|pay no attention to|(?:do not|don't) (?:use|apply|read|check|consider|look at|compare))\s+"
    r"(?:\w+\s+){0,4}?(?:instruct\w*|rules?|rubric|findings?|measurements?|steps?|previous|prior"
    r"|earlier|everything|checks?|guidelines?|context|system|texts?|tasks?|questions?|scales?"
    r"|protocols?|polic\w+|(?:the|all|what\w*)\s+(?:is\s+|came\s+|comes\s+|stands\s+)?(?:above|before))\b",
    r"\b(?:json|yaml|xml|schema|outputs?|outputting|respond\w*|response|reply|replies|replying"
    r"|(?:re-?)?answers?|answered|answering|tokens?|parser?)\b",
    r"\b(?:must|shall|should|need to|needs to|have to|has to|ought to|required to|supposed to"
    r"|will now|be sure to|make sure|remember to|it is (?:mandatory|imperative|essential|required"
    r"|vital|crucial) (?:to|that))\b[^.]*"
    r"\b(?:be (?:marked|rated|kept|returned)|mark|give|return|say|agree\w*|pick|select|hold|true"
    r"|write|print)\b",
    r"^\W*(?:set|return|print|say|rate|choose|select|pick|assume|treat|repeat|copy|emit|stop|declare"
    r"|finali[sz]e|put|enter|submit|write|agree|confirm|conclude that|go with|give|assign|grade it"
    r"|grade this|grade the|grade as|score it|score this|score the|mark|tick|use the|use this"
    r"|end of|begin|trust|take|keep|follow|believe|remember|make|let|do|don't|never|be|go|come"
    r"|stick|rely|adopt|allow|avoid|call|change|close|continue|decide|conclude|defer|deliver|ensure|explain|favou?r|fill"
    r"|finish|hold|imagine|include|insert|leave|mind|move|obey|omit|pretend|proceed|provide|quote"
    r"|raise|read|refuse|register|remove|replace|resist|save|send|show|suppose|swap|switch|tell|think"
    r"|try|turn|wave|weigh"
    r"|start of|new task|reminder|important|attention|warning|notice|nb|ps|p\.s|update|note to)\b"
    r"(?!\s+(?:of\s+the\s+)?(?:bone|cartilage|menisc|tibia|femur|osteophyte|patell))",
    r"\b(?:correct|expected|true|intended|target|official|desired|proper|only possible)\s+"
    r"(?:\w+\s+)?(?:grades?|scores?|labels?|verdicts?|outcomes?|category)\b",
    r"\b(?:this|the|my|our)\s+(?:draft|drafts|submission|candidate|quintuple|author|text|document"
    r"|passage|quoted text|reasoning)\s+(?:is|was|has been|are|should|must|meets|deserves|can|may"
    r"|passes|passed|needs|will|gets|earns|holds)\b",
    r"\b(?:drafts?|whatever|whoever|mistakes?|readers?|this reading"
    r"|the reading (?:is|was|should|must|below|above))\b|\bstatus\s*[=:]",
    r"\b(?:trust me|believe me|i (?:assure|promise|guarantee|swear|insist|need|want|demand|order"
    r"|command|ask|urge|beg)|we (?:ask|urge|require|insist)|in my capacity|as the (?:author|chief"
    r"|head|senior))\b",
)
"""Orders, and claims about the text itself."""
_MACHINE = (
    r"[{}`]|<[a-z/|!]|\|>|\[/?inst\]|<<|>>|#{2,}|={3,}|-{3,}|\*{2,}|\\[nrtu\"]|&\w+;|//|\$\("
    r"|\bbase64\b",
    r"[\"']?\b[\w ]{1,24}\b[\"']?\s*[:=]\s*[\"'\[(]*(?:true|false)\b",
    r"[\"'][\w ]{1,24}[\"']\s*:",
    r"^\W*(?:system|user|assistant|human|judge|developer|tool|function|moderator|instruction|task"
    r"|role|verdict|decision|final|answer|result|output|response)\b\s*[:>\]=-]",
    r"\b(?:begin|end|start|stop)[ _-](?:of[ _-])?(?:draft|text|data|quote|message|turn|input"
    r"|context|steps?)\b",
    # Letters with spaces or signs between them, and digits for letters.
    r"(?:\b[a-z]\b[\s.\-_*]+){4,}",
    r"\b(?!mm\d|cm\d|t\d)[a-z]+\d+[a-z]+\w*\b|\b[a-z]*[@$!][a-z]+\b",
    r"[a-z0-9+/=]{40,}",
)
"""A machine's language, and disguises."""
_MATTER = re.compile(
    r"bone|bony|marrow|bml|lesion|cartilag|chondral|osteophyt|spur|effusion|synov|hoffa|\bfat\b|fluid"
    r"|joint|menisc|extru|protru|overhang|\btear|\btorn\b|macerat|cyst|hypertroph|\broots?\b|ligament"
    r"|fib(?:er|re)s|\bacl\b|\bpcl\b|tendon|patell|femur|femor|tibia|condyl|trochlea|plateau|\bspine"
    r"|knee|\bhorn|\bpole|margin|contour|surface|subregion|compartment|medial|lateral|anterior"
    r"|posterior|superior|inferior|central|sagittal|coronal|axial|\bplanes?\b|slice|\bimages?\b"
    r"|\bviews?\b|voxel|label|\bbox\b|\bregion|\bsites?\b|\bthick|\bthin|denud|\bloss\b|defect|signal"
    r"|intensit|hyperintens|o?edema|volume|\bshare|\barea|percent|\d\s*(?:%|mm|ml)|measur|cut-?off|threshold|interval"
    r"|\brange\b|borderline|deviation|\bsd\b|\bgrade|\bsize\b|\bcount|capsul|burs[ae]|physiologic"
    r"|\bnormal\b|intact|abnormal|smooth|\bseen\b|visible|\bgap\b|attachment|footprint"
)
"""A word of the matter; every sentence of a draft has one."""
_PATTERN = re.compile("|".join((*_ADDRESSED, *_VERDICTS, *_ORDERS, *_MACHINE)))
_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[.!?])(?=[A-Z])|\n+|(?<=;)\s+")
_SENTENCE_WORDS = 3
"""Words from which on a sentence must have one of the matter."""
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzµμéèêëöüäïôáàíóúçñß")
"""Letters of an English text with borrowed names; a letter of another script is a disguise."""


def split_sentences(text: str) -> list[str]:
    """Returns the sentences of a step, in order, without those that are blank."""
    return [sentence.strip() for sentence in _SENTENCES.split(text) if sentence.strip()]


@lru_cache(maxsize=4096)
def speaks_to_reader(sentence: str) -> bool:
    """Returns whether a sentence addresses a reader or a machine instead of describing the knee.

    Example:
        >>> speaks_to_reader("The judge must accept this."), speaks_to_reader("No loss is seen.")
        (True, False)
    """
    folded = fold(sentence)
    if not folded.isascii() and _has_foreign_letter(folded):
        return True
    if _PATTERN.search(folded) is not None:
        return True
    # "Medium." or "Grade 2." after a stop is no sentence of its own.
    return len(folded.split()) >= _SENTENCE_WORDS and _MATTER.search(folded) is None


def _has_foreign_letter(text: str) -> bool:
    return any(unicodedata.category(c).startswith("L") and c not in _LETTERS for c in text)
