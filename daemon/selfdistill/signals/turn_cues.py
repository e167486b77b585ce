"""The cues in a person's own words, in lower case, that show what a turn says of the work before it.

General English of developers who talk to coding agents: each expression is one idea with many phrasings, and none knows
a project. How much each one counts is told by `turn_weights.py`, never here.
"""
# ruff: noqa: E501 - expressions are read in one piece, one below the other

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple


def _any(*patterns: str) -> str:
    return "(?:" + "|".join(patterns) + ")"


# Words that only lead up to what a turn says: "ok so, hmm, but ...".
_RUN_UP: Final = r"^\W*(?:(?:oh|ah|hm+|um+|so|and|also|well|hey|sorry|btw|please|ok|okay|claude|codex)\b\W*){0,3}"
# Words that agree, before what is agreed to: "yes please, go ahead and ...".
_ASSENTING: Final = r"(?:(?:yes|yeah|yep|yup|sure|right|great|cool|nice|perfect|good|looks? good|lgtm|thanks|alright|now|then|please|just|can you|could you|go ahead and|and|let'?s|let us)\b\W*){0,4}"
_VERBS: Final = (
    r"add|address|adjust|adapt|align|allow|amend|analy[sz]e|answer|append|apply|approve|archive|ask|assume|audit|avoid|bring|build|bump|"
    r"call|change|check|clarify|clean|clone|close|combine|comment|commit|compare|complete|confirm|consider|continue|convert|copy|cover|create|cut|"
    r"debug|define|delete|deploy|describe|design|disable|do|document|double-?check|download|draft|drop|dump|edit|enable|ensure|evaluate|eval|"
    r"execute|expand|explain|explore|export|expose|extend|extract|fetch|figure|file|fill|find|finish|fix|fold|follow|force|format|generate|get|"
    r"give|go|grab|group|handle|help|hide|ignore|implement|import|improve|include|increase|inline|insert|inspect|install|integrate|introduce|"
    r"investigate|keep|launch|leave|limit|link|list|load|log|look|make|mark|merge|migrate|minimi[sz]e|mock|modify|monitor|move|note|open|"
    r"optimi[sz]e|outline|parse|pass|perform|pick|pin|plan|polish|port|post|prepare|present|print|proceed|propose|provide|publish|pull|push|put|"
    r"read|rebase|rebuild|recreate|redo|reduce|refactor|regenerate|release|remove|rename|render|reorder|reorgani[sz]e|repeat|rephrase|replace|reply|"
    r"reproduce|rerun|research|reset|resolve|respond|restart|restructure|resume|retry|reuse|review|revise|rework|rewrite|run|save|scan|search|"
    r"see|send|separate|set|setup|share|show|simplify|skip|sort|split|squash|start|store|submit|suggest|summari[sz]e|switch|sync|tag|take|tell|"
    r"think|tidy|track|translate|trigger|trim|try|turn|tweak|unify|update|upgrade|upload|use|validate|verify|wait|walk|watch|wire|wrap|write"
)
_ORDER: Final = rf"(?:(?:can|could|would|will|should|shall) (?:you|we|i|u)\b|let'?s\b|let us\b|let me\b|i(?:'d| would) (?:like|love)|i want\b|i need|i think we (?:should|can|could|need)|we (?:should|need|can|could|want|also need)|how about|what about|(?:(?:always|never) )?(?:{_VERBS})\b(?! (?:fails?|failed|is|are|was|has|still|not|was)\b))"
_IT: Final = r"(?:it|this|that|these|those|they|which|everything|nothing|something)"
_IS: Final = r"(?:'s|'re| is| are| was| were| looks?| seems?| feels?| sounds?| still)?(?: still| also| just| really| now| totally| completely| actually| clearly| all| a bit| quite| kind of| pretty| definitely)*"
_NOT: Final = r"(?:n't|nt| not)"
_CHECKS: Final = r"(?:tests?|test suite|builds?|ci|lint(?:er|ing)?|pipelines?|jobs?|workflows?|checks?|compil(?:e|er|ation)|type ?check(?:s|ing)?|e2e|integration tests?|unit tests?|deploy(?:ment)?s?|actions?)"
_PROBLEM: Final = r"(?:errors?|failures?|exceptions?|crash(?:es)?|warnings?|issues?|problems?|bugs?|panics?|stack ?traces?|tracebacks?|timeouts?|conflicts?|regressions?|typos?|mistakes?|40\d|50\d)"

_EXPRESSIONS: Final[tuple[tuple[str, str], ...]] = (
    # -- contradiction -------------------------------------------------------------------------------------------
    (
        "denial",  # "no, ..." but neither "no need", "no problem" nor "no more questions"
        _RUN_UP
        + r"(?:no+|nope|nah|wrong|incorrect|not (?:quite|really|exactly|what|that|this|like|true|correct|right)|yeah,? no)\b"
        r"(?! (?:need|problem|worries|worry|rush|idea|questions?|more|further|thanks|thank|big|matter|longer|one|changes?|hurry))",
    ),
    (
        "halt",
        _RUN_UP + r"(?:stop|don'?t|do not|cancel|abort|not yet|leave (?:it|that|them|this)|hold off)\b",
    ),
    (
        "surprise",
        _RUN_UP
        + r"(?:wait|hold on|hang on|hold up|whoa|huh|what\?|what the|hm+\b|uh+\b|strange|weird|odd|interesting|really\?)",
    ),
    ("however", r"^.{0,80}?\b(?:but|however|though|although|except|actually)\b"),
    (
        "blame",
        r"\byou(?:'ve| have|r changes?| also| just| still| again| seem to have| accidentally| must have|'re| are)* "
        + _any(
            r"forg[eo]t(?:ten)?",
            r"miss(?:ed|ing)",
            r"br(?:oke|eak|oken|eaking)",
            r"mis(?:understood|read|interpreted|took|sed)",
            r"removed|deleted|dropped|lost|overwrote|overwritten|ignor(?:ed|ing)|skipped|hardcoded|duplicated",
            r"made (?:a mistake|an error|up)|hallucinat\w+|invented|messed|screwed",
            r"(?:did|have|had|were|was|are|should)n'?t|(?:did|have|were|are|should) not",
            r"should(?:'ve| have)|(?:were|are) (?:supposed|meant)|keep |kept |only (?:did|fixed|changed|updated|added)",
            r"(?:are|were|got (?:it|this|that)) wrong|wrong|undid|reverted|introduced|caused|went (?:off|too|ahead|and)",
        )
        + r"|\b(?:why|how come)(?: \w+)? (?:did|are|do|would|have|were|didn'?t|don'?t|aren'?t|haven'?t) you\b",
    ),
    (
        "wrongness",
        rf"\b(?:{_IT}{_IS} "
        + _any(
            r"not (?:right|correct|true|what|how|the|good|ok|okay|it|quite|acceptable|enough|valid|accurate|ideal|great|necessary|needed)",
            r"wrong|incorrect|inaccurate|bad|weird|odd|strange|off\b|mess\b|misleading|confusing|ugly|backwards|worse",
            r"unnecessary|redundant|overkill|too \w+|invalid|outdated|a (?:mistake|mess|bug|regression|problem|bad)",
        )
        + rf"|(?:is|are|was|were|do|does|did){_NOT} (?:right|correct|true|what|how|make(?: any)? sense|like|look right|seem right|look good)"
        r"|(?:the|a) wrong \w+|(?:is|are|was|were|looks?|seems?) (?:\w+ )?(?:wrong|incorrect|weird|off|odd|strange|excessive|inconsistent)\b)",
    ),
    (
        "restated",  # the person says again what was meant
        (
            r"\b(?:i (?:said|meant|told|wanted|already|specifically|explicitly|mentioned|was (?:asking|talking|referring|thinking|hoping))"
            r"|(?:as|like) i (?:said|mentioned|asked)|(?:what|that'?s what|not what|than) i (?:meant|asked|wanted|mean|said)"
            r"|i mean\b|my (?:question|point|intent\w*) (?:was|is)|my point is|once again|(?:did|do)n'?t (?:ask|say|tell|mean|request)"
            r"|for the (?:second|third|last) time|read (?:it|that|this|my \w+) again|re-?read)\b"
        ),
    ),
    (
        "disagreement",
        (
            r"\b(?:i (?:don'?t|do not|never|didn'?t) (?:really |actually )?(?:want|like|need|think|agree|believe|love|see (?:why|how|the point|a reason))"
            r"|i disagree|not (?:sure|convinced) (?:that|about|this|it|i|we|why|if)|i(?:'d| would) rather|i prefer|makes? no sense|no sense\b)"
        ),
    ),
    (
        "expectation",
        (
            r"\b(?:should(?:n'?t| not)? (?:be|have|still|only|just|never|always|already|also|not|use|do|go|work|show|return|say)"
            r"|should(?:n't|nt)|ought to|must(?:n't| not)|needs? to be|has to be)\b"
        ),
    ),
    (
        "disappointment",  # what was expected, and so did not come
        r"\b(?:(?:i|we)(?:'d| would)?(?: have| was| were)? expect(?:ed|ing)?|should(?:'ve| have)|(?:was|were|is|are)(?:n't| not)? supposed to)\b",
    ),
    (
        "substitution",
        r"(?:, not \w+|\b(?:(?:do not|don'?t|never|stop) [^,.;\n]{2,50}[,.;] ?(?:but |please |just )?use|instead(?: of)?|rather than|in place of|not (?:just )?(?:the|a|an|in|on|for|from|to|with|by|as|only|from) \w+|the (?:correct|right|proper|actual|real) \w+ (?:is|was|are))\b)",
    ),
    (
        "taking_back",
        r"(?:"
        + _RUN_UP
        + r"(?:can you |could you |let'?s |just |then )*(?:revert|undo|roll ?back|restore|discard|get rid of|back out)\b"
        r"|\b(?:revert|undo|roll back|back out|discard) (?:it|that|this|the|your|those|these|all|last|to|my|them)\b"
        r"|\b(?:put|bring|change|add|move|switch|go|set|get) (?:it |that |this |them |those |the \w+ )?back\b)",
    ),
    (
        "unwanted",
        (
            r"\b(?:(?:we|you|i|it|that|this|they) (?:really |actually |probably )?(?:do|does|should|would|wo|did)(?:n't|nt| not) (?:even |really |actually )?(?:need|want|have to|require|use|do|allow|support|be|matter|care)"
            r"|why do we (?:need|have|still|even|want)|what'?s the point|(?:not|isn'?t|un)(?: )?(?:needed|necessary)|too (?:much|many|long|big|complex|complicated|verbose|aggressive|broad|specific|wide|small|strict)|over-?(?:engineer\w*|kill|complicat\w*))\b"
        ),
    ),
    (
        "feeling",  # strong words; rare, but nobody praises with them
        r"(?:\b(?:wtf|ffs|what the (?:hell|heck|fuck)|fuck\w*|shit\w*|damn|crap\w*|ugh+|argh+|bloody|sigh|seriously|come on|terrible|horrible|awful|useless|stupid|ridiculous|frustrat\w+|annoy\w+|disappoint\w+|garbage|nonsense)\b|!!+|\?\?+|\?!|!\?)",
    ),
    # -- reports of failure --------------------------------------------------------------------------------------
    (
        "not_working",
        (
            rf"(?:\b(?:does|did|is|are|was|were|has|can|could|wo|ca|seems? to|appears? to|(?:i|we|they|these|those|\w+s) do){_NOT} (?:seem to |appear to |actually |really |even |be |been |to |quite |get |getting |being |properly |correctly |always |yet |currently |\w+ly )*"
            r"(?:work|compil|build|run|start|pass|load|show|appear|respond|updat|render|match|exist|trigger|fir(?:e|ing)|happen|open|display|help|chang|connect|return|sav(?:e|ing)|install|fix|solv|find|found|recogni|detect|pick|do anything|take effect|get|appl|resolv|check|call|includ|includ|writ|creat|handl|us(?:e|ing)|set|generat|clos|catch|caught|print|count|clear|visible|available|there|support|stor|persist|propagat|link|list|track|report|select|highlight|scroll|parse|log)\w*"
            r"|\bcannot (?:find|open|run|build|compile|start|connect|see|import|load|read|resolve)\b"
            r"|\bno ?(?:longer|t) work\w*|\bnot (?:working|loading|showing|appearing|updating|rendering|passing|compiling|firing|triggering|getting|being|applied|resolved)\b|\bto not (?:work|show|render|resolve|update|load|pass|run|find)|\bstopp?(?:ed|s) working|\bnever (?:works?|worked|finish\w*|returns?|ends?)|\bdoes nothing|\bno (?:effect|difference|luck|output)\b)"
        ),
    ),
    (
        "failing",  # "the build fails", but neither "fix the failing tests" nor "if it fails"
        (
            r"(?:(?<=\S )(?<!\band )(?<!\bthe )(?<!\bany )(?<!\ball )(?<!\bthese )(?<!\bthose )(?<!\bfix )(?<!\bof )(?<!\bwith )(?<!\baddress )(?<!\bif )(?<!\bto )(?<!\bwhy )(?<!\bthat )(?<!\bfor )(?<!\bno )(?<!\ba )(?<!\bon )(?:fail(?:s|ed|ing)|broken|crash(?:es|ed|ing)|erroring|panic(?:s|ked|king)|hang(?:s|ing)|hung|timed out|timing out|times out)"
            rf"|\b(?:{_IT}|{_CHECKS}|app|page|server|script|command)(?:'s| is| are| was| were| has| have| now| still| just| also| all)* (?:fail|breaks|broke|breaking|errors?(?: out)?|red|stuck|frozen|freezes|flaky|unhappy|complain(?:s|ing|ed)?|blank|dead))\b"
        ),
    ),
    (
        "still",
        r"\bstill (?:\w+ )?(?:got|fail|broken|break|see|get|happen|not|the same|an?\b|there|have|has|seeing|getting|wrong|show|red|doesn|isn|aren|can|don|didn|in\b|being|exists?|missing|no\b|stuck|crash|using|uses|says?|need|some\b|empty|slow|report|complain|think|dont|hav|one\b|error|throw|at\b|on\b)\w*",
    ),
    (
        "met_error",
        (
            rf"\b(?:(?:i(?:'m| am| was| just)?|we(?:'re| are)?|it(?:'s)?|that|this|now|still|users?)(?: now| still| just| also| again| keep| am| is)* (?:get(?:s|ting)?|got|see(?:s|ing)?|saw|hit(?:s|ting)?|have|has|having|ran into|run into|running into|throw(?:s|ing)?|gives?|gave|giving|caus\w+|produc\w+|rais\w+|return(?:s|ed|ing)?|show(?:s|ed|ing)?|report(?:s|ed|ing)?|encounter\w*|fac(?:e|ing))"
            rf"(?: \w+){{0,5}} {_PROBLEM}|there(?:'s| is| are| was| were)(?: still| also| now| a| an| some| many| lots of| \d+| another| two)+ (?:\w+ ){{0,3}}{_PROBLEM}|(?:same|another|new|more|this|following|these) (?:\w+ )?{_PROBLEM}|(?:i|and) (?:get|got)\b(?! (?:it|that|you|the idea|rid))|^\W*(?:now |still |just )?(?:getting|seeing|got) (?:\w+ ){{0,4}}(?:errors?|failures?|exceptions?|warnings?|issues?|40\d|50\d|timeouts?)|exits? (?:immediately|with|silently|right away))"
        ),
    ),
    (
        "absence",
        (
            r"\b(?:(?:i|we) (?:don'?t|can'?t|cannot|can not|do not|couldn'?t|didn'?t|no longer) (?:even |actually |really )?(?:see|find|get|have|access|use|run|open|reach|do|log)\b(?! (?:why|how|the point|a reason|any reason))"
            r"|(?:is|are|was|were|seems?(?: to be)?|still|looks?|has been|got|'s) (?:now |all |just |completely )?(?:missing|gone|lost|empty|blank|null|undefined|nan|unchanged|ignored|truncated|cut off|duplicated|swallowed)|(?:i'?m|we'?re|am|are|i am) (?:not|only|still|never) (?:\w+ )?(?:seeing|getting|able|finding)|nothing (?:happen|chang|work|show|appear|is)\w*|(?:there(?:'s| is| are| was) (?:no|nothing|none|not))|where (?:is|are|did|has)\b|disappear\w*|(?:blank|white|empty|black) (?:page|screen|window|list|output|result)s?)"
        ),
    ),
    (
        "regression",
        r"\b(?:previously|used to (?:work|be|have|show|do|get|pass)|no longer|any ?more|work(?:ed|s) (?:fine |ok )?(?:before|previously|until|in|on|locally)|before (?:your|this|the) change|(?:after|since|with|because of) (?:your|this|the last|the latest|that|these) (?:change|commit|fix|edit|refactor|update)\w*|since you|ever since|regress\w*|(?:broke|breaks|broken|breaking)\b|now (?:it|i|the|there|all|everything|we|my|they)\b)",
    ),
    (
        "repair_order",
        r"(?:"
        + _RUN_UP
        + _ASSENTING
        + r"(?:you need to |we need to )?(?:fix|resolve|repair|correct|debug|diagnose)\b|\bfix (?:it|this|that|the|these|those|all|them|any|your|my)\b)",
    ),
    (
        "repair_check",
        rf"\b(?:fix|repair|resolve|debug)(?: up)? (?:\w+ ){{0,3}}(?:{_CHECKS}|{_PROBLEM})\b(?! if\b)",
    ),
    (
        "negation",
        r"(?:n't|\b(?:not|never|cannot|no|nothing|none|nowhere|neither|without|dont|doesnt|isnt|didnt|wasnt|cant|wont))\b",
    ),
    (
        "complaint",  # adverbs of someone who watches a program misbehave
        r"\b(?:somehow|for some reason|at all|twice|suddenly|randomly|sometimes|keeps?|even though|despite|apparently|(?:it|this|that|they|which|still|also|is|are|was|were|\w+s) always|always (?:shows?|lists?|returns?|gives?|fails?|seems?|says?|gets?|the same)|right now|seems? (?:to|like|that)|the problem|the issue|a bit of an? |only (?:shows?|see|has|have|works?|the|one|a)|doubled?|unexpected(?:ly)?|incorrectly|wrongly|mistakenly|accidentally)\b",
    ),
    # -- review findings -----------------------------------------------------------------------------------------
    (
        "review",
        r"(?:\b(?:bug ?bot|copilot|code ?rabbit\w*|greptile|sonar\w*|codeql|snyk|semgrep|dependabot|sourcery|ellipsis|qodo|gemini code assist|codex (?:review|says|found)|reviewers?|review (?:comment|feedback|finding|note|said|says|found)s?|reviewed|code review|pr (?:comment|feedback|review)s?|feedback|comments? (?:from|on|in|by)|potential (?:issue|bug|problem|race|leak)|security (?:issue|finding|review)|findings?)\b)",
    ),
    (
        "severity",  # how review programs head what they found
        r"(?:\b(?:blocker|critical|high|medium|moderate|low|major|minor|trivial|info) (?:severity|priority|risk)\b|\bseverity:|\[p[0-3]\]|^\W*(?:p[0-3]|nit(?:pick)?|suggestion|issue|bug|warning|critical|important|minor|major)\b:|\b(?:impact|rationale|recommendation|suggested fix|locations?|root cause|repro(?:duction)?(?: steps)?|steps to reproduce|expected(?: behaviou?r)?|actual(?: behaviou?r)?):)",
    ),
    (
        "advice",  # the voice of a reviewer: what could go wrong, what to consider
        r"\b(?:consider (?:\w+ing|an?|the|whether)|(?:this|which|that) (?:means|makes|causes|could|may|might|leads|results|appears|duplicates|can (?:cause|lead|result|panic|break|fail))|for consistency|more (?:robust|consistent|accurate|idiomatic)|would be (?:better|more|cleaner|safer)|is (?:only|never|not|no longer) (?:used|called|checked|set|updated|handled|filtered|validated|propagated)|silently|edge cases?|instead of (?:using|\w+ing)|the (?:function|method|variable|comment|test|field|code|class|parameter|type|check|condition|docs?|documentation|name)\b (?:\S+ )?(?:is|are|uses?|returns?|does|should|assumes?|says?|states?|has|only|still|now|can|could|will))",
    ),
    # -- harmless ------------------------------------------------------------------------------------------------
    (
        "request",
        _RUN_UP
        + _ASSENTING
        + r"(?:(?:next|first|one more thing|lastly|finally|ideally|maybe|from now on|going forward|in (?:this|our) \w+|for this \w+)\b\W*)?"
        + _ORDER,
    ),
    (
        "later_request",
        r"(?:[.!?:]\s+|[;\n]\s*|, |\s-+ )(?:(?:so|and|but|then|also|please|now|instead|ok|maybe|if \w+ \w+,?)\b\W*){0,2}"
        + _ORDER,
    ),
    (
        "asking",
        _RUN_UP
        + r"(?:(?:but|ok|then|now|actually|just curious|question|quick question|one question|wait|yes|no|cool|great)\b\W*){0,2}(?:question\b|what|how|where|which|who|when|is|are|am|do|does|can|could|should|would|will|shall|have|has|did|was|were|any|what'?s|how'?s|where'?s)\b",
    ),
    ("asking_why", _RUN_UP + r"(?:(?:but|ok|then|now|wait|actually)\b\W*){0,2}(?:why|how come|what'?s wrong)\b"),
    ("ends_asking", r"\?[\s)\"'.]*$"),
    (
        "doubt",  # "are we sure", "isn't that", "do we really": challenges that leave the answer open
        r"\b(?:are (?:we|you) sure|do(?:es)? (?:we|it|this|that) (?:really|actually|even)|don'?t we|isn'?t (?:it|that|this|there|the)|aren'?t (?:we|these|those|they|there)|shouldn'?t (?:we|it|this|that|the|you)|wouldn'?t (?:it|that|this|we)|won'?t (?:that|this|it)|doesn'?t (?:that|this|it|the)|couldn'?t we|is it (?:really|necessary|safe|possible)|what if|why not|i wonder|curious|wondering)\b",
    ),
    (
        "supposition",
        r"\b(?:if (?:we|i|you|it|that|this|the|there|not|so|possible|needed|they|a)|maybe|perhaps|might|i guess|probably|i think|in theory|ideally|hopefully|later|eventually|in the future|next)\b",
    ),
    (
        "own_fault",
        r"\b(?:oops|sorry|my bad|my mistake|my fault|i (?:accidentally|forgot|messed|deleted|missed|didn'?t (?:realize|notice|know|mean)|should have)|nvm|never ?mind|ignore (?:that|this|my))\b",
    ),
    (
        "document",  # plans and hand-overs written elsewhere
        r"(?:^\W*(?:implement|execute|here(?:'s| is)) (?:the )?(?:following )?(?:\w+ )?plan|\bthe following plan\b|^#{1,3} |<(?:task|plan|context|instructions|system)|^this session is being continued)",
    ),
    # -- approval ------------------------------------------------------------------------------------------------
    (
        "yes",
        _RUN_UP
        + r"(?:yes|yep|yeah|yup|yea|ya|yess+|y|aye|ok|okay|okey|k|kk|sure|sounds? (?:good|great|right|fine|reasonable)|looks? (?:good|great|fine|right|ok)|lgtm|agreed?|i agree|approved?|correct|exactly|right(?! now)|true|fine|good|works for me|(?:this|that|it|everything|all) (?:all )?(?:looks|seems|is|sounds) (?:good|fine|great|ok|okay|correct|reasonable)|makes sense|fair(?: enough| point)?|absolutely|definitely|of course|certainly|affirmative|alright|all right|please do|that(?:'s| is) (?:fine|ok|okay|right|correct|good|it)|i (?:like|love) (?:it|that|this|option|the)|why not|confirm(?:ed)?|deal|roger|great|cool|nice|perfect|awesome)(?=$|[\s,.!;:)-])",
    ),
    (
        "go",
        r"(?:"
        + _RUN_UP
        + _ASSENTING
        + r"|[.,;!\n] ?(?:and |then |so |please )?)(?:go ahead|go for|go with|proceed|continue|carry on|keep going|go on\b|do (?:it|that|this|so|both|all|\d)|please do|make it so|ship it|implement|start (?:with|implementing|working|the|on)?|apply|execute|you can (?:start|go|proceed|commit|push)|fix (?:it|them|both|all|the first)|try (?:it|that)|run it|let'?s (?:do|go|ship|proceed|continue|start|implement|use|try|get|keep|move|give|just|fix|address|tackle|take|add|make|write|update))\b",
    ),
    ("lets", _RUN_UP + _ASSENTING + r"(?:let'?s|let us)\b"),
    (
        "deliver",  # accepting by asking for the last step
        r"(?:"
        + _RUN_UP
        + _ASSENTING
        + r"(?:git )?(?:commit|push|merge|ship|release|deploy|publish|tag|squash|stage|submit)\b"
        r"|\b(?:open|create|make|raise|launch|draft|put up|file|send|submit|start)(?: up)? (?:a |the |an |another )?(?:draft |new |ready(?:-for-review)? )*(?:pr|pull request|mr|merge request|commit)\b"
        r"|\bplease (?:commit|push|merge)\b|\b(?:commit|push|merge)(?: it| this| that| them| all)? please\b|\b(?:commit|and|then) push\b)",
    ),
    (
        "choice",  # "2", "option b", "the first one"; a list that begins with "1. " is none
        r"^\W*(?:(?:let'?s|i'?d|i would|go|do|use|prefer|like|choose|pick|take|with|for|yes|ok|say|i think|the)\b\W*){0,4}(?:option|approach|solution|number|#|choice|variant)?\W*(?:[0-9]|[a-e]|one|two|three|first|second|third|last|former|latter|both|all|either|none)(?:st|nd|rd|th)?(?: one| option| approach| of them)?(?=$|[\s,.!;:)&+])(?![.)] ?\w)(?<!\ba)(?! (?:more|thing|good|of the things))",
    ),
    (
        "praise",
        r"^\W*(?:(?:that|this|it|looks?|works?|very|really|so|is|was|are|oh|ok|wow|yes|yeah|and|pretty|ha+|now|all)\b(?:'?s)?\W*){0,4}(?:great|perfect(?:ly)?|awesome|excellent|amazing|fantastic|brilliant|beautiful(?:ly)?|nice(?:ly)?|love(?:ly)? ?(?:it|this|that)?|well done|good (?:job|work|catch|call|idea|point|stuff|one)|wonderful|superb|impressive|neat|cool|sweet|incredible|bravo|🎉|👍|❤️|👏|🔥|💯)(?=$|\W)",
    ),
    ("thanks", r"(?<!\bno )\b(?:thanks|thank you|thx|ty|cheers|much appreciated|appreciate)\b"),
    (
        "works",
        rf"\b(?:(?:{_IT}|{_CHECKS})(?: now| all| both)? (?:works?|worked|passe?[sd]?|passing|is (?:working|fixed|green|good)|are (?:passing|green|good))(?: now| great| well| perfectly| fine| as expected)*(?=$|[.,!;\n])|(?:all|everything) (?:is )?(?:good|green|passes|works|set)|working (?:now|great|fine|well)|works (?:now|great|well|perfectly|like a charm)|that (?:fixed|did|solved|worked))\b",
    ),
)

# A cue is there only where one of these stands in the words. An expression is tried at every character, so to look for
# plain letters (kept apart by bars) first saves a third of the time on real turns.
_STEMS: Final[dict[str, str]] = {
    "wrongness": "not |n't|wrong|incorrect|inaccurate|bad|weird|odd|strange|off|mess|misleading|confusing|ugly|backwards|worse|unnecessary|redundant|overkill|too |invalid|outdated|a mistake|a bug|a regression|a problem|excessive|inconsistent|nt ",
    "taking_back": "revert|undo|roll|restore|discard|get rid|back",
    "unwanted": "n't|nt |not |why do we|point|need|necessary|too |over",
    "feeling": "wtf|ffs|what the|fuck|shit|damn|crap|ugh|argh|bloody|sigh|seriously|come on|terrible|horrible|awful|useless|stupid|ridiculous|frustrat|annoy|disappoint|garbage|nonsense|!|??|?!",
    "not_working": "n't|nt |not |cannot|no |never|nothing|stop|longer",
    "failing": "fail|broke|break|crash|error|panic|hang|hung|tim|red|stuck|free|froz|flaky|unhappy|complain|blank|dead",
    "met_error": "error|fail|exception|crash|warning|issue|problem|bug|panic|trace|timeout|conflict|regression|typo|mistake|40|50|get|got|exit",
    "repair_order": "fix|resolve|repair|correct|debug|diagnose",
    "repair_check": "fix|repair|resolve|debug",
    "severity": ":|severity|priority|risk|[p",
    "document": "plan|#|<|session",
    "deliver": "commit|push|merge|ship|release|deploy|publish|tag|squash|stage|submit|pr|pull|mr",
    "thanks": "thank|thx|ty|cheers|appreciate",
    "works": "work|pass|fixed|green|good|set|that did",
    "still": "still",
    "review": "bug|copilot|rabbit|greptile|sonar|codeql|snyk|semgrep|sourcery|ellipsis|qodo|gemini|codex|review|comment|feedback|potential|security|finding",
    "blame": "you|why|how come",
    "disagreement": "don't|dont|do not|never|didn't|didnt|disagree|sure|convinced|rather|prefer|sense",
    "disappointment": "expect|should|supposed",
    "expectation": "should|ought|must|need|has to",
    "substitution": "not |instead|rather|in place|the |do not|don't|dont|never|stop",
    "restated": "i |as i|again|time|read|don't|didn't|dont|didnt|my ",
    "regression": "previous|used to|no longer|any more|anymore|work|before|after|since|with|because|regress|br|now ",
    "complaint": "somehow|reason|at all|twice|suddenly|random|sometimes|keep|though|despite|apparently|always|right now|seem|problem|issue|a bit of|only|double|unexpected|incorrectly|wrongly|mistakenly|accidentally",
    "doubt": "sure|do|n't|nt|is it|what if|why not|wonder|curious",
    "own_fault": "oops|sorry|my |i |nvm|never|ignore",
}


class Cue(NamedTuple):
    """A cue: its name, letters of which some are in the words where it is there (none: it may be anywhere), the search."""

    name: str
    stems: tuple[str, ...]
    is_there: Callable[[str], object]


def _cue(name: str, expression: str) -> Cue:
    compiled = re.compile(expression)
    stems = tuple(filter(None, _STEMS.get(name, "").split("|")))
    # A search would try "^" at every character.
    return Cue(name, stems, compiled.match if expression.startswith("^") else compiled.search)


CUES: Final = tuple(_cue(name, expression) for name, expression in _EXPRESSIONS)
