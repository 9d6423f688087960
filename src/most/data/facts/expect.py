"""What a right reply to a dialogue's last turn holds, so that a model's own reply can be checked by its words.

What all the generator's replies to that turn have in common: a fact's answer, or a key phrase of the kind of reply.
Only dialogues to test on say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from most.data.dialogue.dialogue import Turn
from most.evaluate.answers import contained


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What the user says and what the assistant answers.

    Args:
        right: phrases of which a right reply holds one.
        replies: what the assistant might have said as well.
        thread: the words with which the assistant takes up what was broken off; "" where it does not.
    """

    user: Turn
    assistant: Turn
    right: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    thread: str = ""

    @property
    def turns(self) -> tuple[Turn, Turn]:
        return self.user, self.assistant


def expected(last: Exchange) -> dict[str, Any]:
    """For `meta` of a dialogue that ends so: `expect`, and `thread` where there is one. Empty where words do not tell.

    Phrases that the user's turn holds do not count, so saying it again is never right; where one of the assistant's own
    replies would then be wrong, nothing is expected.
    """
    right = [phrase for phrase in last.right if not contained(last.user.text, [phrase])]
    if not all(contained(reply, right) for reply in (last.assistant.text, *last.replies)):
        return {}
    return {"expect": right} | ({"thread": last.thread} if last.thread else {})
