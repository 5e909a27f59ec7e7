"""A model's refusal: the agreed words, or a short reply in its own words that the sources do not have it."""

from __future__ import annotations

from rag.text import compiled

REFUSAL = "NOT IN THE DOCUMENTS"
_REFUSED = rf"\s*\W?{REFUSAL}\W?(?=\s|$)"
_NOISE = r"[\s*_`\"'.>#-]+"
_MARKED = r"\s*\[\d+\]"
_LONGEST = 400
_LONGEST_ELSEWHERE = 250
_ENGLISH = (
    r"(?i)\W*(?:(?:i(?:'m| am) sorry|sorry|unfortunately|based on the [\w ]{3,30})\W+(?:but )?)*"
    r"(?:there is no (?:information|mention|answer)\b"
    r"|(?:none|neither) of the (?:\w+ )?(?:sources|documents|passages)\b"
    r"|(?:the|these|your) (?:\w+ )?(?:sources?|documents?|passages?|text|context)\b[^.!?\[]{0,40}?"
    r"\b(?:do(?:es)?(?: not|n't|n’t)|contains? no|provides? no|gives? no|says? nothing|(?:is|are) silent)\b)"
)
_HOLDERS = r"(?i)\b(?:sources?|documents?|passages?|text|context)\b"
_TURNS = (
    r"(?i)\b(?:but|however|although|though|while|except|only|aber|jedoch|sondern|mais|cependant|pero|sino|ma|però|mas|"
    r"porém|maar|echter|но|однако)\b|但|不过|不過|しかし|ただし|لكن|;"
)
_REPORTS = (
    r"(?i)\b(?:laut|gemäß|zufolge|selon|d['’]après|según|de acuerdo|secondo|in base|segundo|de acordo|volgens|"
    r"согласно)\b|根据|根據|据|によると|によれば|وفقا|بحسب"
)
_SENTENCE = r"[^.!?。！？؟\n]*[.!?。！？؟]*"
_WITH_WORDS = {
    "de": (
        r"quellen?|dokument(?:e|en)?|unterlagen|texte?n?|textstellen?|passagen|auszügen?|kontext",
        r"nicht|nichts|kein\w*",
        r"enth[aä]lt\w*|erwähn\w*|nenn\w*|angaben?|information\w*|sag\w*|steh(?:t|en)|hervor\w*|beantwort\w*|find\w*",
    ),
    "fr": (
        r"sources?|documents?|passages?|textes?|extraits?|contexte",
        r"ne|n['’]\w+|aucune?|rien",
        r"contien\w*|mention\w*|indiqu\w*|précis\w*|inform\w*|répond\w*|fourni\w*|donn\w*|trouv\w*|di(?:t|sent)|parl\w*",
    ),
    "es": (
        r"fuentes?|documentos?|pasajes?|textos?|contexto",
        r"no|ning[uú]n\w*|nada|tampoco",
        r"contien\w*|mencion\w*|indica\w*|informaci\w*|respond\w*|proporcion\w*|dice\w*|especific\w*|encuentr\w*|aparece\w*",
    ),
    "it": (
        r"font[ei]|documenti?o?|passaggi?o?|brani|testi|testo|contesto",
        r"non|nessun\w*|nulla|niente",
        r"conten\w*|contien\w*|menzion\w*|indica\w*|informazion\w*|rispond\w*|forni\w*|dic\w*|specific\w*|trov\w*|parl\w*",
    ),
    "pt": (
        r"fontes?|documentos?|passagens|trechos?|textos?|contexto",
        r"não|nenhum\w*|nada",
        r"cont[eéê]m\w*|mencion\w*|indica\w*|informaç\w*|respond\w*|fornec\w*|diz\w*|especific\w*|encontr\w*|consta\w*",
    ),
    "nl": (
        r"bron(?:nen)?|documenten|document|teksten|tekst|passages?|fragmenten|context",
        r"niet|niets|geen",
        r"bevat\w*|vermeld\w*|noem\w*|genoemd|informatie|zeg(?:t|gen)|sta(?:at|an)|beantwoord\w*|gevonden|te vinden",
    ),
    "ru": (
        r"источник\w*|документ\w*|текст\w*|отрывк\w*|контекст\w*",
        r"не|нет|ничего|никак\w*|отсутству\w*",
        r"содерж\w*|упомина\w*|указ\w*|информаци\w*|сведени\w*|сказан\w*|сообща\w*|отве[тч]\w*|говор\w*|данны\w*",
    ),
}
_WITH_CHARACTERS = (
    (r"文档|文檔|文件|资料|資料|来源|來源|文中|上下文|材料|原文|文本", r"没有|沒有|未|不|无|無",
     r"提供|提及|提到|包含|说明|說明|信息|资讯|資訊|回答|答案|找到|记载|記載|给出|涉及"),
    (r"文書|資料|ドキュメント|出典|情報源|ソース|文脈|テキスト|文中|本文", r"ない|ません|なかった|おらず",
     r"記載|記述|書かれ|言及|含まれ|情報|見つか|答え|回答|述べ|示され|触れ"),
    (r"مصادر|المصدر|مستند|وثائق|الوثيقة|نصوص|النص|السياق|مقاطع", r"(?<!\w)(?:و?لا|لم|ليس|ليست|أي)(?!\w)",
     r"ذكر|تحتوي|يحتوي|معلومات|تتضمن|يتضمن|تجيب|تشير|توفر|تقدم|توجد|يوجد|إجابة"),
)  # fmt: skip
"""For each language: what holds the answers, a negation, and what the first fails to do."""
_ELSEWHERE = (
    *(tuple(rf"(?i)\b(?:{words})\b" for words in row) for row in _WITH_WORDS.values()),
    *_WITH_CHARACTERS,
)


def may_be_refusal(text: str) -> bool:
    """Whether what has come so far could still become the agreed refusal."""
    squeezed = _squeeze(text)
    wanted = _squeeze(REFUSAL)
    return wanted.startswith(squeezed) or (squeezed.startswith(wanted) and len(squeezed) <= len(wanted) + 20)


def is_refusal(text: str) -> bool:
    """Whether the whole reply is the agreed refusal."""
    return _squeeze(text).startswith(_squeeze(REFUSAL))


def without_refusal(text: str) -> str:
    """The text without the agreed words, which a model may put beside an answer."""
    return compiled(_REFUSED).sub("", text)


def declines(text: str) -> bool:
    """Whether a reply says that the sources do not have it: by the agreed words somewhere in it, or in words of its
    own at its beginning, as small models do.

    A reply with markers declines only if it is a single sentence that does not turn.
    """
    plain = compiled(_MARKED).sub("", text).strip()
    if compiled(_MARKED).search(text):
        first = compiled(_SENTENCE).match(plain)
        single = first is not None and first.end() == len(plain)
        named = _declines_elsewhere(plain) or bool(compiled(_ENGLISH).match(plain) and compiled(_HOLDERS).search(plain))
        return single and not compiled(_TURNS).search(plain) and named
    english = len(text) <= _LONGEST and bool(compiled(_ENGLISH).match(plain))
    return english or bool(compiled(_REFUSED).search(text)) or _declines_elsewhere(plain)


def _declines_elsewhere(text: str) -> bool:
    """Whether a short text declines in another language than English."""
    if len(text) > _LONGEST_ELSEWHERE or compiled(_TURNS).search(text) or compiled(_REPORTS).search(text):
        return False
    first = compiled(_SENTENCE).match(text)
    said = first[0] if first else ""
    return any(all(compiled(part).search(said) for part in language) for language in _ELSEWHERE)


def _squeeze(text: str) -> str:
    return compiled(_NOISE).sub("", text).upper()
